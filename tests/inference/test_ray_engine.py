"""Features and predictions by a local Ray cluster of two workers, which write them: the same rows as on one machine,
also where a worker is killed."""

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
from backbonekit.errors import StorageError
from backbonekit.image_processing.image_paths import find_images
from backbonekit.inference import features
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


def refuse(*given, **named):
    raise AssertionError("actors write")


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_rows_are_those_of_one_machine_though_a_worker_is_killed(cluster, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_ROWS_OF_AN_ACTOR", 3)
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
    with monkeypatch.context() as here:  # an actor is another process
        here.setattr("backbonekit.inference.parts.save", refuse)
        report = features_of_files(model, images, tmp_path / "ray.npz", engine="ray", workers=2, **options)
    handle.remove()
    assert marker.exists()
    assert {path.name for path in tmp_path.iterdir()} == {"ray.npz", "killed"}
    alone = features_of_files(model, images, tmp_path / "alone.npz", batch_size=3)
    assert report == alone
    assert sum(done) == len(images)
    with np.load(tmp_path / "ray.npz") as given, np.load(tmp_path / "alone.npz") as expected:
        assert given["file"].tolist() == expected["file"].tolist()
        np.testing.assert_allclose(given["features"], expected["features"], rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_an_interrupted_run_goes_on_with_the_parts_that_are_missing(cluster, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_ROWS_OF_AN_ACTOR", 4)
    model, images, output = bk.build_model({}, OVERRIDES), find_images(folder), tmp_path / "f.npz"
    with monkeypatch.context() as here:  # interrupted once all parts are there
        here.setattr(features, "write_features", refuse)
        with pytest.raises(AssertionError, match="actors write"):
            features_of_files(model, images, output, engine="ray", workers=2)
    parts = sorted((tmp_path / ".f.npz.parts").glob("*.safetensors"))
    assert len(parts) == 4
    parts[1].unlink()
    with pytest.raises(StorageError, match="another engine, rows in a part"):
        features_of_files(model, images, output)
    report = features_of_files(model, images, output, engine="ray", workers=2)
    assert (report.rows, report.resumed) == (12, 9)
    with np.load(output) as given:
        assert given["file"].tolist() == [path.name for path in images if path.name != "5b.png"]


@pytest.mark.filterwarnings("ignore")  # of Ray's own modules
def test_predictions_are_those_of_one_machine(cluster, folder, tmp_path, capsys, monkeypatch):
    words = [*OVERRIDES, "head=fcn", "head.num_classes=3", f"image={folder}", "threshold=0.1"]
    shown = []
    for engine in (["engine=ray", "workers=2"], []):
        written = tmp_path / "-".join(["x", *engine])
        with monkeypatch.context() as here:
            if engine:
                here.setattr("backbonekit.inference.leftovers.draw", refuse)
            assert run_verb("predict", [*words, *engine, f"results={written}/r.jsonl", f"output={written}/drawn"]) == 1
        told = capsys.readouterr()
        assert "5b.png: not an image" in told.err
        lines = [json.loads(line) for line in (written / "r.jsonl").read_text().splitlines()]
        files = {str(path.relative_to(written)): path.read_bytes() for path in written.rglob("*") if path.is_file()}
        shown.append((told.out, lines, files))
    assert shown[0] == shown[1]
    _, lines, files = shown[0]
    assert len(files) == 1 + 12 + 12  # the lines, the drawn images, the maps
    assert [line["id"] for line in lines] == [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13]  # the seventh file is broken
    assert [annotation["id"] for line in lines for annotation in line["annotations"]] == list(range(1, 13))


def test_without_ray_the_message_says_how_to_get_it(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    words = [*OVERRIDES, "backbone.pretrained=false", f"image={folder}", f"output={tmp_path}/f.npz", "engine=ray"]
    assert run_verb("features", words) == 2
    assert "pip install 'backbonekit[ray]'" in capsys.readouterr().err
