"""What the configurations and weights of DPT and of Depth Anything have in common: the neck and its fusion."""

from collections.abc import Mapping, Sequence
from typing import Any

from backbonekit.errors import ContractError, RecipeError
from backbonekit.heads.shared_checkpoint.fields import ForeignFields
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone, read_backbone
from backbonekit.weights.key_map import KeyMap, Rename, combine

_MOST_LEVELS = 64


def nested_backbone(config: Mapping[str, Any], faults: list[str]) -> NestedBackbone | None:
    """The content of `backbone_config`; None, with a fault, where it cannot be read."""
    try:
        return read_backbone(config)
    except RecipeError as error:
        faults.extend(error.faults)
    except ContractError as error:
        faults.append(f"backbone_config: {error}")
    return None


def backbone_field(config: Mapping[str, Any], faults: list[str], name: str, default: Any) -> Any:
    """A field of `backbone_config` by which the model around it is made; of two equal sides the one."""
    value = config.get(name)
    value = default if value is None else value
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool):
        faults.append(f"backbone_config.{name}={str(value)[:60]} is not supported: it must be one whole number.")
        return default
    return value


def read_neck(fields: ForeignFields, widths: Sequence[int], *, fusion: int) -> dict[str, Any]:
    """Options of `dpt_reassemble`. `widths`: those that a file has where it says nothing."""
    level_channels = _numbers(fields, "neck_hidden_sizes", widths, whole=True)
    factors = _numbers(fields, "reassemble_factors", (4, 2, 1, 0.5), whole=False)
    if len(factors) != len(level_channels):
        fields.faults.append(
            f"neck_hidden_sizes has {len(level_channels)} numbers and reassemble_factors {len(factors)}; each map has "
            f"one of both."
        )
    count = len(level_channels)
    if fields.raw("head_in_index") not in (None, -1, count - 1):
        fields.only("head_in_index", -1, "the finest fused map is what is read")
    return {
        "name": "dpt_reassemble",
        "channels": fields.number("fusion_hidden_size", fusion, low=1),
        "level_channels": level_channels,
        "factors": [float(factor) for factor in factors],
    }


def check_levels(backbone: NestedBackbone | None, neck: Mapping[str, Any], faults: list[str]) -> None:
    """As many maps as the neck takes; nobody chose them: they are left to the wiring."""
    if backbone is None or backbone.levels is None or neck["level_channels"] is None:
        return
    given, wanted = len(backbone.levels), len(neck["level_channels"])
    if given != wanted:
        faults.append(
            f"backbone_config: it gives {given} map{'s' if given != 1 else ''} and neck_hidden_sizes has {wanted} "
            f"numbers. The fix: {wanted} out_features."
        )


def neck_names(levels: int) -> KeyMap:
    """Of a neck with that many levels; its fusion is a part of our head."""
    # Theirs run coarse to fine, ours fine to coarse.
    places = [(f"layers.{index}", f"blocks.{levels - 1 - index}") for index in range(levels)]
    units = [("residual_layer1", "level"), ("residual_layer2", "fused")]
    convolutions = [("1", "first"), ("2", "second")]
    fusion = KeyMap(
        [
            *(Rename(f"{theirs}.projection", f"{ours}.projection") for theirs, ours in places),
            *(
                Rename(f"{theirs}.{unit}.{kind}{number}", f"{ours}.{own}.{place}.{part}")
                for theirs, ours in places
                for unit, own in units[1 if theirs == "layers.0" else 0 :]
                for number, place in convolutions
                for kind, part in (("convolution", "convolution"), ("batch_norm", "norm"))
            ),
        ],
        # The coarsest level has nothing to be added to, so the reference never runs this unit.
        drop=["layers.0.residual_layer1.*"],
    )
    reassemble = KeyMap(
        [
            Rename("reassemble_stage.readout_projects.{i}.0", "readouts.{i}"),
            Rename("reassemble_stage.layers.{i}.projection", "projections.{i}"),
            Rename("reassemble_stage.layers.{i}.resize", "resizes.{i}"),
            Rename("convs.{i}", "outputs.{i}"),
        ]
    )
    return combine(fusion.under("neck.fusion_stage", "head.fusion"), reassemble.under("neck", "neck.0"))


def level_count(config: Mapping[str, Any]) -> int:
    """How many maps the neck takes, of a configuration that was read without a fault."""
    return len(config.get("neck_hidden_sizes") or range(4))


def _numbers(fields: ForeignFields, name: str, default: Sequence[float], *, whole: bool) -> list[Any]:
    value = fields.raw(name)
    if value is None:
        return list(default)
    kinds = int if whole else int | float
    good = isinstance(value, list | tuple) and 0 < len(value) <= _MOST_LEVELS
    if not good or not all(isinstance(one, kinds) and not isinstance(one, bool) and one > 0 for one in value):
        kind = "whole numbers" if whole else "numbers"
        fields.faults.append(
            f"{fields.path}{name}={str(value)[:60]} is not supported: it must be a list of {kind} above 0."
        )
        return list(default)
    return list(value)
