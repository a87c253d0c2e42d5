"""(a) The whole `build` command, against a script that does the same with transformers, and against the floor.

The floor is the least time of any tool on these libraries: `import timm` and creating the backbone. `build` also runs a
forward; for the comparison with the floor that forward's own time, which the command reports, is left out.
"""

import json
import sys
import time

from benchmarks.measure import Row, _run, compare_commands, row

COMMAND = [sys.executable, "-m", "backbonekit.build", "model=maskformer_resnet50"]
TRANSFORMERS = """
import torch
from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, ResNetConfig
backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
config = MaskFormerConfig(backbone_config=backbone, num_labels=150)
model = MaskFormerForInstanceSegmentation(config).eval()
with torch.inference_mode():
    out = model(torch.randn(1, 3, 224, 224))
print(sum(p.numel() for p in model.parameters()), out.masks_queries_logits.shape)
"""
FLOOR = "import timm; timm.create_model('resnet50', num_classes=0)"


def run(repeats: int = 5) -> list[Row]:
    rows = [
        compare_commands(
            "(a) build command / the same with transformers",
            COMMAND,
            [sys.executable, "-c", TRANSFORMERS],
            repeats=repeats,
            aim=None,
        )
    ]
    ours, floor = [], []
    for _ in range(repeats):
        since = time.perf_counter()
        reported = json.loads(_run([*COMMAND, "format=json"]))
        ours.append((time.perf_counter() - since - reported["totals"]["seconds"]) * 1e3)
        since = time.perf_counter()
        _run([sys.executable, "-c", FLOOR])
        floor.append((time.perf_counter() - since) * 1e3)
    rows.append(
        row(
            "(a) build command without its forward / floor: import timm, create resnet50",
            ours,
            floor,
            unit="ms",
            aim=1.1,
        )
    )
    return rows
