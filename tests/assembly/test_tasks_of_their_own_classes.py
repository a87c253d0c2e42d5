"""Several tasks, each with class names, category ids, ignored label and label map of its own."""

import json

import numpy as np
import pytest
import torch

import backbonekit as bk
from backbonekit.assembly.evaluate import evaluate
from backbonekit.cli.predict import main as predict
from backbonekit.errors import ContractError, RecipeError
from backbonekit.postprocessing.coco import CocoResults
from backbonekit.postprocessing.result_kinds import summarise
from backbonekit.recipe.validate import recipe_from_mapping
from tests.assembly.recipes import RESNET
from tests.fixed_weights import randomise_weights

DENSE = {"name": "fcn", "channels": 8}
BOXES = {"name": "fcos", "num_convolutions": 1}
IMAGE = np.zeros((40, 60, 3), np.uint8)
OWN = {"ignore_label": 9, "label_map": {"2": 0, "255": "ignore"}}
UNCHANGED = {"mean": [0, 0, 0], "std": [1, 1, 1], "size": [40, 60]}


def recipe(**tasks) -> dict:
    return {"backbone": RESNET, "heads": tasks, "processing": UNCHANGED}


def two(**changes) -> dict:
    fine = {"head": DENSE, "labels": {"names": ["road", "car", "tree"], "category_ids": [7, 26, 21]}}
    coarse = {
        "head": {**DENSE, "num_classes": 2},
        "labels": ["stuff", "thing"],
        "processing": {"ignore_label": 9, "label_map": {"1": 1, "0": 0, "2": 0, "3": "ignore"}},
    }
    return recipe(fine=fine, coarse={**coarse, **changes})


def files(height: int = 40) -> np.ndarray:
    labels = np.zeros((height, 60), np.int64)
    labels[:, 20:40], labels[:, 40:], labels[0] = 1, 2, 255
    return labels


def test_each_task_reads_the_same_files_by_its_own_rules():
    # Two sizes, so that one of them is padded.
    model = bk.build_model({**two(processing=OWN), "processing": {**UNCHANGED, "size": None, "size_divisor": 1}})
    batch = model.processor([IMAGE, IMAGE[:32]], [{"segmentation": files()}, {"segmentation": files(32)}])
    first, second = batch["targets"]
    assert set(first) == {"segmentation", "coarse.segmentation"}
    assert first["segmentation"][1, [0, 30, 50]].tolist() == [0, 1, 2]
    assert first["coarse.segmentation"][1, [0, 30, 50]].tolist() == [0, 1, 0]
    assert first["segmentation"][0].unique().tolist() == [255]
    assert first["coarse.segmentation"][0].unique().tolist() == [9]
    assert second["segmentation"][-1].unique().tolist() == [255]  # padding
    assert second["coarse.segmentation"][-1].unique().tolist() == [9]
    assert (model.criterion["fine"].ignore_label, model.criterion["coarse"].ignore_label) == (255, 9)


def test_the_losses_are_those_of_a_model_of_each_task_alone():
    both = randomise_weights(bk.build_model(two(processing=OWN)))
    batch = both.processor([IMAGE], [{"segmentation": files()}])
    losses = both(**batch).losses
    alone = bk.build_model(
        {**recipe(), "heads": {}, "head": {**DENSE, "num_classes": 2}},
        ["processing.ignore_label=9", "processing.label_map={2: 0, 255: ignore}"],
    )
    for name, value in alone.state_dict().items():
        kind, _, rest = name.partition(".")
        value.copy_(both.state_dict()[name if kind == "backbone" else f"{kind}.coarse.{rest}"])
    expected = alone(**alone.processor([IMAGE], [{"segmentation": files()}])).losses
    assert losses["coarse.cross_entropy"].item() == pytest.approx(expected["cross_entropy"].item(), rel=1e-6)
    assert losses["fine.cross_entropy"] != losses["coarse.cross_entropy"]


