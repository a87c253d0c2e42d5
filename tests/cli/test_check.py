"""`check` counts, lists what is wrong, and draws; it changes nothing else."""

import json

import numpy as np
import pytest
from PIL import Image

from backbonekit.assembly.contact_sheet import contact_sheet
from backbonekit.cli.verbs import run_verb
from backbonekit.contract.labels import Labels
from backbonekit.data import GivenData, open_augmentation
from backbonekit.data.findings import examine
from tests.data.files import box, coco, save_array, save_coco, save_image

POLYGON = [[5.0, 4, 15, 4, 15, 10, 5, 10]]


def words(settings, *more):
    given = [f"data.{key}={value}" for key, value in settings.items() if key != "name"]
    return [f"data={settings['name']}", *given, *more]


@pytest.fixture
def broken(tmp_path):
    annotations = [
        box(segmentation=POLYGON),
        box(id=2, segmentation=POLYGON, iscrowd=1),
        box(id=3, bbox=[5, 4, 0, 6], segmentation=POLYGON),
        box(id=4, category=9),
    ]
    settings = save_coco(tmp_path, coco(4, annotations))
    (tmp_path / "a2.png").unlink()
    (tmp_path / "a3.png").write_bytes(b"\x89PNG\r\n")
    return settings


def test_counts_and_faults_as_text(broken, capsys):
    assert run_verb("check", words(broken)) == 1
    out = capsys.readouterr().out
    for part in (
        "train: 2 images",
        "height x width: 20 x 30",
        "channels: 3",
        "1 boxes without an area are left out.",
        "1 crowds are not learned.",
        "classes that no image has: 1\n    dog",
        "images without a target: 1\n    a1.png",
        "cannot be used: 3",
        "a0.png: annotation 4: category_id 9 is none of the categories.",
        "a2.png: there is no such file",
        "a3.png: ",
    ):
        assert part in out, part
    row = next(line for line in out.splitlines() if line.strip().startswith("car"))
    assert row.split() == ["car", "1", "2"]


def test_counts_as_json_and_a_sheet(broken, capsys, tmp_path):
    output = tmp_path / "out" / "sheet.png"
    steps = "augmentation=[{name: horizontal_flip, probability: 1}]"
    assert run_verb("check", words(broken, "format=json", f"output={output}", steps)) == 1
    captured = capsys.readouterr()
    assert f"drawing: {output}" in captured.err
    found = json.loads(captured.out)["train"]
    assert found["images"] == 2
    assert found["values"] is None  # 8-bit colours, whose mean comes with the weights
    assert found["objects_by_class"] == {"car": 2}
    assert found["sizes"] == {"smallest": [20, 30], "median": [20, 30], "largest": [20, 30]}
    assert len(found["faults"]) == 3
    with Image.open(output) as sheet:
        assert sheet.size[0] > 800


def test_a_data_set_without_faults(tmp_path, capsys):
    save_image(tmp_path / "images" / "a.png")
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[5:], labels[:2] = 1, 255
    save_array(tmp_path / "maps" / "a.png", labels)
    settings = {"name": "mask_folders", "root": tmp_path, "train": "images", "train_masks": "maps"}
    assert run_verb("check", words(settings, "data.names=[sky,road]")) == 0
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines()]
    assert ["sky", "1", "15.00%"] in rows
    assert ["road", "1", "75.00%"] in rows
    assert ["255", "(no", "class)", "1", "10.00%"] in rows


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data: give data=FORMAT"),
        (["data=cocoo"], "did you mean 'coco'"),
        (["data=coco", "data.root=x", "backbone=resnet50"], "check takes data= and augmentation= alone"),
        (["data=coco", "data.root=x", "format=xml"], "must be table or json"),
        (["data=coco", "data.root=x", "augmentation=paper", "output=a.png"], "augmentation=paper follows a model"),
        (["data=coco", "data.root=x", "augmentation=[mosaic]"], "give output=sheet.png"),
        (["data=coco", "data.root=/nowhere", "data.train=a.json"], "there is no such folder"),
    ],
)
def test_what_is_refused(arguments, message, capsys):
    assert run_verb("check", arguments) == 2
    assert message in capsys.readouterr().err


