"""Depth maps beside images, and tables of labels."""

import numpy as np
import pytest
import torch

from backbonekit.contract.labels import Labels
from backbonekit.data import open_data
from backbonekit.errors import RecipeError, StorageError
from tests.data.files import save_array, save_image


@pytest.fixture
def depths(tmp_path):
    save_image(tmp_path / "rgb" / "a_rgb.png")
    save_array(tmp_path / "far" / "a_depth.png", np.full((20, 30), 2_500, dtype=np.uint16))
    suffixes = {"image_suffix": "_rgb", "depth_suffix": "_depth"}
    return {"name": "depth_maps", "root": str(tmp_path), "train": "rgb", "train_depths": "far", **suffixes}


@pytest.fixture
def table(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        save_image(tmp_path / "images" / name)

    def write(text, **settings):
        (tmp_path / "train.csv").write_text(text)
        given = {"name": "labels_csv", "root": str(tmp_path), "train": "train.csv", "train_images": "images"}
        return open_data({**given, **settings})

    return write


def test_sixteen_bits_in_millimetres(depths):
    source = open_data({**depths, "scale": 0.001})
    assert source.labels is None
    depth = source.split("train")[0][1]["depth"]
    assert depth.dtype == torch.float32
    assert depth.unique().tolist() == [2.5]


def test_arrays_and_depths_that_are_unknown(depths, tmp_path):
    (tmp_path / "far" / "a_depth.png").unlink()
    array = np.ones((20, 30), dtype=np.float64)
    array[0], array[1] = np.nan, 90
    np.save(tmp_path / "far" / "a_depth.npy", array)
    depth = open_data({**depths, "farthest": 80}).split("train")[0][1]["depth"]
    assert depth[0].isnan().all()
    assert depth[1].unique().tolist() == [0]
    assert depth[2:].unique().tolist() == [1]


def test_what_is_no_depth_map(depths, tmp_path):
    save_image(tmp_path / "far" / "a_depth.png")
    with pytest.raises(StorageError, match=r"a_rgb\.png: a_depth\.png has the shape \[20, 30, 3\]: colours, no depths"):
        open_data(depths).split("train")[0]
    save_array(tmp_path / "far" / "a_depth.png", np.ones((5, 5), dtype=np.uint16))
    with pytest.raises(StorageError, match=r"target 'depth' has shape \[5, 5\]"):
        open_data(depths).split("train")[0]
    save_image(tmp_path / "rgb" / "b_rgb.png")
    with pytest.raises(StorageError, match=r"b_rgb\.png: there is no map b_depth"):
        open_data(depths).split("train")
    del depths["train_depths"]
    with pytest.raises(RecipeError, match="train_depths is missing"):
        open_data(depths)


def test_a_column_for_each_class(table):
    source = table("file,dog,cat\na.png,1,0\nb.png,0,0\n\nc.png,1,1\n")
    assert source.labels == Labels(("dog", "cat"))
    split = source.split("train")
    assert [split.name(index) for index in range(3)] == ["a.png", "b.png", "c.png"]
    assert [split[index][1]["class"].tolist() for index in range(3)] == [[1, 0], [0, 0], [1, 1]]
    assert split[0][1]["class"].dtype == torch.float32


def test_a_column_of_names(table):
    text = "labels;file\ndog|cat;a.png\n;b.png\ncat;c.png\n"
    settings = {"labels_column": "labels", "image_column": "file", "delimiter": ";"}
    source = table(text, **settings)
    assert source.labels == Labels(("cat", "dog"))
    assert [source.split("train")[index][1]["class"].tolist() for index in range(3)] == [[1, 1], [0, 0], [1, 0]]
    named = table(text, **settings, names=["dog"], skip_broken=True).split("train")
    assert [named.name(index) for index in range(len(named))] == ["b.png"]


def test_one_class_an_image(table):
    source = table("file,label\na.png,dog\nb.png,cat|x\nc.png,cat\n", labels_column="label", multi_label=False)
    assert source.labels == Labels(("cat", "cat|x", "dog"))
    assert [int(source.split("train")[index][1]["class"]) for index in range(3)] == [2, 1, 0]


def test_wrong_rows_are_named_by_their_line(table):
    text = "file,dog\na.png,1\nb.png,maybe\nc.png\nd.png,1\n../e.png,1\n"
    with pytest.raises(StorageError) as caught:
        table(text).split("train")
    message = str(caught.value)
    for part in (
        "4 faults",
        "train.csv, line 3: 'maybe' where 1 or 0 is expected",
        "train.csv, line 4: 1 values for 2 columns",
        "d.png: there is no such file",
        "'../e.png' leads out of",
    ):
        assert part in message
    with pytest.raises(StorageError, match=r"line 2: 'dgo' is no class; did you mean 'dog'\?"):
        table("file,label\na.png,dgo\n", labels_column="label", names=["dog"]).split("train")
    with pytest.raises(StorageError, match=r"0 classes, and with data\.multi_label=false each image has one"):
        table("file,dog\na.png,0\n", multi_label=False).split("train")
    with pytest.raises(StorageError, match=r"data\.labels_column has 'lable'; did you mean 'label'"):
        _ = table("file,label\na.png,dog\n", labels_column="lable").labels
    with pytest.raises(StorageError, match="is no table"):
        _ = table("").labels
