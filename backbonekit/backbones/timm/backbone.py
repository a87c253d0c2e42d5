"""A plain timm model as a backbone: cut after the last selected map, every map NCHW."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backbonekit.backbones.backbone import BackboneModule, check_channels
from backbonekit.backbones.parameter_order import body_stages, names_of
from backbonekit.backbones.timm.config import constructor_arguments
from backbonekit.backbones.timm.levels import needs_maps_from_tokens
from backbonekit.contract.features import Level
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.roles import ParameterOrder
from backbonekit.errors import ContractError


class TimmBackbone(BackboneModule):
    """A network from images to the maps in `out_indices`, in timm's own numbering (that of `features_only`).

    `body`: the timm model, whose weights have the names of timm's checkpoints. `stage_names`: every map of the
    architecture, built or not. `fixed_size`: (height, width) where the architecture takes no other image, or None.
    `canvas`: (height, width) that it was made for.
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
    ) -> None:
        builder = f"AutoBackbone.from_pretrained({name!r}, use_timm_backbone=True"
        super().__init__(
            body, name=name, builder=builder, levels=levels, out_indices=out_indices, in_channels=in_channels
        )
        self.fixed_size = fixed_size
        self.canvas = canvas
        self.has_prefix_tokens = self.levels[0].prefix_tokens > 0

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
