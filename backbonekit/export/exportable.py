"""A composed model whose inputs and outputs are plain tensors, callable without backbonekit."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.embed import pooled
from backbonekit.contract.maps import Canvas
from backbonekit.contract.pooling import Pool
from backbonekit.contract.predictions import Prediction
from backbonekit.export.decoding import Decoder
from backbonekit.export.outputs import tensors_of


class Exportable(nn.Module):
    """Maps images to tensors by name: the fields of the prediction (`logits`, `mask_logits`; of each level `NAME_0`,
    `NAME_1`, ...), or `TASK.FIELD` with several tasks. Without a head: `feature_map_0`, `feature_map_1`, ... and the
    necks' extras (`mask_features`). `decoders`: by task, for the results in place of a prediction's fields. `pool`: for
    the vectors of `embed` in place of all that: `features`, or `features.LEVEL` with several levels."""

    def __init__(
        self, model: ComposedModel, decoders: dict[str, Decoder] | None = None, pool: Pool | None = None
    ) -> None:
        super().__init__()
        self.model = model
        self.decoders = decoders or {}
        self.pool: Pool | None = pool

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        pixel_mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> dict[str, Tensor]:
        if self.pool is not None:
            return self._vectors(self.pool, pixel_values, pixel_mask)
        output = self.model(pixel_values, pixel_mask)
        if output.predictions is None:
            levels = {f"feature_map_{index}": level for index, level in enumerate(output.feature_maps)}
            return {**levels, **(output.extras or {})}
        size = (pixel_values.shape[-2], pixel_values.shape[-1])
        if isinstance(output.predictions, Prediction):
            return self._tensors("", output.predictions, size, pixel_mask)
        return {
            f"{task}.{name}": tensor
            for task, prediction in output.predictions.items()
            for name, tensor in self._tensors(task, prediction, size, pixel_mask).items()
        }

    def _vectors(self, pool: Pool, pixel_values: Tensor, pixel_mask: Tensor | None) -> dict[str, Tensor]:
        maps = self.model.extract(pixel_values, pixel_mask)
        canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
        levels = self.model.features.levels
        names = ["features"] if len(levels) == 1 else [f"features.{level.name}" for level in levels]
        return {name: pooled(self.model, maps, position, canvas, pool) for position, name in enumerate(names)}

    def _tensors(
        self, task: str, prediction: Prediction, size: tuple[int, int], pixel_mask: Tensor | None
    ) -> dict[str, Tensor]:
        if task not in self.decoders:
            return tensors_of(prediction)
        return self.decoders[task](prediction, size, pixel_mask)
