"""Tables of the Hugging Face Hub by the names of columns, from Parquet files and from `save_to_disk`."""

import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.cli.verbs import run_verb
from backbonekit.contract.datasets import DataSource, Split
from backbonekit.contract.labels import Labels
from backbonekit.data import open_data
from backbonekit.errors import RecipeError, StorageError

datasets = pytest.importorskip("datasets")
IMAGE = Image.new("RGB", (30, 20), (1, 2, 3))


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    boxes = datasets.Sequence(datasets.Sequence(datasets.Value("float32")))
    classes = datasets.ClassLabel(names=["dog", "car"])
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": classes,
            "objects": {"bbox": boxes, "category": datasets.Sequence(classes)},
            "map": datasets.Image(),
            "depth": datasets.Image(),
        }
    )
    depth = Image.fromarray(np.full((20, 30), 2_500, dtype=np.uint16))
    row = {
        "image": IMAGE,
        "label": 1,
        "objects": {"bbox": [[5, 4, 10, 6], [0, 0, 0, 6]], "category": [1, 0]},
        "map": Image.new("L", (30, 20), 7),
        "depth": depth,
    }
    empty = {**row, "objects": {"bbox": [], "category": []}}
    table = datasets.Dataset.from_list([row, empty], features=features)
    (tmp_path / "files").mkdir()
    table.to_parquet(tmp_path / "files" / "train.parquet")
    table.save_to_disk(tmp_path / "saved")
    return tmp_path


def opened(folder, **settings):
    return open_data({"name": "hf_datasets", "dataset": str(folder), "train": "train", **settings})


@pytest.mark.parametrize("folder", ["files", "saved"])
def test_every_kind_of_target(saved, folder):
    source = opened(
        saved / folder,
        label_column="label",
        objects_column="objects",
        segmentation_column="map",
        depth_column="depth",
        scale=0.001,
    )
    assert isinstance(source, DataSource)
    assert source.labels == Labels(("dog", "car"))
    split = source.split("train")
    assert isinstance(split, Split)
    image, target = split[0]
    assert (image.size, image.getpixel((0, 0)), split.image_id(0)) == ((30, 20), (1, 2, 3), 0)
    assert int(target["class"]) == 1
    assert target["boxes"].tolist() == [[5, 4, 15, 10]]
    assert target["labels"].tolist() == [1]
    assert target["segmentation"].unique().tolist() == [7]
    assert torch.allclose(target["depth"], torch.tensor(2.5))
    assert split[1][1]["boxes"].shape == (0, 4)


def test_names_of_objects_and_corners(saved):
    source = opened(saved / "files", objects_column="objects", box_format="xyxy")
    assert source.labels == Labels(("dog", "car"))
    assert source.split("train")[0][1]["boxes"].tolist() == [[5, 4, 10, 6]]
    assert opened(saved / "files", objects_column="objects", names=["a", "b"]).labels == Labels(("a", "b"))
    assert opened(saved / "files", depth_column="depth").labels is None


def test_faults(saved, monkeypatch):
    with pytest.raises(RecipeError, match="nothing to learn"):
        opened(saved / "files")
    with pytest.raises(RecipeError, match="give at least one of"):
        opened(saved / "files", train=None, label_column="label")
    with pytest.raises(StorageError, match=r"has no column 'lable'; did you mean 'label'\?"):
        opened(saved / "files", label_column="lable").split("train")
    with pytest.raises(RecipeError, match="has no split 'val'"):
        opened(saved / "files", label_column="label").split("val")
    with pytest.raises(StorageError, match="could not be read"):
        opened(saved / "nothing", label_column="label").split("train")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(StorageError, match=r"pip install 'backbonekit\[datasets\]'"):
        opened(saved / "files", label_column="label").split("train")


def test_a_broken_image_is_named_by_its_row(saved, tmp_path):
    content = io.BytesIO()
    IMAGE.save(content, "PNG")
    rows = {"image": [{"bytes": content.getvalue()[:60], "path": None}], "label": [1]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "broken")
    with pytest.raises(StorageError, match=r"broken\[train\]\[0\]: broken image"):
        opened(tmp_path / "broken", label_column="label").split("train")[0]


def test_skip_broken_leaves_rows_out_that_cannot_be_read(tmp_path, capsys):
    content = io.BytesIO()
    IMAGE.save(content, "PNG")
    whole, cut = ({"bytes": content.getvalue()[:end], "path": None} for end in (None, 60))
    boxes = [[[1, 2, 3, 4]], [[1, 2, 3, 4]], [[1, 2, -3, 4]], []]
    rows = {
        "image": [cut, whole, whole, whole],
        "objects": [{"bbox": each, "category": [0] * len(each)} for each in boxes],
    }
    numbers = datasets.Sequence(datasets.Sequence(datasets.Value("float32")))
    objects = {"bbox": numbers, "category": datasets.Sequence(datasets.Value("int64"))}
    features = datasets.Features({"image": datasets.Image(), "objects": objects})
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "some")
    settings = {"objects_column": "objects", "names": ["dog"]}
    every = opened(tmp_path / "some", **settings).split("train")
    assert len(every) == 4
    rest = opened(tmp_path / "some", **settings, skip_broken=True).split("train")
    assert [(rest.image_id(index), rest.name(index)) for index in range(len(rest))] == [
        (1, f"{tmp_path}/some[train][1]"),
        (3, f"{tmp_path}/some[train][3]"),
    ]
    assert [target["image_id"] for _, target in rest] == [1, 3]
    words = [f"data.dataset={tmp_path}/some", "data.train=train", "data.objects_column=objects", "data.names=[dog]"]
    assert run_verb("check", ["data=hf_datasets", *words, "data.skip_broken=true"]) == 1
    out = capsys.readouterr().out
    assert "train: 2 images" in out
    assert "some[train][0]: broken image" in out
    datasets.Dataset.from_dict({key: each[:1] for key, each in rows.items()}, features=features).save_to_disk(
        tmp_path / "none"
    )
    with pytest.raises(RecipeError, match=r"data.train=train: no image of it can be used"):
        opened(tmp_path / "none", **settings, skip_broken=True).split("train")
