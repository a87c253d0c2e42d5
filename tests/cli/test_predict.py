"""`backbonekit predict` over images and folders; every mistake ends in a message."""

import io
import json
import os

import numpy as np
import pytest
from PIL import Image
from small_models import SmallModel

from backbonekit.cli import predict
from backbonekit.cli.verbs import run_verb
from backbonekit.image_processing.reading import open_image
from backbonekit.weights.weight_report import WeightReport, WeightSource


@pytest.fixture
def model(monkeypatch):
    """Used in place of every model: building and loading have tests of their own."""
    small = SmallModel("masks")
    monkeypatch.setattr(predict, "start_model", lambda *_: small)
    return small


@pytest.fixture
def image(tmp_path):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, 32:] = 255
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "half.png")
    return tmp_path / "in" / "half.png"


def written(folder) -> set[str]:
    return {os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names}


def test_without_output_nothing_is_written(model, image, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_verb("predict", ["recipe=o/r", f"image={image}"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "half.png: 1 bright, dark 50%\n"
    assert shown.err == ""
    assert written(tmp_path) == {"in/half.png"}


def test_one_image_is_drawn_and_written(model, image, tmp_path):
    words = ["recipe=o/r", f"image={image}", f"output={tmp_path}/new/out.jpg", f"results={tmp_path}/r.json"]
    assert run_verb("predict", [*words, "task=instance", "threshold=0.2"]) == 0
    assert open_image(tmp_path / "new" / "out.jpg").size == (64, 48)
    content = json.loads((tmp_path / "r.json").read_text())
    assert [annotation["category_id"] for annotation in content["annotations"]] == [1]
    assert content["images"][0]["file_name"] == "half.png"
    assert written(tmp_path) == {"in/half.png", "new/out.jpg", "r.json"}


def test_an_array_is_read_and_its_bands_are_chosen(model, tmp_path, capsys):
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:, 32:] = (255, 200, 100)
    np.save(tmp_path / "scene.npy", pixels)
    np.save(tmp_path / "six.npy", np.zeros((48, 64, 6), np.uint8))
    words = [f"output={tmp_path}/out.png", f"results={tmp_path}/r.json", "bands=2,1,0"]
    assert run_verb("predict", ["recipe=o/r", f"image={tmp_path}/scene.npy", *words]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["images"][0]["width"] == 64
    shown = [np.asarray(open_image(tmp_path / "out.png"))]
    assert run_verb("predict", ["recipe=o/r", f"image={tmp_path}/scene.npy", words[0]]) == 0
    shown.append(np.asarray(open_image(tmp_path / "out.png")))
    assert not np.array_equal(*shown)
    assert run_verb("predict", ["recipe=o/r", f"image={tmp_path}/six.npy"]) == 2
    assert "takes 3 channels, and this image has 6" in capsys.readouterr().err


def test_grey_images_are_repeated_and_told(model, image, capsys):
    Image.new("L", (64, 48)).save(image.parent / "grey.png")
    assert run_verb("predict", ["recipe=o/r", f"image={image.parent}"]) == 0
    assert "note: 1 grey image was repeated for the 3 channels of the model." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("dense", "bright 50%, dark 50%"),
        ("depth", "depth "),
        ("boxes", "1 bright"),
        ("classes", "%"),
        ({"seg": "masks", "far": "depth"}, "seg: 1 bright, dark 50%; far: depth"),
    ],
)
def test_every_kind_of_prediction(kind, says, image, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict, "start_model", lambda *_: SmallModel(kind))
    assert (
        run_verb(
            "predict", ["recipe=o/r", f"image={image}", f"output={tmp_path}/out.png", f"results={tmp_path}/r.json"]
        )
        == 0
    )
    assert says in capsys.readouterr().out
    assert open_image(tmp_path / "out.png").width >= 64


def test_a_folder_goes_on_past_what_it_cannot_read(model, image, tmp_path, capsys):
    folder = image.parent
    Image.new("L", (1, 1)).save(folder / "half.jpg")
    Image.fromarray(np.full((9, 9), 40_000, np.uint16)).save(folder / "deep.png")
    (folder / "broken.png").write_bytes(b"no")
    (folder / "notes.txt").write_text("no image")
    words = [
        "recipe=o/r",
        f"image={folder}",
        f"output={tmp_path}/out",
        f"results={tmp_path}/out/r.json",
        "task=semantic",
    ]
    assert run_verb("predict", words) == 1
    shown = capsys.readouterr()
    assert [line.split(":")[0] for line in shown.out.splitlines()] == ["deep.png", "half.jpg", "half.png"]
    assert "1 of 4 images could not be used" in shown.err
    assert "broken.png: not an image" in shown.err
    drawn = {"deep.png", "half.png", "half.png.png"}
    # By their positions in the folder, of which the broken one is the first.
    maps = {"r_maps/000002_deep.png", "r_maps/000003_half.png", "r_maps/000004_half.png"}
    assert written(tmp_path / "out") == drawn | maps | {"r.json"}


def test_mistakes_are_reported(image, tmp_path, capsys):
    folder = image.parent
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "broken.png").write_text("no")
    mistakes = {
        "": ["no model. Give", "no image: give"],
        f"recipe=o/r image={tmp_path}/none.png": ["no such file or folder"],
        f"recipe=o/r image={tmp_path}/*.png": [f"The fix: the folder with all its images, image={tmp_path}."],
        f"recipe=o/r image={image} threshold=2": ["threshold=2: must be"],
        f"recipe=o/r image={image} threshold=nan": ["threshold=nan: must be"],
        f"recipe=o/r image={image} seed=x": ["seed=x"],
        f"recipe=o/r image={image} bands=1,2": ["bands=1,2: one or three numbers"],
        f"recipe=o/r image={image} output=o.png num_names=x": ["num_names=x: must be"],
        f"recipe=o/r image={image} output=o.png legend=yes": ["legend=yes: must be"],
        f"recipe=o/r image={image} legend=true num_names=3": ["num_names=, legend=: changes the drawing; give output="],
        f"recipe=o/r image={image} bands=-1": ["bands=-1: one or three numbers"],
        f"recipe=o/r image={image} results=r.txt": ["must end in .json"],
        f"recipe=o/r image={image} output=": ["output= needs a path"],
        f"recipe=o/r image={image} output={image}": ["one of the images given"],
        f"recipe=o/r image={folder} output={folder}": ["one of the images given"],
        f"recipe=o/r image={folder} output={tmp_path}/file": ["is a file"],
        f"recipe=o/r image={image} output=out.xyz": ["no image format to write"],
        f"recipe=o/r image={tmp_path}/empty": ["no images in this folder"],
        f"recipe=o/r image={image} --cfg job": ["belong to `build`"],
        f"recipe=o/r image={image} save=x": ["save= is no argument"],
        f"recipe=o/r model=m image={image}": ["both name the model to start from"],
        f"recipe=o/r image={image} --import no_such_module": ["--import no_such_module"],
    }
    for words, says in mistakes.items():
        assert run_verb("predict", words.split()) == 2, words
        shown = capsys.readouterr().err
        for message in says:
            assert message in shown, words
        assert "Traceback" not in shown


