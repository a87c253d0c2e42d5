"""The two stages of an R-CNN: region proposals from every level, then a class and a box for each of them.

Both are torchvision's modules; this file converts levels, sizes and labels to their format.

Source: Ren et al., "Faster R-CNN" (2015); Lin et al., "Feature Pyramid Networks for Object Detection" (2017);
He et al., "Mask R-CNN" (2017); torchvision/models/detection/{rpn,roi_heads,faster_rcnn,mask_rcnn}.py.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import log2
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import initLevelMapper

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import Detections
from backbonekit.contract.requirements import choose_levels, one_width
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.ops.targets import check_labels, read_box_targets

BOX_SIDE, MASK_SIDE = 7, 14  # of the pooled features for a box and for a mask, in cells
# torchvision's names of the losses, and ours
LOSSES = {
    "loss_objectness": "objectness",
    "loss_rpn_box_reg": "proposal",
    "loss_classifier": "class",
    "loss_box_reg": "box",
    "loss_mask": "mask",
}


class RegionDetector(nn.Module):
    """Region proposal network and region heads over levels of one width.

    `head`: its name in error messages. `strides`: of the levels that it requires. `pooled_levels`: how many of them,
    the finest first, region features are pooled from; proposals come from all. The other options are those of the heads
    that use it.
    """

    def __init__(
        self,
        features: FeaturePyramid,
        *,
        head: str,
        num_classes: int,
        strides: Sequence[int],
        anchor_scale: float,
        aspect_ratios: Sequence[float],
        num_proposals: int,
        num_proposals_in_training: int,
        score_threshold: float,
        nms_threshold: float,
        max_detections: int,
        feedforward_channels: int,
        pooled_levels: int,
        has_masks: bool,
    ) -> None:
        super().__init__()
        self.positions = choose_levels(features, strides, 0, part=f"head {head}")
        levels = [features.levels[position] for position in self.positions]
        channels = one_width(levels, part=f"head {head}", fix="neck=fpn")
        if not aspect_ratios:
            raise ContractError(f"head {head}: aspect_ratios is empty; set one or more, such as [0.5, 1.0, 2.0].")
        self.num_classes = num_classes
        nominal = [level.stride for level in levels]
        # On the CPU even on the meta device: anchors are not weights, and are moved to the device of the maps.
        with torch.device("cpu"):
            anchors = AnchorGenerator(
                tuple((anchor_scale * stride,) for stride in nominal), (tuple(aspect_ratios),) * len(nominal)
            )
        self.proposals = RegionProposalNetwork(
            anchors,
            InOwnPrecision(RPNHead(channels, len(aspect_ratios))),
            fg_iou_thresh=0.7,
            bg_iou_thresh=0.3,
            batch_size_per_image=256,
            positive_fraction=0.5,
            pre_nms_top_n={"training": max(2000, num_proposals_in_training), "testing": max(1000, num_proposals)},
            post_nms_top_n={"training": num_proposals_in_training, "testing": num_proposals},
            nms_thresh=0.7,
        )
        pooled = [f"{index}" for index in range(min(pooled_levels, len(nominal)))]
        masks: dict[str, Any] = {}
        if has_masks:
            masks["mask_roi_pool"] = _pool(pooled, MASK_SIDE, nominal)
            masks["mask_head"] = InOwnPrecision(MaskRCNNHeads(channels, (256, 256, 256, 256), 1))
            masks["mask_predictor"] = InOwnPrecision(MaskRCNNPredictor(256, 256, num_classes + 1))
        self.regions = RoIHeads(
            _pool(pooled, BOX_SIDE, nominal),
            InOwnPrecision(TwoMLPHead(channels * BOX_SIDE**2, feedforward_channels)),
            # In torchvision class 0 is background.
            InOwnPrecision(FastRCNNPredictor(feedforward_channels, num_classes + 1)),
            fg_iou_thresh=0.5,
            bg_iou_thresh=0.5,
            batch_size_per_image=512,
            positive_fraction=0.25,
            bbox_reg_weights=None,
            score_thresh=score_threshold,
            nms_thresh=nms_threshold,
            detections_per_img=max_detections,
            **masks,
        )

    def forward(self, maps: FeatureMaps, canvas: Canvas, targets: Targets | None) -> Detections:
        """Detections in eval mode, none in training mode; losses wherever there are targets."""
        levels = [upcast_to_float32(maps.maps[position]) for position in self.positions]
        sizes = _image_sizes(canvas, levels[0].shape[0])
        losses = None if targets is None else self._losses(levels, canvas, sizes, targets)
        if self.training:
            empty = [levels[0].new_zeros(0, 4)] * len(sizes)
            found = [{"boxes": e, "scores": e[:, 0], "labels": e[:, 0].long(), "masks": None} for e in empty]
            return _detections(found, has_masks=False, losses=losses)
        with _mode(self.proposals, self.regions, training=False):
            proposals, _ = self.proposals(*_torchvision_inputs(levels, canvas, sizes))
            found, _ = self.regions(_by_name(levels), proposals, sizes)
        return _detections(found, has_masks=self.regions.has_mask(), losses=losses)

    def _losses(
        self, levels: list[Tensor], canvas: Canvas, sizes: list[tuple[int, int]], targets: Targets
    ) -> dict[str, Tensor]:
        box_targets = read_box_targets(targets, canvas, like=levels[0])
        images = [] if box_targets is None else box_targets.images
        if self.regions.has_mask():
            images = [image for image in images if "masks" in targets[image]]
        if box_targets is None or not images:
            return self._zeros(levels)
        check_labels(box_targets.labels, self.num_classes, key="labels")
        annotated = [level[images] for level in levels]
        annotated_sizes = [sizes[image] for image in images]
        converted = [_for_torchvision(targets[image], canvas, image, levels[0]) for image in images]
        with _mode(self.proposals, self.regions, training=True):
            proposals, first = self.proposals(*_torchvision_inputs(annotated, canvas, annotated_sizes), converted)
            _, second = self.regions(_by_name(annotated), proposals, annotated_sizes, converted)
        return {LOSSES[name]: loss for name, loss in {**first, **second}.items()}

    def _zeros(self, levels: list[Tensor]) -> dict[str, Tensor]:
        """Losses of zero for images without annotations; they depend on every parameter, so each has a gradient."""
        objectness, corrections = self.proposals.head(levels)
        no_boxes = [levels[0].new_zeros(0, 4)] * levels[0].shape[0]
        sizes = [(1, 1)] * levels[0].shape[0]
        regions = self.regions
        pooled = regions.box_roi_pool(_by_name(levels), no_boxes, sizes)
        scores, shifts = regions.box_predictor(regions.box_head(pooled))
        outputs = {"objectness": objectness, "proposal": corrections, "class": [scores], "box": [shifts]}
        if regions.has_mask():
            assert regions.mask_roi_pool is not None
            assert regions.mask_head is not None
            assert regions.mask_predictor is not None
            pooled = regions.mask_roi_pool(_by_name(levels), no_boxes, sizes)
            outputs["mask"] = [regions.mask_predictor(regions.mask_head(pooled))]
        return {
            name: torch.cat([one.flatten()[:0] for one in predictions]).sum() for name, predictions in outputs.items()
        }


class InOwnPrecision(nn.Module):
    """A module that computes in the data type of its weights and returns at least float32, because boxes in pixels and
    their overlaps are too coarse in 16 bits."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, inputs: Tensor | list[Tensor]) -> Any:
        dtype = next(self.module.parameters()).dtype
        if isinstance(inputs, Tensor):
            return _at_least_float32(self.module(inputs.to(dtype)))
        return _at_least_float32(self.module([tensor.to(dtype) for tensor in inputs]))


