"""Features by a local Ray cluster of two workers: the same rows, also where a worker is killed."""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import backbonekit as bk
from backbonekit.cli.verbs import run_verb
from backbonekit.image_processing.image_paths import find_images
from backbonekit.inference.features import features_of_files

OVERRIDES = ["backbone=timm/test_resnet", "processing.size=[32,32]", "processing.shortest_edge=null",
             "processing.crop=null"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number in range(12):
        Image.fromarray(generator.integers(0, 255, (40, 30 + number, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    (folder / "5b.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def cluster():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield ray
    ray.shutdown()


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_rows_are_those_of_one_machine_though_a_worker_is_killed(cluster, folder, tmp_path):
    model = bk.build_model({}, OVERRIDES)
    marker = tmp_path / "killed"

    def kill_once(module, arguments):
        """Stops the first actor that runs, as a machine that goes away would."""
        if not marker.exists() and "default_worker" in sys.argv[0]:
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    handle = model.backbone.register_forward_pre_hook(kill_once)
    images, done = find_images(folder), []
    options = {"batch_size": 3, "counted": done.append}
    report = features_of_files(model, images, tmp_path / "ray.npz", engine="ray", workers=2, **options)
    handle.remove()
    assert marker.exists()
    alone = features_of_files(model, images, tmp_path / "alone.npz", batch_size=3)
    assert report == alone
    assert sum(done) == len(images)
    with np.load(tmp_path / "ray.npz") as given, np.load(tmp_path / "alone.npz") as expected:
        assert given["file"].tolist() == expected["file"].tolist()
        np.testing.assert_allclose(given["features"], expected["features"], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_predictions_are_those_of_one_machine(cluster, folder, tmp_path, capsys):
    words = [*OVERRIDES, "head=fcn", "head.num_classes=3", f"image={folder}", "threshold=0.1"]
    shown = []
    for engine in (["engine=ray", "workers=2"], []):
        assert run_verb("predict", [*words, *engine, f"results={tmp_path}/r.jsonl"]) == 1
        told = capsys.readouterr()
        assert "5b.png: not an image" in told.err
        shown.append((told.out, [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]))
    assert shown[0] == shown[1]
    assert len(shown[0][1]) == 12
    assert [len(line["annotations"]) for line in shown[0][1]] == [1] * 12


def test_without_ray_the_message_says_how_to_get_it(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = [*OVERRIDES, "backbone.pretrained=false", f"image={folder}", f"output={tmp_path}/f.npz", "engine=ray"]
    assert run_verb("features", words) == 2
    assert "pip install 'backbonekit[ray]'" in capsys.readouterr().err