def test_a_task_may_have_ground_truth_of_its_own():
    heads = {"a": {"head": {**DENSE, "num_classes": 3}}, "b": {"head": {**DENSE, "num_classes": 3}}}
    model = bk.build_model(recipe(**heads))
    given = {"segmentation": np.zeros((40, 60), int), "b.segmentation": np.full((40, 60), 2)}
    (target,) = model.processor([IMAGE], [given])["targets"]
    assert target["segmentation"].unique().tolist() == [0]
    assert target["b.segmentation"].unique().tolist() == [2]
    losses = model(**model.processor([IMAGE], [given])).losses
    own = model(**model.processor([IMAGE], [{"segmentation": np.full((40, 60), 2)}])).losses
    assert losses["b.cross_entropy"] == own["b.cross_entropy"]
    assert losses["a.cross_entropy"] != own["a.cross_entropy"]
    for refused in ({"b.boxes": [[0, 0, 1, 1]]}, {"c.segmentation": given["segmentation"]}):
        with pytest.raises(ContractError, match=r"'[bc]\.\w+' is not read"):
            model.processor([IMAGE], [{**given, **refused}])
        with pytest.raises(ContractError, match=r"'[bc]\.\w+' is not read"):
            model(torch.zeros(1, 3, 40, 60), targets=[{**target, **{key: torch.zeros(1) for key in refused}}])


def test_category_ids_of_coco_are_those_of_the_task():
    neck = {"name": "fpn", "channels": 8}
    tasks = {
        "vehicles": {"neck": neck, "head": BOXES, "labels": {"names": ["car", "bus"], "category_ids": [3, 6]}},
        "all": {"neck": neck, "head": {**BOXES, "num_classes": 8}},
    }
    model = bk.build_model(recipe(**tasks))
    annotations = [{"bbox": [2, 2, 20, 20], "category_id": 6}]
    (target,) = model.processor([IMAGE], [annotations])["targets"]
    assert (target["labels"].tolist(), target["vehicles.labels"].tolist()) == ([6], [1])
    assert target["vehicles.boxes"].tolist() == [[2, 2, 22, 22]]
    with pytest.raises(ContractError, match="category_id 5 is none of the categories: 3, 6"):
        model.processor([IMAGE], [[{"bbox": [2, 2, 20, 20], "category_id": 5}]])
    # The same for a model of one task.
    single = {"backbone": RESNET, "neck": neck, "head": BOXES, "labels": tasks["vehicles"]["labels"]}
    (target,) = bk.build_model(single).processor([IMAGE], [annotations])["targets"]
    assert target["labels"].tolist() == [1]


def test_results_drawings_and_files_have_the_names_of_each_task(tmp_path):
    model = randomise_weights(bk.build_model(two()))
    labels = model.result_labels()
    assert labels["fine"].names == ("road", "car", "tree")
    assert labels["coarse"].names == ("stuff", "thing")
    assert model.result_labels("coarse") == labels["coarse"]
    (result,) = model.predict([IMAGE])
    assert result["coarse"].ignore_label == 9
    text = summarise(result, labels)
    names = text.split("; coarse: ")
    assert any(name in names[0] for name in labels["fine"].names)
    assert any(name in names[1] for name in labels["coarse"].names)
    drawn = np.asarray(bk.draw(IMAGE, result, labels))
    everywhere = np.asarray(bk.draw(IMAGE, result, labels["fine"]))  # the names of one task over both
    middle = drawn.shape[1] // 2
    assert np.array_equal(drawn[:, :middle], everywhere[:, :middle])
    assert not np.array_equal(drawn[:, middle:], everywhere[:, middle:])
    results = CocoResults(tmp_path / "r.json", labels)
    results.add("one.png", (40, 60), result)
    results.write()
    written = json.loads((tmp_path / "r.json").read_text())
    found = [(one["task"], one["id"], one["name"]) for one in written["categories"]]
    assert found == [
        ("fine", 7, "road"),
        ("fine", 26, "car"),
        ("fine", 21, "tree"),
        ("coarse", 0, "stuff"),
        ("coarse", 1, "thing"),
    ]
    assert "labels.category_ids" in written["info"]["description"]


def test_a_split_is_measured_by_the_rules_of_each_task():
    """What is right by a task's own classes counts as right, though the files have other labels."""

    class Files:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int):
            return IMAGE, {"segmentation": torch.from_numpy(files()), "class": torch.tensor(index)}

        def name(self, index: int) -> str:
            return f"{index}.png"

    tasks = {
        **two(processing=OWN)["heads"],
        "image": {"head": {"name": "classification", "num_classes": 1}, "processing": {"label_map": {"1": "ignore"}}},
    }
    model = randomise_weights(bk.build_model(recipe(**tasks)))
    found = evaluate(model, Files())
    fine, coarse, *_ = (table.rows for table in found.scores.per_class)
    (result,) = model.predict([IMAGE])
    expected, classes = torch.from_numpy(files()), result["coarse"].segmentation
    counted = expected != 255
    share = ((classes == (expected == 1)) & counted).sum() / counted.sum()
    assert found.scores.summary["coarse/pixel_accuracy"] == pytest.approx(share.item())
    assert [name for name, _, _ in coarse] == ["stuff", "thing"]
    assert [row[:2] for row in fine] == [("road", 7), ("car", 26), ("tree", 21)]


