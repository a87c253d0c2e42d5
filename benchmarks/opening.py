"""(l) Opening a saved MaskFormer with a ResNet-50, 165 MB: a folder of ours, whose weights are verified, and the same
weights as transformers saves them, which nothing verifies.

Each figure comes from a fresh process that has imported everything and built a model before it measures. The
second row compares with the hash of the weights alone, the least time of any verification.
"""

import tempfile
from pathlib import Path

from benchmarks.measure import Row, figures_of, row

SAVE = """
import sys
import backbonekit as bk
from transformers import MaskFormerConfig, MaskFormerForInstanceSegmentation, ResNetConfig
backbone = ResNetConfig(out_features=["stage1", "stage2", "stage3", "stage4"])
model = MaskFormerForInstanceSegmentation(MaskFormerConfig(backbone_config=backbone, num_labels=150))
model.save_pretrained(sys.argv[1] + "/theirs")
bk.load_model(sys.argv[1] + "/theirs").save_pretrained(sys.argv[1] + "/ours")
print("{}")
"""
OPEN = """
import json, sys, time
import backbonekit as bk
bk.build_model("maskformer_resnet50")
since = time.perf_counter()
model = bk.load_model(sys.argv[1])
print(json.dumps({"ms": (time.perf_counter() - since) * 1e3}))
"""
HASH = """
import json, sys, time
from pathlib import Path
from backbonekit.weights.untrusted_files import sha256_of
since = time.perf_counter()
sha256_of(Path(sys.argv[1]))
print(json.dumps({"ms": (time.perf_counter() - since) * 1e3}))
"""


def run(repeats: int = 5) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        figures_of(SAVE, folder)
        ours, theirs, hashes = [], [], []
        for _ in range(repeats):
            ours.append(figures_of(OPEN, str(Path(folder) / "ours"))["ms"])
            theirs.append(figures_of(OPEN, str(Path(folder) / "theirs"))["ms"])
            hashes.append(figures_of(HASH, str(Path(folder) / "ours" / "model.safetensors"))["ms"])
    name = "(l) open a folder"
    return [
        row(f"{name} of ours, verified / as transformers saved it, unverified", ours, theirs, unit="ms", aim=1.0),
        row(f"{name} of ours, verified / the hash alone", ours, hashes, unit="ms", aim=None),
    ]
