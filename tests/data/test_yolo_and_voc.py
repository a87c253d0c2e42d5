"""Boxes of YOLO's and Pascal VOC's files."""

import pytest
import torch

from backbonekit.contract.labels import Labels
from backbonekit.data import open_data
from backbonekit.errors import StorageError
from tests.data.files import save_image


@pytest.fixture
def yolo(tmp_path):
    save_image(tmp_path / "images" / "train" / "a.png")
    save_image(tmp_path / "images" / "train" / "b.png")
    (tmp_path / "labels" / "train").mkdir(parents=True)
    (tmp_path / "data.yaml").write_text("names: {0: dog, 1: car}\ntrain: images/train\n")

    def write(text, **settings):
        (tmp_path / "labels" / "train" / "a.txt").write_text(text)
        return open_data({"name": "yolo", "root": str(tmp_path), "train": "images/train", **settings})

    return write


def voc_xml(*objects):
    found = [
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin>"
        f"<ymin>{box[1]}</ymin><xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"
        for name, difficult, box in objects
    ]
    return f"<annotation>{''.join(found)}</annotation>"


@pytest.fixture
def voc(tmp_path):
    save_image(tmp_path / "JPEGImages" / "a.png")
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "train.txt").write_text("a  1\n")

    def write(text, **settings):
        (tmp_path / "Annotations" / "a.xml").write_text(text)
        return open_data({"name": "voc", "root": str(tmp_path), "train": "train.txt", **settings})

    return write


def test_yolo_boxes(yolo):
    source = yolo("1 0.5 0.5 0.2 0.4\n0 0.05 0.5 0.2 0.4\n\n")
    assert source.labels == Labels(("dog", "car"))
    split = source.split("train")
    assert split.name(0) == "images/train/a.png"
    assert torch.allclose(split[0][1]["boxes"], torch.tensor([[12.0, 6, 18, 14], [0, 6, 4.5, 14]]))
    assert split[0][1]["labels"].tolist() == [1, 0]
    assert split[1][1]["boxes"].shape == (0, 4)  # without a text file


def test_yolo_polygons_and_keypoints(yolo):
    target = yolo("1 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5", objects="polygons").split("train")[0][1]
    assert torch.allclose(target["boxes"], torch.tensor([[3.0, 2, 12, 10]]))
    assert target["masks"].sum() == 72
    source = yolo("1 0.5 0.5 0.2 0.4 0.5 0.5 2 0 0 0", objects="keypoints", keypoint_names=["nose", "tail"])
    assert source.labels == Labels(("nose", "tail"))
    assert source.split("train")[0][1]["keypoints"].tolist() == [[[15, 10, 2], [0, 0, 0]]]
    empty = yolo("", objects="polygons").split("train")[0][1]
    assert empty["masks"].shape == (0, 20, 30)


def test_yolo_lists_of_images_and_names(yolo, tmp_path):
    (tmp_path / "list.txt").write_text("./images/train/b.png\nimages/train/a.png\n")
    (tmp_path / "classes.txt").write_text("cat\ncow\n")
    source = yolo("1 0.5 0.5 0.2 0.4", train="list.txt", names_file="classes.txt")
    assert source.labels == Labels(("cat", "cow"))
    assert [source.split("train").name(index) for index in range(2)] == ["images/train/b.png", "images/train/a.png"]
    assert yolo("", names=["x"]).labels == Labels(("x",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("2 0.5 0.5 0.2 0.4", "the class 2 is none of 0 to 1"),
        ("0.5 0.5 0.5 0.2 0.4", r"the class 0\.5 is none"),
        ("x 0.5 0.5 0.2 0.4", "something that is no number"),
        ("1 15 10 6 8", r"positions are in 0\.\.1"),
        ("1 nan 0.5 0.2 0.4", r"positions are in 0\.\.1"),
        ("1 0.5 0.5 0.2", r"3 numbers behind the class are no boxes; data\.objects"),
        ("1 0.1 0.1 0.4 0.1 0.4 0.5", "6 numbers behind the class are no boxes"),
    ],
)
def test_wrong_lines_of_yolo(yolo, line, message):
    with pytest.raises(StorageError, match=rf"labels/train/a\.txt: .*{message}"):
        yolo(line).split("train")
    rest = yolo(line, skip_broken=True).split("train")
    assert [rest.name(index) for index in range(len(rest))] == ["images/train/b.png"]


def test_yolo_folders_that_do_not_fit(yolo, tmp_path):
    source = yolo("")
    (tmp_path / "labels" / "train" / "a.txt").unlink()
    with pytest.raises(StorageError, match=r"none of its 2 images has a text file, such as labels/train/a\.txt"):
        source.split("train")
    save_image(tmp_path / "photos" / "a.png")
    with pytest.raises(StorageError, match="lies in no folder named 'images'"):
        yolo("", train="photos").split("train")
    (tmp_path / "data.yaml").write_text("names: {1: dog}")
    with pytest.raises(StorageError, match="no list `names`"):
        _ = yolo("").labels
    (tmp_path / "list.txt").write_text("images/../../secret.png")
    with pytest.raises(StorageError, match="leads out of"):
        yolo("", train="list.txt", names=["a"]).split("train")


def test_voc_boxes_hold_their_last_pixel(voc):
    source = voc(voc_xml(("dog", 0, (1, 1, 10, 5)), ("cat", 1, (11, 6, 30, 20))))
    assert source.labels == Labels(("cat", "dog"))
    _, target = source.split("train")[0]
    assert target["boxes"].tolist() == [[0, 0, 10, 5], [10, 5, 30, 20]]
    assert target["labels"].tolist() == [1, 0]
    assert target["iscrowd"].tolist() == [False, True]
    learned = voc(voc_xml(("dog", 1, (0, 0, 10, 5))), first_pixel=0, difficult="learned").split("train")[0][1]
    assert learned["boxes"].tolist() == [[0, 0, 10, 5]]
    assert learned["iscrowd"].tolist() == [False]


def test_voc_in_one_folder(voc, tmp_path):
    save_image(tmp_path / "both" / "b.png")
    (tmp_path / "both" / "b.xml").write_text(voc_xml(("dog", 0, (1, 1, 10, 5))))
    split = voc(voc_xml(), train="both").split("train")
    assert (len(split), split.name(0)) == (1, "b.png")


ENTITY = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><annotation>&x;</annotation>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ENTITY, "has a document type"),
        ("<annotation>", "is no XML"),
        (voc_xml(("dog", 0, (1, 1, 10, "x"))), "object 0 has no name, or no bndbox of four numbers"),
        (voc_xml(("", 0, (1, 1, 10, 5))), "object 0 has no name"),
        (voc_xml(("dog", 0, (10, 1, 1, 5))), "xmin <= xmax"),
        (voc_xml(("dgo", 0, (1, 1, 10, 5))), r"'dgo' is no class; did you mean 'dog'\?"),
    ],
)
def test_wrong_annotations_of_voc(voc, text, message):
    with pytest.raises(StorageError, match=message):
        voc(text, names=["dog"]).split("train")


def test_voc_lists_stay_inside_the_folder(voc, tmp_path):
    source = voc(voc_xml(("dog", 0, (1, 1, 10, 5))))
    (tmp_path / "train.txt").write_text("../../etc/passwd\na\nmissing\n")
    with pytest.raises(StorageError) as caught:
        source.split("train")
    assert "'../../etc/passwd' leads out of" in str(caught.value)
    assert "missing.xml does not exist" in str(caught.value)
