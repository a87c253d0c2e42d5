"""A plain timm model as a backbone: cut after the last selected map, every map NCHW."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from timm.layers import LayerNorm2d
from torch import Tensor, nn

from backbonekit.backbones.backbone import BackboneModule, check_channels
from backbonekit.backbones.parameter_order import body_stages, names_of
from backbonekit.backbones.timm.config import constructor_arguments
from backbonekit.backbones.timm.levels import (
    freeze_head,
    needs_maps_from_tokens,
    pooled_norm_of,
    returns_prefix_tokens,
)
from backbonekit.contract.features import Level
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.roles import ParameterOrder
from backbonekit.errors import ContractError


class TimmBackbone(BackboneModule):
    """A network from images to the maps in `out_indices`, in timm's own numbering (that of `features_only`).

    `body`: the timm model, whose weights have the names of timm's checkpoints. `stage_names`: every map of the
    architecture, built or not. `fixed_size`: (height, width) where the architecture takes no other image, or None.
    `canvas`: (height, width) that it was made for. `keeps_end`: whether the last map is what the architecture's own end
    makes of it, as timm's `forward_features` returns it.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        levels: Sequence[Level],
        out_indices: tuple[int, ...],
        in_channels: int,
        fixed_size: tuple[int, int] | None,
        canvas: tuple[int, int],
        name: str,
        keeps_end: bool = False,
    ) -> None:
        builder = f"AutoBackbone.from_pretrained({name!r}, use_timm_backbone=True"
        super().__init__(
            body, name=name, builder=builder, levels=levels, out_indices=out_indices, in_channels=in_channels
        )
        self.fixed_size = fixed_size
        self.canvas = canvas
        self.has_prefix_tokens = returns_prefix_tokens(body)
        self.keeps_end = keeps_end
        self.pooled_norm = pooled_norm_of(body) if keeps_end else None
        if keeps_end:
            freeze_head(body)

    def parameter_stages(self) -> ParameterOrder:
        stages = body_stages(self.body)
        last = stages.count - 1
        return ParameterOrder(
            {name: stages.positions.get(name.removeprefix("body."), last) for name in names_of(self)}, stages.count
        )

    def stage_of(self, name: str) -> int:
        return self.parameter_stages().positions[name]

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recomputes each block in backward instead of keeping what is inside it, where timm can for the architecture.

        Raises ContractError where it cannot.
        """
        try:
            self.body.set_grad_checkpointing(enabled)  # type: ignore[operator]
        except (AssertionError, AttributeError) as error:
            raise ContractError(f"timm has no gradient checkpointing for {self.name}.") from error

    def after_pooling(self, vectors: Float[Tensor, "batch channels"], index: int) -> Float[Tensor, "batch channels"]:
        if self.pooled_norm is None or index != len(self.levels) - 1:
            return vectors
        norm = self.body.get_submodule(self.pooled_norm)
        vectors = vectors.to(norm.weight.dtype)  # type: ignore[arg-type]
        if isinstance(norm, LayerNorm2d):
            return norm(vectors[..., None, None]).flatten(1)
        return norm(vectors)

    def _maps(self, pixel_values: Tensor, indices: tuple[int, ...]) -> FeatureMaps:
        check_channels(pixel_values, self.in_channels, self.name)
        if self.fixed_size is not None and tuple(pixel_values.shape[-2:]) != self.fixed_size:
            raise ContractError(self._size_message(pixel_values))
        if torch.compiler.is_compiling():
            return self._run(pixel_values, indices)
        try:
            return self._run(pixel_values, indices)
        except (AssertionError, IndexError, ValueError, RuntimeError) as error:
            height, width = pixel_values.shape[-2:]
            if isinstance(error, ContractError | torch.OutOfMemoryError) or self._is_usual(height, width):
                raise
            reason = str(error).strip().splitlines()
            raise ContractError(
                f"{self.name} does not take images of {height} x {width}"
                f"{f': {reason[0][:200]}' if reason else ''}. The fix: processing.size=[{self.canvas[0]}, "
                f"{self.canvas[1]}], which is its own, or a processing.size_divisor."
            ) from error

    def _is_usual(self, height: int, width: int) -> bool:
        """Whether the size cannot be what an error is about: the architecture's own."""
        return (height, width) == self.canvas

    def _run(self, pixel_values: Tensor, indices: tuple[int, ...]) -> FeatureMaps:
        if needs_maps_from_tokens(self.body):
            tokens = self.body.forward_intermediates(  # type: ignore[operator]
                pixel_values, indices=list(indices), stop_early=True, intermediates_only=True, output_fmt="NLC"
            )
            # These architectures take whole patches alone, so the division has no remainder.
            grid = [round(side / self.levels[0].stride) for side in pixel_values.shape[-2:]]
            # [batch, height * width, channels] -> [batch, channels, height, width]
            return FeatureMaps(maps=tuple(each.transpose(1, 2).unflatten(2, grid) for each in tokens))
        if self.keeps_end and indices[-1] == len(self.levels) - 1:
            return self._with_end(pixel_values, indices)
        if not self.has_prefix_tokens:
            maps = self.body.forward_intermediates(  # type: ignore[operator]
                pixel_values, indices=list(indices), stop_early=True, intermediates_only=True
            )
            return self._checked(FeatureMaps(maps=tuple(maps)), indices)
        pairs = self.body.forward_intermediates(  # type: ignore[operator]
            pixel_values, indices=list(indices), stop_early=True, intermediates_only=True, return_prefix_tokens=True
        )
        maps = FeatureMaps(
            maps=tuple(feature_map for feature_map, _ in pairs), prefix_tokens=tuple(tokens for _, tokens in pairs)
        )
        return self._checked(maps, indices)

    def _with_end(self, pixel_values: Tensor, indices: tuple[int, ...]) -> FeatureMaps:
        given = {"return_prefix_tokens": True} if self.has_prefix_tokens else {}
        end, found = self.body.forward_intermediates(  # type: ignore[operator]
            pixel_values, indices=list(indices), intermediates_only=False, **given
        )
        pairs: list[Any] = list(found) if self.has_prefix_tokens else [(each, None) for each in found]
        pairs[-1] = self._last_map(end, pairs[-1][0].shape[-2:])
        tokens = tuple(prefix for _, prefix in pairs)
        maps = FeatureMaps(
            maps=tuple(feature_map for feature_map, _ in pairs),
            prefix_tokens=tokens if any(prefix is not None for prefix in tokens) else (),
        )
        return self._checked(maps, indices)

    def _last_map(self, end: Tensor, grid: torch.Size) -> tuple[Tensor, Tensor | None]:
        """What the architecture's end returned, as a map [batch, channels, height, width] of the grid and its prefix
        tokens."""
        if end.ndim == 4:
            return (end if end.shape[1] == self.levels[-1].channels else end.permute(0, 3, 1, 2)), None
        prefix = end.shape[1] - grid[0] * grid[1]
        # [batch, tokens, channels] -> [batch, channels, height, width]
        spatial = end[:, prefix:].unflatten(1, grid).permute(0, 3, 1, 2)
        return spatial, end[:, :prefix] if prefix else None

    def _checked(self, maps: FeatureMaps, indices: Sequence[int]) -> FeatureMaps:
        # After a convolutional stem timm silently folds tokens into a grid of another size where a side of the image
        # is no multiple of the stride.
        for index, feature_map in zip(indices, maps.maps, strict=True):
            level = self.levels[index]
            if feature_map.shape[1] != level.channels:
                raise ContractError(
                    f"{self.name} returns {list(feature_map.shape)} for {level.name}, of {level.channels} channels: it"
                    f" takes images with sides that are multiples of {level.stride:g} only. The fix:"
                    f" processing.size_divisor={level.stride:g}."
                )
        return maps

    def _size_message(self, pixel_values: Tensor) -> str:
        assert self.fixed_size is not None
        height, width = self.fixed_size
        argument = ", or backbone.args.img_size" if "img_size" in constructor_arguments(type(self.body)) else ""
        return (
            f"{self.name} takes images of {height} x {width} only, got {pixel_values.shape[-2]} x"
            f" {pixel_values.shape[-1]}. The fix: processing.size=[{height}, {width}]{argument}."
        )
