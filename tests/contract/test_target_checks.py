"""Targets cannot be something else: keys that nothing reads, missing partners, whole batches without ground truth."""

import pytest
import torch

from backbonekit.contract.target_checks import check_targets
from backbonekit.contract.targets import TARGET_KEYS, TargetReader
from backbonekit.errors import ContractError
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.lookup import resolve

BOXES = TargetReader("fcos", (("boxes", "labels"),))
DENSE = TargetReader("fcn", (("segmentation",),))
MASKS = TargetReader("maskformer", (("masks", "labels"), ("segmentation",)))
FINE, COARSE = (TargetReader("fcn", (("segmentation",),), task) for task in ("fine", "coarse"))
box, label, mask, pixels = torch.rand(1, 4), torch.tensor([1]), torch.ones(1, 4, 4).bool(), torch.zeros(4, 4).long()
OBJECT = {"boxes": box, "labels": label}


@pytest.mark.parametrize(
    ("readers", "targets"),
    [
        ([BOXES], [OBJECT, OBJECT]),
        ([BOXES], [OBJECT, {}]),
        ([BOXES], [{"boxes": torch.zeros(0, 4), "labels": label[:0]}, {}]),
        ([BOXES], [{**OBJECT, "depth": pixels, "masks": mask, "image_id": 7}, {"depth": pixels}]),
        ([MASKS], [{"segmentation": pixels}, {"masks": mask, "labels": label}]),
        ([MASKS], [{"segmentation": pixels, "labels": label}, {}]),
        ([BOXES, MASKS], [{"masks": mask, "labels": label}, OBJECT]),
        ([BOXES, DENSE], [{"segmentation": pixels}, {"segmentation": pixels}]),
        ([TargetReader("angles", (("angles",),))], [{"angles": box}, {}]),
        ([], [{}, {"depth": pixels}]),
        ([FINE, COARSE], [{"coarse.segmentation": pixels}, {}]),
        ([FINE, COARSE], [{"segmentation": pixels, "coarse.segmentation": pixels}, {"fine.segmentation": pixels}]),
    ],
)
def test_what_a_model_can_learn_from_is_taken(readers, targets) -> None:
    check_targets(targets, 2, readers)


@pytest.mark.parametrize(
    ("readers", "target", "says"),
    [
        ([BOXES], {"bbox": box, "labels": label}, r"^targets\[0\]: fcos reads boxes \(x0, y0, x1, y1 in pixels\) and "
         r"labels; 'bbox' is not read\. From COCO: bk\.coco_targets\(annotations, categories\)\.$"),
        ([BOXES], {"boxes": box, "class_labels": label}, "'class_labels' is not read. transformers' name for labels"),
        ([BOXES], {"image_id": 3, "annotations": []}, "bk.coco_targets"),
        ([BOXES], {"boxes": box, "lables": label}, "Did you mean 'labels'?"),
        ([DENSE], {"mask": pixels}, "fcn reads segmentation; 'mask' is not read. The fix: segmentation"),
        ([BOXES], {"labels": label, "masks": mask}, "has labels and no boxes: fcos reads boxes"),
        ([BOXES], {"boxes": box}, "has boxes and no labels"),
        ([MASKS], {"masks": mask}, "has masks and no labels: maskformer reads masks and labels, or segmentation"),
        ([MASKS], {"labels": label}, "has labels and no masks"),
        ([BOXES], {}, r"none of the 1 targets .* fcos reads .*; given: nothing\. An image without objects"),
        ([DENSE], {"depth": pixels, "masks": mask}, r"learns from: fcn reads segmentation; given: depth and masks\.$"),
        ([BOXES, DENSE], {"depth": pixels}, "fcos reads boxes .*; fcn reads segmentation"),
        ([BOXES], {"boxes": box.numpy(), "labels": label}, "'boxes' is of type ndarray, and the model takes tensors"),
        ([BOXES], [{"bbox": [1, 2, 3, 4]}], "is of type list.*coco_targets"),
        ([TargetReader("own", ())], {"boxes": box}, "own reads no targets"),
        ([BOXES], {"boxes": box, "labels": label.float()}, r"'labels' is of torch.float32; a class is a whole number"),
        ([FINE], {"fine.segmentation": pixels.double()}, r"'fine.segmentation' is of torch.float64"),
        ([FINE, COARSE], {"corse.segmentation": pixels}, "'corse.segmentation' is not read"),
        ([FINE, COARSE], {"coarse.boxes": box}, "'coarse.boxes' is not read"),
        ([DENSE], {"fcn.segmentation": pixels}, "'fcn.segmentation' is not read"),
    ],
)  # fmt: skip
def test_what_it_cannot_is_refused(readers, target, says) -> None:
    with pytest.raises(ContractError, match=says):
        check_targets([target], 1, readers)


def test_a_target_for_each_image() -> None:
    with pytest.raises(ContractError, match="1 targets for 2 images"):
        check_targets([OBJECT], 2, [BOXES])


def test_every_criterion_and_head_declares_known_keys() -> None:
    heads = [resolve("head", name) for name in BUILTIN["head"]]
    parts = [resolve("criterion", name) for name in BUILTIN["criterion"]]
    parts += [head for head in heads if head.criterion is None]
    assert len(parts) > len(BUILTIN["criterion"])
    for part in parts:
        assert part.reads, part
        assert all(key in TARGET_KEYS for keys in part.reads for key in keys), part
