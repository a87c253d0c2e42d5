"""A small experiment on shapes, and runs of it in this process and in others."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from backbonekit.assembly.build import build_composed
from backbonekit.lightning.run import run_experiment
from backbonekit.recipe.experiment_compose import compose_experiment
from tests.assembly.recipes import FCN, TIMM_RESNET
from tests.lightning.shapes import Shapes

ROOT = Path(__file__).parents[2]
RECIPE: dict[str, Any] = {
    "backbone": TIMM_RESNET,
    "head": {**FCN, "num_classes": "auto", "auxiliary": False},
    "processing": {"size": [32, 32]},
}
SETTINGS = [
    "trainer.accelerator=cpu",
    "trainer.num_workers=0",
    "trainer.max_epochs=3",
    "optimisation.batch_size=2",
    "optimisation.lr=1e-3",
]
MODEL_FILE = """
backbone: {source: timm, name: resnet10t, args: {channels: [8, 16, 24, 32], stem_width: 8}}
head: {name: fcn, num_classes: 2, auxiliary: false}
processing: {size: [32, 32]}
"""


def run(folder: Path, *overrides: str, source: Any = None, resume: bool = False, **options: Any) -> Any:
    """Trains in this process and returns what is known of the best model."""
    source = Shapes() if source is None else source
    experiment = compose_experiment(None, [*SETTINGS, *overrides], model=RECIPE).with_labels(source.labels)
    return run_experiment(experiment, folder, source=source, build=build_composed, resume=resume, **options)


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "backbonekit", "train", "--import", "tests.lightning.register_shapes", *words]


def environment() -> dict[str, str]:
    loopback = {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else {}
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **loopback}


def started(folder: Path, *words: str, resume: bool = False) -> subprocess.Popen[str]:
    """The verb in a process of its own, in `folder`; a new run has the small model and its settings."""
    (folder / "tiny.yaml").write_text(MODEL_FILE)
    words = words if resume else ("model=tiny.yaml", "data=shapes", *SETTINGS, *words)
    return subprocess.Popen(
        command(*words), cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
