"""Writes docs/families.md from the code: `python docs/make_families.py`. A test fails when the page is stale.

`python docs/make_families.py measure` first measures every family against transformers and keeps the figures in
docs/families.json.
"""

import json
import sys
import tempfile
from pathlib import Path

from backbonekit.backbones.hf.model_types import family, model_types

FIGURES = Path(__file__).with_name("families.json")
HEADER = """# Families of transformers that are built natively

`source: hf` reads the `config.json` and the weights of these families and runs them on timm modules. For each one a
test holds the maps at every index, at several odd sizes (where the family takes any size), the
gradients, and the weights written back, equal to transformers' (1e-4 relative in fp32, 1e-10 in fp64, all weights
randomised), and in bfloat16 no further from fp32 than theirs. Every other backbone of transformers runs through
`source: transformers`, the optional extra; it always runs whole, even for early maps.

Indices are transformers' own. Channels and strides are those of the family's default configuration; `norm` is what is
done to a map before it is returned (`backbone.args.norm` changes it where the family has it). `off by`: the largest
difference from transformers in fp32 over the maps of every index, relative to the largest value of its map, of a small
model with random weights and images of 131 x 87 (or the only size), as last measured
(`python docs/make_families.py measure`).

| model_type | maps (index: stride) | channels | norm | off by | a checkpoint |
|---|---|---|---|---|---|
"""
FOOTER = """
A whole model that transformers saved opens as its backbone too: image classifiers, MaskFormer, Mask2Former, UperNet,
DPT, Depth Anything, DETR and Conditional DETR with a ResNet of transformers, RT-DETR, D-FINE, ViTPose, ViTMatte
(`AutoBackbone.from_pretrained(folder)`, or `backbone.name` in a recipe). A checkpoint in italics is such a model.
"""
# The Hub's best known of each; those in italics are whole models with such a backbone.
CHECKPOINTS = {
    "beit": "microsoft/beit-base-patch16-224-pt22k",
    "bit": "google/bit-50",
    "convnext": "facebook/convnext-tiny-224",
    "convnextv2": "facebook/convnextv2-tiny-1k-224",
    "dinov2": "facebook/dinov2-base",
    "dinov2_with_registers": "facebook/dinov2-with-registers-base",
    "dinov3_convnext": "facebook/dinov3-convnext-tiny-pretrain-lvd1689m",
    "dinov3_vit": "facebook/dinov3-vits16-pretrain-lvd1689m",
    "focalnet": "microsoft/focalnet-tiny",
    "hgnet_v2": "*ustc-community/dfine_x_coco*",
    "hiera": "facebook/hiera-tiny-224-hf",
    "maskformer-swin": "*facebook/maskformer-swin-tiny-coco*",
    "pvt_v2": "OpenGVLab/pvt_v2_b0",
    "resnet": "microsoft/resnet-50",
    "rt_detr_resnet": "*PekingU/rtdetr_r50vd*",
    "swin": "microsoft/swin-tiny-patch4-window7-224",
    "swinv2": "microsoft/swinv2-tiny-patch4-window8-256",
    "vitdet": "google/vitdet-base-patch16-224",
    "vitpose_backbone": "*usyd-community/vitpose-base-simple*",
}


def families_page() -> str:
    """The page, made from the families and the kept figures."""
    figures = json.loads(FIGURES.read_text(encoding="utf-8"))
    return HEADER + "".join(_row(each, figures[each]) for each in sorted(model_types())) + FOOTER


def _row(model_type: str, off_by: float) -> str:
    found = family(model_type)
    config = found.config_class()
    levels = found.levels(config)
    shown = [index for index in range(len(levels)) if index not in found.forbidden]
    if len({level.stride for level in levels}) == 1:
        maps = f"0 to {len(levels) - 1}: {levels[0].stride:g}, one for each block"
        channels = str(levels[0].channels)
    else:
        maps = ", ".join(f"{index}: {levels[index].stride:g}" for index in shown)
        channels = ", ".join(str(levels[index].channels) for index in shown)
    norm = found.default_norm(config)
    shown_off = f"{off_by:.0e}" if off_by else "0"
    return f"| {model_type} | {maps} | {channels} | {norm} | {shown_off} | {CHECKPOINTS[model_type]} |\n"


def measure() -> dict[str, float]:
    """Of each family the largest difference from transformers over every map, relative to the map's largest value."""
    import torch

    from tests.parity.hiera_order import hiera_as_in_its_whole_model
    from tests.parity.test_hf_backbones import every_index, fitting, load, oracle
    from tests.parity.test_hf_bfloat16 import KEYS, maps_of

    found = {}
    torch.manual_seed(0)
    with hiera_as_in_its_whole_model():
        for model_type in sorted(model_types()):
            theirs = oracle(KEYS[model_type])
            with tempfile.TemporaryDirectory() as folder:
                theirs.save_pretrained(folder)
                ours, _, _ = load(Path(folder), every_index(theirs.config))
            pixel_values = torch.randn(2, 3, *fitting(theirs.config, 131, 87))
            pairs = zip(maps_of(ours, pixel_values), maps_of(theirs, pixel_values), strict=True)
            off = [float((one.flatten(2) - other.flatten(2)).abs().max() / other.abs().max()) for one, other in pairs]
            found[model_type] = float(f"{max(off):.1e}")
    return found


if __name__ == "__main__":
    if sys.argv[1:] == ["measure"]:
        FIGURES.write_text(json.dumps(measure(), indent=2) + "\n", encoding="utf-8")
    Path(__file__).with_name("families.md").write_text(families_page(), encoding="utf-8")
