"""Images in folders of classes, and images with maps in a folder beside them."""

import numpy as np
import pytest

from backbonekit.contract.labels import Labels
from backbonekit.data import open_data
from backbonekit.errors import RecipeError, StorageError
from tests.data.files import save_array, save_image


@pytest.fixture
def classes(tmp_path):
    for name in ("train/dog/2.png", "train/dog/10.png", "train/cat/deep/1.png", "val/dog/1.png"):
        save_image(tmp_path / name)
    (tmp_path / "train" / "dog" / ".hidden.png").write_bytes(b"")
    (tmp_path / "train" / "dog" / "notes.txt").write_text("no image")
    return {"name": "image_folders", "root": str(tmp_path), "train": "train", "val": "val"}


@pytest.fixture
def maps(tmp_path):
    labels = np.zeros((20, 30), dtype=np.uint8)
    labels[5:], labels[:2] = 7, 255
    save_image(tmp_path / "images" / "town" / "a_photo.png")
    save_array(tmp_path / "maps" / "town" / "a_ids.png", labels)
    suffixes = {"image_suffix": "_photo", "mask_suffix": "_ids"}
    return {"name": "mask_folders", "root": str(tmp_path), "train": "images", "train_masks": "maps", **suffixes}


def test_folders_are_classes(classes):
    source = open_data(classes)
    assert source.labels == Labels(("cat", "dog"))
    split = source.split("train")
    assert [split.name(index) for index in range(len(split))] == ["cat/deep/1.png", "dog/2.png", "dog/10.png"]
    assert [int(split[index][1]["class"]) for index in range(len(split))] == [0, 1, 1]
    assert split.image_id(0) == "cat/deep/1.png"
    assert int(source.split("val")[0][1]["class"]) == 1


def test_names_order_the_classes_and_an_unknown_folder_is_refused(classes, tmp_path):
    assert int(open_data({**classes, "names": ["dog", "cat"]}).split("train")[0][1]["class"]) == 1
    save_image(tmp_path / "val" / "dogs" / "1.png")
    with pytest.raises(StorageError, match=r"dogs: is the folder of no class; did you mean 'dog'\?"):
        open_data(classes).split("val")


def test_folders_without_classes_are_refused(tmp_path):
    save_image(tmp_path / "train" / "1.png")
    with pytest.raises(StorageError, match="no folders of classes"):
        _ = open_data({"name": "image_folders", "root": str(tmp_path), "train": "train"}).labels


def test_maps_go_with_images_by_name(maps):
    split = open_data(maps).split("train")
    assert split.name(0) == "town/a_photo.png"
    image, target = split[0]
    assert image.size == (30, 20)
    assert target["segmentation"].unique().tolist() == [0, 7, 255]
    assert open_data(maps).labels is None


def test_label_map_makes_classes_of_the_files_numbers_and_keeps_them_as_ids(maps):
    source = open_data({**maps, "names": ["sky", "road"], "label_map": {7: 1, 0: 0}})
    assert source.labels == Labels(("sky", "road"), category_ids=(0, 7))
    assert source.split("train")[0][1]["segmentation"].unique().tolist() == [0, 1, 255]
    ignoring = open_data({**maps, "names": ["road"], "label_map": {7: 0, 0: "ignore"}})
    assert ignoring.split("train")[0][1]["segmentation"].unique().tolist() == [0, 255]
    with pytest.raises(RecipeError, match=r"data\.label_map: the key 'road' must be the number of a label"):
        open_data({**maps, "label_map": {"road": 1}})


def test_a_label_that_is_no_class_is_named_with_its_file(maps):
    with pytest.raises(StorageError, match=r"town/a_photo\.png: .*holds the label 7; .*label_map"):
        open_data({**maps, "names": ["sky", "road"]}).split("train")[0]


def test_maps_of_colours(maps, tmp_path):
    colours = np.zeros((20, 30, 3), dtype=np.uint8)
    colours[5:], colours[:2] = (128, 64, 128), (0, 0, 1)
    save_array(tmp_path / "maps" / "town" / "a_ids.png", colours)
    palette = {"sky": [0, 0, 0], "road": [128, 64, 128], "ignore": [0, 0, 1]}
    source = open_data({**maps, "palette": palette})
    assert source.labels == Labels(("sky", "road"))
    segmentation = source.split("train")[0][1]["segmentation"]
    assert [int(segmentation[row, 0]) for row in (0, 3, 6)] == [255, 0, 1]
    del palette["ignore"]
    with pytest.raises(StorageError, match=r"the colour \[0, 0, 1\] of 60 pixels is not in data\.palette"):
        open_data({**maps, "palette": palette}).split("train")[0]
    with pytest.raises(StorageError, match="colours, no numbers of classes"):
        open_data(maps).split("train")[0]
    with pytest.raises(RecipeError, match=r"data\.palette\.road: has the colour of 'sky'"):
        open_data({**maps, "palette": {"sky": [0, 0, 0], "road": [0, 0, 0]}})
    with pytest.raises(RecipeError, match=r"leave out data\.names"):
        open_data({**maps, "palette": palette, "names": ["a"]})


def test_an_image_without_a_map(maps, tmp_path):
    save_image(tmp_path / "images" / "b_photo.png")
    with pytest.raises(StorageError, match=r"b_photo\.png: there is no map b_ids\.\* in"):
        open_data(maps).split("train")
    assert len(open_data({**maps, "skip_broken": True}).split("train")) == 1


def test_a_map_of_another_size_and_missing_settings(maps, tmp_path):
    save_array(tmp_path / "maps" / "town" / "a_ids.png", np.zeros((5, 5), dtype=np.uint8))
    with pytest.raises(StorageError, match=r"a_photo\.png: target 'segmentation' has shape \[5, 5\]"):
        open_data(maps).split("train")[0]
    del maps["train_masks"]
    with pytest.raises(RecipeError, match=r"data\.train_masks is missing"):
        open_data(maps)


def test_files_of_several_bands(maps, tmp_path):
    (tmp_path / "images" / "town" / "a_photo.png").unlink()
    np.save(tmp_path / "images" / "town" / "a_photo.npy", np.zeros((20, 30, 5), dtype=np.uint16))
    image, _ = open_data(maps).split("train")[0]
    assert image.shape == (20, 30, 5)
