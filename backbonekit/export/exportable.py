"""A composed model whose inputs and outputs are plain tensors, callable without backbonekit."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.contract.predictions import Prediction


class Exportable(nn.Module):
    """Maps images to tensors by name: the fields of the prediction (`logits`, `mask_logits`), or `TASK.FIELD` with
    several tasks. Without a head: `feature_map_0`, `feature_map_1`, ... and the necks' extras (`mask_features`)."""

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
