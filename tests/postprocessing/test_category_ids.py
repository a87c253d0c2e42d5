"""Results are written with the user's own category ids, so that they are scored against the user's own file."""

import json

import numpy as np
import pytest
import torch
from PIL.Image import open as open_image

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import ClassResult, InstanceResult, PanopticResult, Segment, SemanticResult
from backbonekit.errors import ContractError
from backbonekit.postprocessing.coco import CocoResults
from backbonekit.recipe.compose import compose_recipe

OWN = Labels(("cat", "sky"), things=frozenset({0}), category_ids=(7, 3))
BOXES = torch.tensor([[1.0, 1.0, 3.0, 5.0]]).expand(2, 4)
BOTH = InstanceResult(torch.tensor([1, 0]), torch.tensor([0.5, 0.4]), BOXES)


def written(tmp_path, labels, *results) -> dict:
    coco = CocoResults(tmp_path / "r.json", labels)
    for number, result in enumerate(results):
        coco.add(f"{number}.png", (2, 3), result)
    coco.write()
    return json.loads((tmp_path / "r.json").read_text())


def test_every_kind_of_result_has_them(tmp_path):
    panoptic = PanopticResult(torch.tensor([[0, 1, 1], [2, 2, 2]]), [Segment(1, 0, 0.9), Segment(2, 1, 0.8, True)])
    best = ClassResult(torch.tensor([1, 0]), torch.tensor([0.7, 0.3]))
    content = written(tmp_path, OWN, BOTH, panoptic, best)
    first, second, segments, *classes = content["annotations"]
    assert [one["category_id"] for one in (first, second, *segments["segments_info"], *classes)] == [3, 7, 7, 3, 3, 7]
    assert content["categories"] == [{"id": 7, "name": "cat", "isthing": 1}, {"id": 3, "name": "sky", "isthing": 0}]
    assert "labels.category_ids of its recipe" in content["info"]["description"]


@pytest.mark.parametrize(("ids", "dtype", "nothing"), [((7, 254), np.uint8, 255), ((255, 9000), np.uint16, 65_535)])
def test_pixels_of_a_semantic_map_are_ids(tmp_path, ids, dtype, nothing):
    labels = Labels(("cat", "sky"), category_ids=ids)
    segmentation = torch.tensor([[0, 1, 255], [1, 1, 0]])
    content = written(tmp_path, labels, SemanticResult(segmentation))
    pixels = np.asarray(open_image(tmp_path / content["annotations"][0]["file_name"]))
    assert pixels.dtype == dtype
    assert pixels.tolist() == [[ids[0], ids[1], nothing], [ids[1], ids[1], ids[0]]]


@pytest.mark.parametrize("ids", [(-1, 0), (0, 65_535)])
def test_ids_that_no_pixel_holds_are_refused_with_the_fix(tmp_path, ids):
    with pytest.raises(ContractError, match=r"labels.category_ids=null for the class indices"):
        written(tmp_path, Labels(("cat", "sky"), category_ids=ids), SemanticResult(torch.zeros(2, 3, dtype=torch.long)))
    assert written(tmp_path, Labels(("cat", "sky"), category_ids=ids), BOTH)["annotations"][0]["category_id"] == ids[1]


def test_without_them_indices_are_written_and_the_file_says_so(tmp_path):
    content = written(tmp_path, None, BOTH)
    assert [one["category_id"] for one in content["annotations"]] == [1, 0]
    assert content["categories"] == [{"id": 0, "name": "0"}, {"id": 1, "name": "1"}]
    assert "category_id is the index of the class" in content["info"]["description"]


def test_a_recipe_keeps_them(tmp_path):
    start = {"backbone": {"source": "timm", "name": "test_resnet"}, "head": {"name": "fcn"}, "labels": ["cat", "sky"]}
    recipe = compose_recipe(start, ["labels.category_ids=[7,3]", "labels.things=[cat]"])
    assert recipe.labels == OWN
    assert compose_recipe(recipe.to_dict()).labels == OWN
    assert compose_recipe(recipe, ["labels.category_ids=null"]).labels == Labels(OWN.names, OWN.things)
    assert compose_recipe(recipe, ["labels=[a,b]"]).labels == Labels(("a", "b"))
