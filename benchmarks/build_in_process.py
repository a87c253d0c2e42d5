"""(b) Building MaskFormer with a ResNet-50 in a warm process: random, and from a checkpoint, with peak memory.

Every figure comes from a fresh process that has imported everything and built once before it measures. The checkpoint
is one that transformers saved from random weights. Peak memory is the process's resident peak over what it held before.
"""

import tempfile

from benchmarks.measure import Row, figures_of, row

SAVE = """
import sys
from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, ResNetConfig
backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
model = MaskFormerForInstanceSegmentation(MaskFormerConfig(backbone_config=backbone, num_labels=150))
model.save_pretrained(sys.argv[1])
print(sum(p.numel() * p.element_size() for p in model.parameters()))
"""
MEASURE = """
import gc, json, sys, time
def peak(reset=False):
    if reset:
        open("/proc/self/clear_refs", "w").write("5")
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines["VmHWM"].split()[0]) * 1024, int(lines["VmRSS"].split()[0]) * 1024
{setup}
model = build(); del model; gc.collect()
_, before = peak(reset=True)
since = time.perf_counter()
model = build()
seconds = time.perf_counter() - since
{touch}
highest, _ = peak()
print(json.dumps({{"ms": seconds * 1e3, "peak_mb": (highest - before) / 1e6}}))
"""
# Tensors that are still a file's pages count only once they are read, so every parameter is read before the peak is
# taken.
TOUCH = "total = sum(float(p.detach().sum()) for p in model.parameters())"
OURS_RANDOM = """
import backbonekit as bk
build = lambda: bk.build_model("maskformer_resnet50")
"""
OURS_CHECKPOINT = """
import backbonekit as bk
build = lambda: bk.load_model(sys.argv[1])
"""
THEIRS_RANDOM = """
from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, ResNetConfig
def build():
    backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
    return MaskFormerForInstanceSegmentation(MaskFormerConfig(backbone_config=backbone, num_labels=150)).eval()
"""
THEIRS_CHECKPOINT = """
from transformers import MaskFormerForInstanceSegmentation
from transformers.utils import logging
logging.disable_progress_bar()
build = lambda: MaskFormerForInstanceSegmentation.from_pretrained(sys.argv[1]).eval()
"""


def run(repeats: int = 3) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        weights = figures_of(SAVE, folder)
        for name, ours, theirs, aim in (
            ("random", OURS_RANDOM, THEIRS_RANDOM, None),
            ("from a checkpoint", OURS_CHECKPOINT, THEIRS_CHECKPOINT, 0.5),
        ):
            pairs = [(_figures(ours, folder), _figures(theirs, folder)) for _ in range(repeats)]
            times = [a["ms"] for a, _ in pairs], [b["ms"] for _, b in pairs]
            rows.append(row(f"(b) build in process, {name}", *times, unit="ms", aim=aim))
            peaks = [a["peak_mb"] for a, _ in pairs]
            rows.append(
                row(
                    f"(b) peak memory, {name}: ours / transformers",
                    peaks,
                    [b["peak_mb"] for _, b in pairs],
                    unit="MB",
                    aim=None,
                )
            )
            size = [weights / 1e6] * repeats  # type: ignore[operator]
            limit = 1.2 if name != "random" else None
            rows.append(row(f"(b) peak memory, {name}: ours / size of the weights", peaks, size, unit="MB", aim=limit))
    return rows


def _figures(setup: str, folder: str) -> dict[str, float]:
    return figures_of(MEASURE.format(setup=setup, touch=TOUCH), folder)