def test_every_kind_of_target_is_counted_and_drawn():
    image = Image.new("RGB", (60, 40), (90, 90, 90))
    inside = np.zeros((1, 40, 60), dtype=bool)
    inside[0, 10:30, 20:50] = True
    points = [[[30, 15, 2], [40, 20, 0]]]
    pairs = [
        (image, {"boxes": [[20, 10, 50, 30]], "labels": [1], "masks": inside, "keypoints": points}),
        (image, {"segmentation": inside[0].astype(np.int64)}),
        (image, {"depth": np.where(inside[0], 2.0, np.nan).astype(np.float32)}),
        (image, 1),
        (image, {"class": np.array([1.0, 0.0], dtype=np.float32)}),
        (np.zeros((40, 60, 5), dtype=np.uint16), {"boxes": np.zeros((0, 4)), "labels": np.zeros(0, dtype=np.int64)}),
        (image, {"boxes": [[20, 10, 21, 30]], "labels": [0]}),
    ]
    split = GivenData(train=pairs).split("train")
    findings = examine(split)
    assert findings.num_images == 7
    assert findings.objects == {1: 1, 0: 1}
    assert findings.images == {0: 3, 1: 3}
    assert findings.depth == (2.0, 2.0)
    assert findings.keypoints == {0: 1, 1: 0}
    assert findings.narrow_boxes == 1
    assert findings.without_target == ["train[5]"]
    assert findings.channels == {3: 6, 5: 1}
    assert findings.absent_classes(Labels(("a", "b", "c"))) == ["c"]
    plain = np.asarray(contact_sheet(GivenData(train=[(image, {})]).split("train")))
    for index, pair in enumerate(pairs[:5]):
        drawn = np.asarray(contact_sheet(GivenData(train=[pair]).split("train"), Labels(("a", "b"))))
        assert drawn.shape != plain.shape or not np.array_equal(drawn, plain), index
    steps = open_augmentation([{"name": "horizontal_flip", "keypoint_pairs": []}])
    assert contact_sheet(split, steps=steps, count=7).width > 1_000


def test_an_image_that_cannot_be_read_has_its_message_on_the_sheet(tmp_path):
    wrong = {"boxes": [[15, 4, 5, 10]], "labels": [1]}
    sheet = contact_sheet(GivenData(train=[(Image.new("RGB", (60, 40)), wrong)]).split("train"))
    assert (np.asarray(sheet) == (60, 20, 20)).all(axis=-1).mean() > 0.5


def test_the_values_of_bands_are_those_that_a_recipe_takes(tmp_path, capsys):
    generator = np.random.default_rng(0)
    images = [generator.normal((1000, 30_000), (100, 2000), (20, 30, 2)).astype(np.float32) for _ in range(2)]
    images[1][0, 0, 0] = np.nan
    for index, image in enumerate(images):
        (tmp_path / "images").mkdir(exist_ok=True)
        np.save(tmp_path / "images" / f"{index}.npy", image)
        save_array(tmp_path / "maps" / f"{index}.png", np.zeros((20, 30), np.uint8))
    settings = {"name": "mask_folders", "root": tmp_path, "train": "images", "train_masks": "maps"}
    assert run_verb("check", words(settings, "format=json")) == 0
    values = json.loads(capsys.readouterr().out)["train"]["values"]
    every = np.stack(images).reshape(-1, 2).astype(np.float64)
    assert values["mean"] == pytest.approx(np.nanmean(every, axis=0))
    assert values["std"] == pytest.approx(np.nanstd(every, axis=0))
    assert (values["low"], values["high"]) == (np.nanmin(every), np.nanmax(every))
    assert run_verb("check", words(settings)) == 0
    shown = capsys.readouterr().out
    first, second = values["mean"]
    assert f"  processing.mean=[{first:.4g},{second:.0f}]\n  processing.std=[" in shown
