"""A composed model behind plain tensors: what a program that knows nothing of backbonekit can call."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.contract.predictions import Prediction


class Exportable(nn.Module):
    """Images to named tensors. Names are the fields of the prediction (`logits`, `mask_logits`), `TASK.FIELD` with
    several tasks, and `feature_map_0`, ... of a model without a head, and its necks' extras (`mask_features`)."""

    def __init__(self, model: ComposedModel) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        pixel_mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> dict[str, Tensor]:
        output = self.model(pixel_values, pixel_mask)
        if output.predictions is None:
            levels = {f"feature_map_{index}": level for index, level in enumerate(output.feature_maps)}
            return {**levels, **(output.extras or {})}
        if isinstance(output.predictions, Prediction):
            return _tensors(output.predictions)
        return {
            f"{task}.{name}": tensor
            for task, prediction in output.predictions.items()
            for name, tensor in _tensors(prediction).items()
        }


def _tensors(prediction: Prediction) -> dict[str, Tensor]:
    return {name: value for name, value in prediction.items() if isinstance(value, Tensor)}
