"""A backbone run by the library transformers, under our contract: maps in network order, every map NCHW."""

import warnings
from collections.abc import Mapping, Sequence
from math import prod

from torch import Tensor, nn

from backbonekit.backbones.backbone import BackboneModule, check_channels
from backbonekit.contract.features import Level
from backbonekit.contract.maps import FeatureMaps
from backbonekit.errors import ContractError


class TransformersBackbone(BackboneModule):
    """A network from images to the maps in `out_indices`, in transformers' numbering.

    `body`: the backbone of transformers, uncut: it computes its later stages too, and parameters that no map depends
    on take no gradient. `stages`: for each parameter of the body the first map that depends on it.
    `fixed_size`: (height, width) where the architecture takes no other image, or None. `grid`: (height, width) of the
    maps where the body returns tokens instead of maps, or None.

    Where an architecture takes multiples of some size only (the windows of LW-DETR and RF-DETR), the error is
    transformers' own; the fix is processing.size_divisor. Some bodies hold hooks that cannot be pickled;
    `copy.deepcopy` works.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        levels: Sequence[Level],
        out_indices: tuple[int, ...],
        forbidden: frozenset[int],
        stages: Mapping[str, int],
        in_channels: int,
        fixed_size: tuple[int, int] | None,
        grid: tuple[int, int] | None,
        name: str,
        builder: str,
    ) -> None:
        super().__init__(
            body,
            name=name,
            builder=builder,
            levels=levels,
            out_indices=out_indices,
            in_channels=in_channels,
            forbidden=forbidden,
        )
        self.built = len(self.levels)  # nothing is cut off, but only the maps in `given` are returned
        self.given = out_indices
        self.stages = dict(stages)
        self.fixed_size = fixed_size
        self.grid = grid
        for key, parameter in body.named_parameters():
            if key not in self.stages:
                parameter.requires_grad_(False)

    def _selected(self, value: int | Sequence[int]) -> tuple[int, ...]:
        positions = super()._selected(value)
        absent = [position for position in positions if position not in self.given]
        if absent:
            raise ContractError(
                f"out_indices {list(positions)}: {self.name} was built to return {list(self.given)} and not"
                f" {self.levels[absent[0]].name}. Build it again: backbone.out_indices={list(positions)}."
            )
        return positions

    def stage_of(self, name: str) -> int:
        """The first map that depends on a parameter; of a buffer, the first map of the parameters next to it.

        What no map depends on belongs to the last.
        """
        key = name.removeprefix("body.")
        while key:
            neighbours = [stage for other, stage in self.stages.items() if other == key or other.startswith(f"{key}.")]
            if neighbours:
                return min(neighbours)
            if key in self._unused:
                break
            key = key.rpartition(".")[0]
        return len(self.levels) - 1

    @property
    def _unused(self) -> set[str]:
        return {key for key, _ in self.body.named_parameters() if key not in self.stages}

    def set_gradient_checkpointing(self, enabled: bool = True) -> None:
        """Recomputes each block in backward, where transformers can. Raises ContractError where it cannot."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # the later name is not in all versions of 5
                if enabled:
                    self.body.gradient_checkpointing_enable({"use_reentrant": False})  # type: ignore[operator]
                else:
                    self.body.gradient_checkpointing_disable()  # type: ignore[operator]
        except ValueError as error:
            raise ContractError(f"transformers has no gradient checkpointing for {self.name}.") from error

    def _maps(self, pixel_values: Tensor, indices: tuple[int, ...]) -> FeatureMaps:
        check_channels(pixel_values, self.in_channels, self.name)
        if self.fixed_size is not None and tuple(pixel_values.shape[-2:]) != self.fixed_size:
            height, width = self.fixed_size
            raise ContractError(
                f"{self.name} takes images of {height} x {width} only, got {pixel_values.shape[-2]} x"
                f" {pixel_values.shape[-1]}. The fix: processing.size=[{height}, {width}], or another image_size in"
                " backbone.args."
            )
        found = self.body(pixel_values).feature_maps
        chosen = [found[self.given.index(index)] for index in indices]
        return FeatureMaps(maps=tuple(as_map(each, self.grid) for each in chosen))


def as_map(tokens: Tensor, grid: tuple[int, int] | None) -> Tensor:
    """[batch, tokens, channels] as [batch, channels, height, width] on the grid; a map is unchanged."""
    if grid is None:
        return tokens
    assert tokens.shape[1] == prod(grid)
    # [batch, tokens, channels] -> [batch, channels, height, width]
    return tokens.transpose(1, 2).unflatten(2, grid)
