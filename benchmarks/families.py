"""(f) Each native family as one of its smallest checkpoints has it: forward, stage 1 alone, load, memory while loading.

Every side of every family runs in a process of its own, with one image of 224 pixels (or the only size) and the least
of several times. The folder that both load was saved by transformers, from random weights.
"""

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, figures_of, row

# Configuration class and the fields in which the checkpoint differs from its defaults.
SMALL: dict[str, tuple[str, dict[str, Any]]] = {
    "beit": ("BeitConfig", {"use_relative_position_bias": True, "layer_scale_init_value": 0.1}),
    "bit": ("BitConfig", {}),
    "convnext": ("ConvNextConfig", {"hidden_sizes": [96, 192, 384, 768], "depths": [3, 3, 9, 3]}),
    "convnextv2": ("ConvNextV2Config", {"hidden_sizes": [40, 80, 160, 320], "depths": [2, 2, 6, 2]}),
    "dinov2": ("Dinov2Config", {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518}),
    "dinov2_with_registers": (
        "Dinov2WithRegistersConfig",
        {"hidden_size": 384, "num_attention_heads": 6, "image_size": 518, "patch_size": 14},
    ),
    "dinov3_convnext": ("DINOv3ConvNextConfig", {}),
    "dinov3_vit": ("DINOv3ViTConfig", {"num_register_tokens": 4}),
    "focalnet": ("FocalNetConfig", {"hidden_sizes": [192, 384, 768, 768]}),  # its defaults as a list
    "hgnet_v2": ("HGNetV2Config", {}),
    "hiera": ("HieraConfig", {"depths": [1, 2, 7, 2]}),
    "maskformer-swin": ("MaskFormerSwinConfig", {}),
    "pvt_v2": ("PvtV2Config", {}),
    "resnet": ("ResNetConfig", {}),
    "rt_detr_resnet": ("RTDetrResNetConfig", {}),
    "swin": ("SwinConfig", {}),
    "swinv2": ("Swinv2Config", {"image_size": 256, "window_size": 8}),
    "vitdet": (
        "VitDetConfig",
        {"hidden_size": 384, "num_attention_heads": 6, "window_size": 14, "window_block_indices": [0, 1, 3, 4, 6, 7]},
    ),
    "vitpose_backbone": ("VitPoseBackboneConfig", {"hidden_size": 384, "num_attention_heads": 6}),
}
COMMON = """
import gc, json, sys, time, torch
from benchmarks.measure import keep_freed_memory
folder, model_type, class_name, fields, repeats = sys.argv[1:]
fields, repeats = json.loads(fields), int(repeats)
def memory(reset=False):
    if reset:
        open("/proc/self/clear_refs", "w").write("5")
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmHWM"].split()[0]) / 1e3, int(lines["VmRSS"].split()[0]) / 1e3
def least(call):
    times = []
    for _ in range(repeats + 1):
        since = time.perf_counter()
        call()
        times.append((time.perf_counter() - since) * 1e3)
    return min(times[1:])
SETUP
def touched():
    model = load(None)
    with torch.no_grad():
        return model, sum(float(each.sum()) for each in model.parameters())
load_ms, touched_ms = least(lambda: load(None)), least(touched)
gc.collect()
_, before = memory(reset=True)
model, _ = touched()
highest, _ = memory()
weights = sum(each.numel() * each.element_size() for each in model.parameters()) / 1e6
config = model.config
size = config.image_size if model_type in ("hiera", "vitpose_backbone") else 224
keep_freed_memory()
pixels = torch.randn(1, 3, *((size, size) if isinstance(size, int) else size))
with torch.inference_mode():
    forward_ms = least(lambda: model(pixels))
    del model
    first = load([1])
    first_ms = least(lambda: first(pixels))
figures = {"load": load_ms, "touched": touched_ms, "forward": forward_ms, "first": first_ms}
figures |= {"peak": highest - before, "weights": weights}
print(json.dumps(figures))
"""
THEIRS = """
import os, transformers
from transformers.utils import logging
logging.disable_progress_bar()
logging.set_verbosity_error()
own = getattr(transformers, class_name)
backbone = transformers.MODEL_FOR_BACKBONE_MAPPING[own]
if not os.path.exists(folder + "/config.json"):
    backbone(own(**fields)).save_pretrained(folder)
load = lambda indices: backbone.from_pretrained(folder, **({} if indices is None else {"out_indices": indices})).eval()
"""
OURS = """
import backbonekit as bk
load = lambda indices: bk.AutoBackbone.from_pretrained(folder, out_indices=indices).eval()
"""
# transformers maps the file into memory; the weights are read during the first forward.
FIGURES = {
    "forward": ("forward", "ms", 1.0),
    "first": ("stage 1 alone", "ms", None),
    "load": ("load", "ms", None),
    "touched": ("load, and every weight read once", "ms", 1.0),
    "peak": ("peak memory of a load", "MB", None),
}


def run(repeats: int = 5, families: Sequence[str] = tuple(SMALL)) -> list[Row]:
    rows = []
    for model_type in families:
        class_name, fields = SMALL[model_type]
        print(f"  {model_type}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory() as folder:
            arguments = (str(Path(folder)), model_type, class_name, json.dumps(fields), str(repeats))
            theirs = figures_of(COMMON.replace("SETUP", THEIRS), *arguments)
            ours = figures_of(COMMON.replace("SETUP", OURS), *arguments)
        rows += [
            row(f"(f) {model_type}, {title}", [ours[name]], [theirs[name]], unit=unit, aim=aim)
            for name, (title, unit, aim) in FIGURES.items()
        ]
        over = "peak memory of a load / its weights"
        rows.append(row(f"(f) {model_type}, {over}", [ours["peak"]], [ours["weights"]], unit="MB", aim=1.2))
    return rows