def test_one_broken_image_and_a_wrong_task_are_reported(model, image, tmp_path, capsys):
    (tmp_path / "broken.png").write_text("no")
    assert run_verb("predict", ["recipe=o/r", f"image={tmp_path}/broken.png"]) == 2
    assert "not an image" in capsys.readouterr().err
    assert run_verb("predict", ["recipe=o/r", f"image={image}", "task=depth"]) == 2
    assert "task='depth'" in capsys.readouterr().err


def test_random_weights_are_reported(model, image, capsys):
    for loaded, says in ((0, "all weights are random"), (75, "25.0% of the weights are random"), (100, "")):
        model.weight_report = WeightReport([WeightSource("backbone", "here", 100, loaded=loaded)])
        assert run_verb("predict", ["recipe=o/r", f"image={image}"]) == 0
        err = capsys.readouterr().err
        assert says in err
        assert bool(err) == bool(says)


def test_random_weights_are_stamped_and_a_legend_is_beside(model, tmp_path):
    Image.new("RGB", (320, 240), "teal").save(tmp_path / "in.png")
    drawn = []
    for loaded in (100, 0):
        model.weight_report = WeightReport([WeightSource("backbone", "here", 100, loaded=loaded)])
        assert run_verb("predict", ["recipe=o/r", f"image={tmp_path}/in.png", f"output={tmp_path}/out.png"]) == 0
        drawn.append(np.asarray(open_image(tmp_path / "out.png")))
    changed = (drawn[0] != drawn[1]).any(axis=-1)
    assert changed[[0, -1]].all()
    words = ["recipe=o/r", f"image={tmp_path}/in.png", f"output={tmp_path}/out.png", "legend=true", "num_names=0"]
    assert run_verb("predict", words) == 0
    assert open_image(tmp_path / "out.png").width > 400


def test_help_names_every_argument(capsys):
    assert run_verb("predict", ["--help"]) == 0
    out = capsys.readouterr().out
    for name in predict.KNOWN:
        assert f"{name}=" in out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_terminals_only(model, image, capsys, monkeypatch):
    folder = image.parent
    Image.new("RGB", (4, 4)).save(folder / "second.png")
    for stream, where, shown in (
        (Terminal(), folder, True),
        (io.StringIO(), folder, False),
        (Terminal(), image, False),
    ):
        monkeypatch.setattr("sys.stderr", stream)
        assert run_verb("predict", ["recipe=o/r", f"image={where}"]) == 0
        assert ("0/2" in stream.getvalue()) == shown
        assert ("images/s" in stream.getvalue()) == shown
        assert stream.getvalue().split("\r")[-1].strip() == ""  # it leaves nothing behind
        assert capsys.readouterr().out.startswith("half.png: 1 bright, dark 50%\n")


def test_a_shipped_model_from_the_command_line(image, tmp_path, capsys):
    words = ["model=maskformer_resnet50", "backbone=resnet18", "processing.shortest_edge=64", "head.num_classes=3"]
    words += [f"image={image}", f"output={tmp_path}/out.png", "task=semantic"]
    assert run_verb("predict", words) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("half.png: ")
    assert "all weights are random" in shown.err
    assert open_image(tmp_path / "out.png").size == (64, 48)
    assert run_verb("predict", [*words, "head.num_queries=0.5", "nekc=fpn"]) == 2
    assert "2 faults" in capsys.readouterr().err