def _at_least_float32(outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return upcast_to_float32(outputs)
    return type(outputs)(_at_least_float32(one) for one in outputs)


def _pool(names: list[str], side: int, strides: Sequence[float]) -> MultiScaleRoIAlign:
    pool = MultiScaleRoIAlign(names, output_size=side, sampling_ratio=2)
    # torchvision estimates the scales from the images of its first batch, which is wrong on a larger canvas.
    pool.scales = [1 / stride for stride in strides[: len(names)]]
    octaves = [round(log2(stride)) for stride in strides[: len(names)]]
    pool.map_levels = initLevelMapper(octaves[0], octaves[-1])
    return pool


@contextmanager
def _mode(*modules: nn.Module, training: bool) -> Iterator[None]:
    """Sets the mode of torchvision's two stages: losses in training mode, detections in eval mode. Their submodules do
    not depend on it."""
    before = [module.training for module in modules]
    for module in modules:
        module.training = training
    try:
        yield
    finally:
        for module, was_training in zip(modules, before, strict=True):
            module.training = was_training


def _by_name(levels: list[Tensor]) -> dict[str, Tensor]:
    return {f"{index}": level for index, level in enumerate(levels)}


def _torchvision_inputs(
    levels: list[Tensor], canvas: Canvas, sizes: list[tuple[int, int]]
) -> tuple[ImageList, dict[str, Tensor]]:
    # Only the number of images and their sizes are read.
    return ImageList(levels[0].new_empty(len(sizes), 0, *canvas.size), sizes), _by_name(levels)


def _image_sizes(canvas: Canvas, batch: int) -> list[tuple[int, int]]:
    """(height, width) of each image without its padding, on the host, where torchvision clips proposals to them."""
    if canvas.pixel_mask is None:
        return [canvas.size] * batch
    sizes = torch.stack((canvas.pixel_mask.any(2).sum(1), canvas.pixel_mask.any(1).sum(1)), dim=-1)
    return [(height, width) for height, width in sizes.tolist()]


def _for_torchvision(target: Any, canvas: Canvas, image: int, like: Tensor) -> dict[str, Tensor]:
    # In torchvision class 0 is background.
    converted = {"labels": target["labels"].to(like.device) + 1, "boxes": target["boxes"].reshape(-1, 4).to(like)}
    if "masks" in target:
        masks = target["masks"].to(like.device, torch.bool)
        if canvas.pixel_mask is not None:
            masks = masks & canvas.pixel_mask[image].bool()
        converted["masks"] = masks.byte()
    return converted


def _detections(found: Sequence[dict[str, Any]], *, has_masks: bool, losses: dict[str, Tensor] | None) -> Detections:
    return Detections(
        boxes_xyxy=tuple(one["boxes"] for one in found),
        scores=tuple(one["scores"] for one in found),
        labels=tuple(one["labels"] - 1 for one in found),
        mask_probabilities=tuple(one["masks"] for one in found) if has_masks else None,
        losses=losses,
    )
