"""The Swin Transformer inside transformers' MaskFormer: `swin` with a LayerNorm for every stage and no map of the stem.

Source: transformers/models/maskformer/modeling_maskformer_swin.py; the rest as in `swin.py`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf.dropout import ATTENTION, ATTENTION_OUTPUT, EMBEDDINGS, FEEDFORWARD_OUTPUT
from backbonekit.backbones.hf.families import swin
from backbonekit.backbones.hf.family import Family, flatten_positions
from backbonekit.contract.processing import Processing
from backbonekit.weights.key_map import KeyMap, Rename, combine


@dataclass(kw_only=True)
class MaskFormerSwinArchitecture(swin.SwinArchitecture):
    """The fields of `swin`."""

    model_type: ClassVar[str] = "maskformer-swin"
    dropouts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "hidden_dropout_prob": (EMBEDDINGS, FEEDFORWARD_OUTPUT),
        "attention_probs_dropout_prob": (ATTENTION, ATTENTION_OUTPUT),
    }


def _key_map(config: MaskFormerSwinArchitecture) -> KeyMap:
    norms = [Rename("hidden_states_norms.{i}", "norms.stage{i+1}")]
    # Everything but the norms has the prefix `model`, also when written back; a lone model has no prefix.
    return combine(
        KeyMap(swin.block_rules(), drop=swin.DROPPED).under("model", ""),
        KeyMap([*swin.block_rules(), *norms], drop=swin.DROPPED),
    )


FAMILY = Family(
    config_class=MaskFormerSwinArchitecture,
    levels=swin.levels,
    construct_body=swin.construct_body,
    embed=swin.embed,
    units=swin.units,
    layout="NHWC",
    key_map=_key_map,
    stage_of=swin.stage_of,
    stem="body.patch_embed.proj.weight",
    default_norm=lambda config: "per_stage",
    final_norm="last",
    processing=Processing(size=(224, 224), interpolation="bicubic"),
    canvas=swin.canvas,
    forbidden=frozenset({0}),
    hidden_state=flatten_positions,
    attentions=swin.attentions,
)
