"""(a) The whole `build` command, against a script that does the same with transformers, and against the floor.

The floor is the least time of any tool on these libraries: `import timm` and creating the backbone. `build` also runs a
forward; for the comparison with the floor it stops before that, and both are measured as processor time, which a busy
machine disturbs less.
"""

import resource
import sys

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

WITHOUT_FORWARD = """
from backbonekit.cli import build
class Stop(Exception): pass
start_model = build.start_model
def stop(*given):
    start_model(*given)
    from backbonekit.assembly import describe, inference
    raise Stop
build.start_model = stop
try:
    build.main(["model=maskformer_resnet50"])
except Stop:
    pass
else:
    raise AssertionError("the command did not build its model")
"""


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
        ours.append(_processor_time([sys.executable, "-c", WITHOUT_FORWARD]))
        floor.append(_processor_time([sys.executable, "-c", FLOOR]))
    rows.append(
        row(
            "(a) build command without its forward / floor: import timm, create resnet50, processor time",
            ours,
            floor,
            unit="ms",
            aim=1.05,
        )
    )
    return rows


def _processor_time(command: list[str]) -> float:
    """Of a process and its threads, in milliseconds."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    _run(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1e3
