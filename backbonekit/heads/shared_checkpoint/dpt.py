"""What the configurations and weights of DPT and of Depth Anything have in common: the neck and its fusion."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor

from backbonekit.contract.features import octave
from backbonekit.contract.options import Channels, Range
from backbonekit.errors import RecipeError
from backbonekit.heads.shared_checkpoint.fields import ModelFields, read_apart, unsupported, unused
from backbonekit.heads.shared_checkpoint.nested_backbone import NestedBackbone
from backbonekit.heads.shared_checkpoint.written_config import WrittenRecipe
from backbonekit.weights.key_map import KeyMap, Rename, combine

Factor = Annotated[float, Range(1e-3, 1_000)]


@dataclass(kw_only=True)
class DPTLikeFields(ModelFields):
    """Fields of both, with DPT's defaults."""

    initializer_range: float = unused(0.02)
    reassemble_factors: Sequence[Factor] = (4, 2, 1, 0.5)
    neck_hidden_sizes: Sequence[Channels] = (96, 192, 384, 768)
    fusion_hidden_size: Channels = 256
    head_in_index: int = read_apart(-1)


def backbone_field(config: Mapping[str, Any], faults: list[str], name: str, default: Any) -> Any:
    """A field of `backbone_config` that the model around it depends on; of two equal sides the one."""
    value = config.get(name)
    value = default if value is None else value
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    if not isinstance(value, int) or isinstance(value, bool):
        faults.append(unsupported(f"backbone_config.{name}", value, "it must be one whole number"))
        return default
    return value


def neck_options(fields: DPTLikeFields, config: Mapping[str, Any], faults: list[str]) -> dict[str, Any]:
    """Options of `dpt_reassemble`."""
    count = len(fields.neck_hidden_sizes)
    if len(fields.reassemble_factors) != count:
        faults.append(
            f"neck_hidden_sizes has {count} numbers and reassemble_factors {len(fields.reassemble_factors)}; each map "
            f"has one of both."
        )
    index = config.get("head_in_index")
    if index not in (None, -1, count - 1):
        faults.append(unsupported("head_in_index", index, "the head reads the finest fused map"))
    return {
        "name": "dpt_reassemble",
        "channels": fields.fusion_hidden_size,
        "level_channels": list(fields.neck_hidden_sizes),
        "factors": [float(factor) for factor in fields.reassemble_factors],
    }


def written_neck(parts: WrittenRecipe, *, is_pyramid: bool) -> dict[str, Any]:
    """The fields of the neck and its fusion. `is_pyramid`: whether transformers leaves the maps as they are."""
    neck, levels = parts.necks[0], parts.levels
    # What the neck takes where it has no factors: the octaves from stride 4 on.
    usual = [2.0 ** (octave(level.stride) - octave(4 << index)) for index, level in enumerate(levels)]
    factors, widths = neck["factors"], neck["level_channels"]
    if is_pyramid != (widths is None):
        how = "does not project the maps of" if is_pyramid else "projects the maps of"
        raise RecipeError(
            [f"neck.level_channels={widths}: transformers {how} a {parts.backbone['model_type']}, always."]
        )
    if parts.backbone["model_type"] != "swinv2":
        parts.backbone["reshape_hidden_states"] = False  # transformers' neck reads tokens
    return {
        "reassemble_factors": [_number(factor) for factor in (usual if factors is None else factors)],
        "neck_hidden_sizes": [level.channels for level in levels] if widths is None else list(widths),
        "fusion_hidden_size": neck["channels"],
        "head_in_index": -1,
    }


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value


def check_levels(backbone: NestedBackbone | None, neck: Mapping[str, Any], faults: list[str]) -> None:
    """The backbone must return as many maps as the neck reads; where none are chosen, wiring chooses."""
    if backbone is None or backbone.levels is None or neck["level_channels"] is None:
        return
    given, expected = len(backbone.levels), len(neck["level_channels"])
    if given != expected:
        faults.append(
            f"backbone_config: it returns {given} map{'s' if given != 1 else ''} and neck_hidden_sizes has {expected} "
            f"numbers. The fix: {expected} out_features."
        )


def neck_names(levels: int) -> KeyMap:
    """Of a neck with that many levels; its fusion is a part of our head."""
    # Theirs run coarse to fine, ours fine to coarse.
    blocks = [(f"layers.{index}", f"blocks.{levels - 1 - index}") for index in range(levels)]
    units = [("residual_layer1", "level"), ("residual_layer2", "fused")]
    convolutions = [("1", "first"), ("2", "second")]
    fusion = KeyMap(
        [
            *(Rename(f"{theirs}.projection", f"{ours}.projection") for theirs, ours in blocks),
            *(
                Rename(f"{theirs}.{unit}.{kind}{number}", f"{ours}.{own}.{convolution}.{part}")
                for theirs, ours in blocks
                for unit, own in units[1 if theirs == "layers.0" else 0 :]
                for number, convolution in convolutions
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


def idle_unit(written: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The unit of the first fusion that is never run: the coarsest level has nothing to be added to. A copy of the unit
    behind it, whose tensors have the same shapes."""
    start = "neck.fusion_stage.layers.0.residual_layer"
    return {
        name.replace(f"{start}2", f"{start}1"): tensor.clone()
        for name, tensor in written.items()
        if name.startswith(f"{start}2.")
    }


def level_count(config: Mapping[str, Any]) -> int:
    """The number of maps that the neck reads, of a configuration that was read without a fault."""
    return len(config.get("neck_hidden_sizes") or range(4))
