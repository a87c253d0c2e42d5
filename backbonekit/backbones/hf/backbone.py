"""A backbone of transformers: a timm model run stage by stage, with the maps that transformers returns."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from backbonekit.backbones.backbone import BackboneModule, check_channels
from backbonekit.backbones.hf.family import Family, OutputNorm
from backbonekit.backbones.hf.output_maps import normalised, stage_norms, to_map
from backbonekit.contract.features import Level
from backbonekit.contract.maps import FeatureMaps


class StagedBackbone(BackboneModule):
    """A network from images to the maps of the stages in `out_indices`, where 0 is the stem if the family has one.

    `body`: the timm model, cut after the deepest stage that it was built for. `norms`: LayerNorms of the maps, by
    stage; those of stages whose maps are not returned take no gradient. `stage_names`: every stage of the
    architecture, built or not. `pooled_norm`: of the vector that the last map is pooled to, which no map depends on;
    None unless it was built.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        family: Family,
        levels: Sequence[Level],
        out_indices: tuple[int, ...],
        in_channels: int,
        norm: OutputNorm,
        name: str,
        builder: str,
        stem_dropout: float = 0.0,
        pooled_epsilon: float | None = None,
    ) -> None:
        super().__init__(
            body,
            name=name,
            builder=builder,
            levels=levels,
            out_indices=out_indices,
            in_channels=in_channels,
            forbidden=family.forbidden,
        )
        self.family = family
        self.norm: OutputNorm = norm
        self.gradient_checkpointing = False
        self.stem_dropout = nn.Dropout(stem_dropout)
        self.norms = stage_norms(family, self.levels[: self.built], norm)
        self.pooled_norm: nn.Module | None = None
        if pooled_epsilon is not None:
            self.pooled_norm = nn.LayerNorm(self.levels[-1].channels, eps=pooled_epsilon).requires_grad_(False)
        self._selection_changed()

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recomputes each block in the backward pass instead of keeping what is inside it."""
        self.gradient_checkpointing = enabled

    def stage_of(self, name: str) -> int:
        """The stage of a parameter or buffer of this module; what comes after all stages belongs to the last."""
        owner, _, rest = name.partition(".")
        if owner == "norms":
            return self.stage_names.index(rest.partition(".")[0])
        if owner == "pooled_norm":
            return len(self.levels) - 1
        stage = self.family.stage_of(name)
        return len(self.levels) - 1 if stage is None else stage

    def after_pooling(self, vectors: Float[Tensor, "batch channels"], index: int) -> Float[Tensor, "batch channels"]:
        if self.pooled_norm is None or index != len(self.levels) - 1:
            return vectors
        return self.pooled_norm(vectors.to(self.pooled_norm.weight.dtype))  # type: ignore[arg-type]

    def stage_outputs(
        self, pixel_values: Float[Tensor, "batch channels height width"], indices: Sequence[int]
    ) -> tuple[dict[int, Tensor], tuple[int, int]]:
        """The outputs of the built stages in `indices`, un-normalised and in the family's layout, and the stem's grid
        (height, width)."""
        check_channels(pixel_values, self.in_channels, self.name)
        x, grid = self.family.embed(self.body, pixel_values)
        x = self.stem_dropout(x)
        units = self.family.units(self.body)
        extra_inputs = self.family.extra_inputs(self.body, x, grid)
        first = 1 if self.family.has_stem else 0
        outputs: dict[int, Tensor] = {}
        for index in range(max(indices) + 1):
            if index >= first:
                x = self._run_units(units[index - first], x, extra_inputs)
            if index in indices:
                outputs[index] = x
        return outputs, grid

    def maps_of(self, outputs: Mapping[int, Tensor], grid: tuple[int, int]) -> FeatureMaps:
        """The maps of `out_indices` from what `stage_outputs` returned."""
        return self._maps_of(outputs, grid, self._out_indices)

    def _maps(self, pixel_values: Tensor, indices: tuple[int, ...]) -> FeatureMaps:
        return self._maps_of(*self.stage_outputs(pixel_values, indices), indices)

    def _maps_of(self, outputs: Mapping[int, Tensor], grid: tuple[int, int], indices: tuple[int, ...]) -> FeatureMaps:
        pairs = [to_map(self._normalised(outputs[index], index), self.family.layout, grid) for index in indices]
        prefix_tokens = tuple(prefix for _, prefix in pairs)
        return FeatureMaps(
            maps=tuple(feature_map for feature_map, _ in pairs),
            prefix_tokens=prefix_tokens if any(tokens is not None for tokens in prefix_tokens) else (),
        )

    def _run_units(self, units: Sequence[nn.Module], x: Tensor, extra_inputs: tuple[Any, ...]) -> Tensor:
        recompute = self.gradient_checkpointing and self.training
        for unit in units:
            x = checkpoint(unit, x, *extra_inputs, use_reentrant=False) if recompute else unit(x, *extra_inputs)  # type: ignore
        return x

    def _normalised(self, x: Tensor, index: int) -> Tensor:
        if self.norm == "per_stage":
            return normalised(x, self.family.layout, self.norms[self.levels[index].name])
        is_last = index == len(self.levels) - 1
        if (self.norm in ("final", "last") and is_last) or (self.norm == "final" and self.family.final_norm == "every"):
            return normalised(x, self.family.layout, self.body.norm)  # type: ignore[arg-type]
        return x

    def _selection_changed(self) -> None:
        # Distributed training fails on parameters that require a gradient and never receive one.
        names = {self.levels[index].name for index in self._out_indices}
        trains = any(parameter.requires_grad for parameter in self.body.parameters())
        for name, norm in self.norms.items():
            norm.requires_grad_(name in names and trains)