def test_the_command_line_shows_and_saves_them(tmp_path, capsys):
    from PIL import Image

    Image.fromarray(IMAGE).save(tmp_path / "one.png")
    saved = randomise_weights(bk.build_model(two())).save_pretrained(tmp_path / "m")
    opened = bk.load_model(saved)
    assert opened.recipe == bk.build_model(two()).recipe
    assert opened.recipe.heads["coarse"].labels.names == ("stuff", "thing")
    assert opened.processor.ignore_label_of("coarse") == 9
    out = tmp_path / "r.json"
    code = predict(
        [f"recipe={saved}", f"image={tmp_path / 'one.png'}", f"results={out}", f"output={tmp_path / 'o.png'}"]
    )
    assert code == 0
    shown = capsys.readouterr().out
    assert "coarse: " in shown
    assert any(name in shown for name in ("stuff", "thing"))
    assert {one["task"] for one in json.loads(out.read_text())["categories"]} == {"fine", "coarse"}


def test_the_labels_of_the_model_stay_the_default_where_they_fit():
    heads = {"a": {"head": DENSE}, "b": {"head": {**DENSE, "num_classes": 5}}}
    model = bk.build_model({**recipe(**heads), "labels": ["x", "y"]})
    assert (model.task_labels("a").names, model.task_labels("b")) == (("x", "y"), None)
    other = bk.build_model({**recipe(b=heads["b"]), "labels": ["x", "y"]})
    assert any("labels: 2 names, and no task has as many classes (b: 5)" in note for note in other.weight_report.notes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": ["a"]}, "heads.coarse.head.num_classes is 2 and heads.coarse.labels names 1 classes"),
        ({"labels": {"name": ["a", "b"]}}, "heads.coarse.labels.name is unknown; did you mean 'names'"),
        ({"labels": {"0": "a"}}, "heads.coarse.labels: names in the order of their numbers are a list"),
        ({"processing": {"size": [1, 1]}}, r"heads.coarse.processing.size: an image is prepared once.*processing.size"),
        ({"processing": {"label_mp": {}}}, "heads.coarse.processing.label_mp: did you mean 'label_map'"),
        ({"processing": {"label_map": {"3": 2}}}, "heads.coarse.processing.label_map.3: given 2, which is no class"),
        ({"processing": {"label_map": {"x": 1}}}, "heads.coarse.processing.label_map: the key 'x'"),
        ({"head": {"name": "dpt"}, "labels": ["a"]}, "heads.coarse.labels: dpt predicts no classes"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(changes, message):
    with pytest.raises(RecipeError, match=message):
        bk.build_model(two(**changes))


def test_the_ignored_labels_of_two_criteria_become_each_tasks_own():
    def head(label: int) -> dict:
        return {
            "head": {**DENSE, "num_classes": 3, "criterion": {"name": "dense_cross_entropy", "ignore_label": label}}
        }

    read = recipe_from_mapping({"backbone": RESNET, "heads": {"a": head(7), "b": head(8)}})
    assert [task.processing["ignore_label"] for task in read.heads.values()] == [7, 8]
    assert "ignore_label" not in read.processing
    tasks = {"a": {**head(7), "processing": {"ignore_label": 6}}, "b": head(8)}
    with pytest.raises(
        RecipeError, match=r"heads.a.head.criterion.ignore_label is 7 and heads.a.processing.ignore_label is 6"
    ):
        recipe_from_mapping({"backbone": RESNET, "heads": tasks})


def test_overrides_change_one_task():
    changed = bk.build_model(
        two(),
        ["heads.fine.labels=[a, b]", "heads.coarse.processing.ignore_label=-1", "heads.coarse.head.num_classes=4"],
    )
    assert (changed.task_labels("fine").names, changed.recipe.heads["fine"].num_classes) == (("a", "b"), 2)
    assert changed.processor.ignore_label_of("coarse") == -1
    assert changed.recipe.heads["coarse"].processing["label_map"]["3"] == "ignore"
    assert changed.task_labels("coarse") is None
    assert any("heads.coarse.labels: the 2 names are dropped" in note for note in changed.weight_report.notes)
