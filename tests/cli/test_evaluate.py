"""`backbonekit evaluate`: a saved model on a data set in files; every mistake ends in a message."""

import json
import math

import numpy as np
import pytest
from huggingface_hub import ModelCard
from PIL import Image

import backbonekit as bk
from backbonekit.assembly.evaluate import evaluate
from backbonekit.cli.scores_text import scores_text
from backbonekit.cli.verbs import run_verb
from backbonekit.contract.scores import ClassTable, Scores
from backbonekit.data import open_data

DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
IDS = [10, 1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Six images with two boxes each; categories with ids of their own."""
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(6):
        name = f"{index}.png"
        Image.fromarray(random.integers(0, 256, (40, 64, 3), dtype=np.uint8)).save(folder / name)
        images.append({"id": 7 * index, "file_name": name, "height": 40, "width": 64})
        for number in range(2):
            box = [4 + 30 * number, 5, 24, 30]
            category = IDS[(index + number) % 10]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": 7 * index, "category_id": category, "bbox": box, "area": 720}
            )
    categories = [{"id": number, "name": name} for number, name in zip(IDS, DIGITS, strict=True)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "val.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return bk.build_model("fcos_digits", seed=1).save_pretrained(tmp_path_factory.mktemp("runs") / "x")


def words(saved, photos, *more: str) -> list[str]:
    return [f"recipe={saved}", "data=coco", f"data.root={photos}", "data.val=val.json", *more]


def test_scores_plots_and_card_are_written(saved, photos, tmp_path, capsys):
    more = [f"results={tmp_path}/scores.json", f"output={tmp_path}/plots", "card=true", "batch_size=4"]
    assert run_verb("evaluate", words(saved, photos, *more)) == 0
    out = capsys.readouterr().out
    assert out.startswith("box_AP 0.")
    assert "on 6 images" in out.splitlines()[0]
    assert "zero" in out
    content = json.loads((tmp_path / "scores.json").read_text())
    assert content["tasks"] == {"": "detection"}
    assert (content["data"], content["split"], content["num_images"]) == ("coco", "val", 6)
    split = open_data({"name": "coco", "root": str(photos), "val": "val.json"}).split("val")
    expected = evaluate(bk.load_model(saved), split, batch_size=4).scores
    assert content["summary"] == expected.to_dict()["summary"]
    # the ids of the data, which the model was not built with
    assert [row["category_id"] for row in content["per_class"][0]["classes"]] == IDS
    assert sum(row["objects"] for row in content["per_class"][0]["classes"]) == 12
    with Image.open(tmp_path / "plots" / "precision_recall_boxes.png") as picture:
        assert picture.width > 1000
    data = ModelCard((saved / "README.md").read_text()).data
    assert {result.dataset_name for result in data.eval_results} == {photos.name}
    assert bk.load_model(saved).labels.names == tuple(DIGITS)  # the card is no part of what is verified


def test_json_on_standard_output(saved, photos, capsys):
    assert run_verb("evaluate", words(saved, photos, "format=json")) == 0
    assert json.loads(capsys.readouterr().out)["main"]["name"] == "box_AP"


def test_a_run_knows_its_data(saved, photos, capsys):
    (saved / "experiment.yaml").write_text(
        json.dumps(
            {"model": bk.load_model(saved).recipe.to_dict(), "data": {"name": "coco", "root": str(photos), "val": "x"}}
        )
    )
    try:
        assert run_verb("evaluate", [f"recipe={saved}", "data.val=val.json"]) == 0
        assert "on 6 images" in capsys.readouterr().out
    finally:
        (saved / "experiment.yaml").unlink()


def test_broken_images_are_listed_and_the_rest_is_measured(saved, photos, tmp_path, capsys):
    for file in photos.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "3.png").write_bytes((photos / "3.png").read_bytes()[:200])
    assert run_verb("evaluate", words(saved, tmp_path)) == 1
    shown = capsys.readouterr()
    assert "on 5 images" in shown.out
    assert "1 of 6 images could not be used:" in shown.err
    assert "3.png" in shown.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["split=test"], "data has no split 'test'"),
        (["augmentation=[{name: horizontal_flip}]"], "images are measured as they are"),
        (["task=semantic"], "this model has no such task; allowed: detection."),
        (["batch_size=0", "format=yaml", "results=scores.csv", "card=yes"], "4 faults"),
        (["data.roof=x"], "roof"),
        (["threshold=0.5"], "threshold= is no argument of this command"),
    ],
)
def test_mistakes_end_in_a_message(saved, photos, capsys, more, message):
    assert run_verb("evaluate", words(saved, photos, *more)) == 2
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err
    assert shown.out == ""


def test_what_is_missing_is_told(saved, capsys):
    assert run_verb("evaluate", []) == 2
    shown = capsys.readouterr().err
    assert "no model." in shown
    assert "no data: give data=FORMAT" in shown
    assert run_verb("evaluate", ["model=fcos_digits", "card=true", "data=coco", "data.root=/x", "data.val=y"]) == 2
    assert "card=true: there is no README.md in recipe=" in capsys.readouterr().err


def test_other_classes_than_the_models_are_refused(saved, photos, tmp_path, capsys):
    content = json.loads((photos / "val.json").read_text())
    content["categories"][3]["name"] = "tree"
    for file in photos.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "val.json").write_text(json.dumps(content))
    assert run_verb("evaluate", words(saved, tmp_path)) == 2
    assert "class 3 is 'three' in the recipe and 'tree' in the data" in capsys.readouterr().err


def test_the_table_fits_the_width_and_shows_the_lowest_of_many():
    rows = tuple((f"class {index} \x1b[31m{'x' * 60}", index, (index / 100, float(index))) for index in range(100))
    rows += (("none", 100, (math.nan, 0.0)),)
    scores = Scores(
        ("abs_rel", 0.5), {"abs_rel": 0.5, "AP": math.nan, "rmse": 1234.5}, (ClassTable(("AP", "objects"), rows),), 1234
    )
    for width in (50, 100):
        text = scores_text(scores, width=width)
        assert all(len(line) <= max(width, 70) for line in text.splitlines())
    assert text.startswith("abs_rel 0.500 on 1,234 images (lower is better)")
    assert "\x1b" not in text
    assert "the 40 lowest of 101 classes" in text
    assert "class 39 " in text
    assert "class 41 " not in text
    assert "1234" in text
