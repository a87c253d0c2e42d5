"""Two processes on this machine's CPU, with plain DistributedDataParallel and with accelerate."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch.distributed

from tests.engines.models import RECIPES

pytest.importorskip("accelerate")

ROOT = Path(__file__).parents[2]
SECONDS = 180  # two imports of torch on a busy machine

pytestmark = pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The results of each process."""
    folder = tmp_path_factory.mktemp("distributed")
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else os.environ.get("GLOO_SOCKET_IFNAME", ""),
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.engines.two_processes", str(rank), str(folder)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], "\n".join(outputs)[-8000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", RECIPES)
def test_processes_train_together(name, found):
    one, other = (process[name] for process in found)
    assert one["without_gradient"] == other["without_gradient"] == []
    assert one["losses"] != other["losses"]  # computed on different images
    assert one["weights"] == pytest.approx(other["weights"], rel=1e-12)  # yet the weights stay equal


def test_mask_losses_are_those_of_one_process_with_the_whole_batch(found):
    for process in found:
        mean, alone = process["terms"]["mean"], process["terms"]["alone"]
        names = [name for name in mean if name.startswith(("mask", "dice"))]
        assert len(names) == 4  # two layers
        for name in names:
            assert mean[name] == pytest.approx(alone[name], rel=1e-5)


def test_predictions_of_all_processes_are_gathered(found):
    for process in found:
        assert process["gathered"] == {
            "processes": 2,
            "types": ["DenseLogits", "ClassScores"],
            "shapes": [[2, 4, 64, 64], [2, 4]],
            "own": True,
        }
