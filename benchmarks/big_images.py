"""(k) A scene in tiles: time beside the sum of the forward passes of its tiles, and memory of a process.

FCN with a ResNet-50 and 21 classes, tiles of 512 pixels that share 64. The memory is that of a scene of 10,000 x 10,000
pixels in a tiled TIFF with a network small enough for a benchmark (timm's test_resnet), beside what the process held
before.
"""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import backbonekit as bk
from backbonekit.assembly.predict import predict_large
from backbonekit.postprocessing.tiling import spans
from benchmarks.measure import Row, compare, figures_of

TILE, OVERLAP = 512, 64
SIDE = 2_000
NATIVE = ["processing.size=null", "processing.shortest_edge=null", "processing.longest_edge=null"]
MEMORY = """
import json, sys, time
import numpy as np
import backbonekit as bk
from backbonekit.assembly.predict import predict_large
def held(name):
    lines = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(lines[name].split()[0]) * 1024
model = bk.build_model("fcn_resnet50", ["backbone=timm/test_resnet", "head.num_classes=21", *sys.argv[2:]])
predict_large(model, np.zeros((1024, 1024, 3), np.uint8), tile=1024)
open("/proc/self/clear_refs", "w").write("5")
before, since = held("VmRSS"), time.perf_counter()
result = predict_large(model, sys.argv[1], tile=1024, overlap=128)
assert result.segmentation.shape == (10_000, 10_000)
print(json.dumps({"seconds": time.perf_counter() - since, "peak_mb": (held("VmHWM") - before) / 1e6}))
"""


def run(repeats: int = 3) -> list[Row]:
    model = bk.build_model("fcn_resnet50", ["head.num_classes=21", *NATIVE])
    scene = np.random.default_rng(0).integers(0, 255, (SIDE, SIDE, 3), dtype=np.uint8)
    rows = spans(SIDE, TILE, OVERLAP)
    tiles = [
        model.processor(scene[row.first : row.end, column.first : column.end])["pixel_values"]
        for row in rows
        for column in rows
    ]
    calls = partial(predict_large, model, scene, tile=TILE, overlap=OVERLAP), partial(_forwards, model, tiles)
    about = f"(k) scene of {SIDE} x {SIDE} in {len(tiles)} tiles: predict / the forward passes alone"
    return [compare(about, *calls, repeats=repeats, aim=1.2), memory()]


def memory() -> Row:
    """Peak memory of a scene of 10,000 x 10,000 pixels, beside the bytes of the scene itself."""
    import tifffile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scene.tif"
        strip = np.random.default_rng(0).integers(0, 255, (100, 10_000, 3), dtype=np.uint8)
        tifffile.imwrite(
            path, np.tile(strip, (100, 1, 1)), tile=(512, 512), photometric="rgb", metadata=None, compression=None
        )
        figures = figures_of(MEMORY, str(path), *NATIVE)
    name = "(k) peak memory of a scene of 10,000 x 10,000, 21 classes: ours / the scene's own bytes"
    return Row(name, figures["peak_mb"], 300.0, "MB", None, 1)


def _forwards(model: Any, tiles: list[torch.Tensor]) -> None:
    with torch.inference_mode():
        for tile in tiles:
            model(tile)
