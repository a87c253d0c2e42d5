"""The Swin Transformer inside transformers' MaskFormer: `swin` with a LayerNorm for every stage and no map of the stem.

Source: transformers/models/maskformer/modeling_maskformer_swin.py; the rest as in `swin.py`.
"""

from dataclasses import dataclass
from typing import ClassVar

from backbonekit.backbones.hf import swin
from backbonekit.backbones.hf.family import Family
from backbonekit.contract.processing import Processing
from backbonekit.storage.key_map import KeyMap, Rename


@dataclass(kw_only=True)
class MaskFormerSwinArchitecture(swin.SwinArchitecture):
    """The fields of `swin`."""

    model_type: ClassVar[str] = "maskformer-swin"


def _key_map(config: MaskFormerSwinArchitecture) -> KeyMap:
    norms = [Rename("hidden_states_norms.{i}", "norms.stage{i+1}")]
    return KeyMap([*swin.block_rules(), *norms], drop=swin.DROPPED, prefixes=["model"])


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
)
