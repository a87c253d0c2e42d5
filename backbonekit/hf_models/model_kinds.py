"""Whole models by the kind of their prediction: what their labels are, and what they return."""

from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float, Int
from torch import Tensor

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries, MaskQueries
from backbonekit.contract.targets import Target
from backbonekit.errors import ContractError
from backbonekit.hf_models.model_outputs import (
    BoxModelOutput,
    DenseModelOutput,
    DepthModelOutput,
    MaskModelOutput,
    PoseModelOutput,
)
from backbonekit.hf_models.whole_model import WholeModel
from backbonekit.ops.boxes import cxcywh_to_xyxy, image_sizes

Images = Float[Tensor, "batch channels height width"]
Mask = Bool[Tensor, "batch height width"] | Int[Tensor, "batch height width"] | None


class BoxModel(WholeModel):
    """Finds objects: a set of boxes, each with a class."""

    def forward(
        self,
        pixel_values: Images,
        pixel_mask: Mask = None,
        labels: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> BoxModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: for each image `class_labels` [objects] and `boxes`
        [objects, 4], centre and size in [0, 1] of the image without its padding."""
        targets: list[Target] | None = None
        if labels is not None:
            _check_count(len(labels), pixel_values)
            canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
            sizes = image_sizes(canvas, pixel_values).expand(len(labels), 2).repeat(1, 2)
            targets = [
                {"labels": one["class_labels"].long(), "boxes": cxcywh_to_xyxy(one["boxes"].to(sizes.dtype)) * size}
                for one, size in zip(labels, sizes, strict=True)
            ]
        out = self._run(pixel_values, pixel_mask, targets)
        prediction: BoxQueries = out.predictions  # type: ignore[assignment]
        earlier = None
        if prediction.auxiliary is not None:
            earlier = tuple(
                {"logits": one.class_logits, "pred_boxes": one.boxes_cxcywh} for one in prediction.auxiliary
            )
        return BoxModelOutput(
            logits=prediction.class_logits,
            pred_boxes=prediction.boxes_cxcywh,
            feature_maps=out.feature_maps,
            loss=out.loss,
            loss_dict=out.losses,
            auxiliary_outputs=earlier,
        )


class MaskModel(WholeModel):
    """Segments images by a set of masks, each with a class."""

    def forward(
        self,
        pixel_values: Images,
        pixel_mask: Mask = None,
        mask_labels: Sequence[Tensor] | None = None,
        class_labels: Sequence[Tensor] | None = None,
    ) -> MaskModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `mask_labels`: for each image [masks, height, width], 1 inside;
        `class_labels`: for each image [masks]."""
        out = self._run(pixel_values, pixel_mask, mask_targets(mask_labels, class_labels))
        prediction: MaskQueries = out.predictions  # type: ignore[assignment]
        return MaskModelOutput(
            class_queries_logits=prediction.class_logits,
            masks_queries_logits=prediction.mask_logits,
            feature_maps=out.feature_maps,
            loss=out.loss,
            loss_dict=out.losses,
            auxiliary_logits=earlier_masks(prediction.auxiliary),
        )


class DenseModel(WholeModel):
    """Gives every pixel a class."""

    def forward(
        self, pixel_values: Images, pixel_mask: Mask = None, labels: Int[Tensor, "batch height width"] | None = None
    ) -> DenseModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: the class of each pixel, 255 where nobody says."""
        targets = None if labels is None else [{"segmentation": one} for one in labels.long()]
        out = self._run(pixel_values, pixel_mask, targets)
        return DenseModelOutput(out.predictions.logits, out.feature_maps, out.loss, out.losses)  # type: ignore[union-attr]


class DepthModel(WholeModel):
    """Gives every pixel a depth."""

    def forward(
        self, pixel_values: Images, pixel_mask: Mask = None, labels: Float[Tensor, "batch height width"] | None = None
    ) -> DepthModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: depth, 0 or NaN where nobody knows; transformers trains no
        depth."""
        targets = None if labels is None else [{"depth": one} for one in labels]
        out = self._run(pixel_values, pixel_mask, targets)
        return DepthModelOutput(out.predictions.depth, out.feature_maps, out.loss, out.losses)  # type: ignore[union-attr]


class PoseModel(WholeModel):
    """Finds the keypoints of the one person in an image."""

    def forward(
        self, pixel_values: Images, pixel_mask: Mask = None, labels: Float[Tensor, "batch keypoints 3"] | None = None
    ) -> PoseModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: x, y in pixels of the input and visibility (0: nobody says)
        of each keypoint; transformers trains no poses."""
        targets = None if labels is None else [{"keypoints": one[None]} for one in labels]
        out = self._run(pixel_values, pixel_mask, targets)
        return PoseModelOutput(out.predictions.heatmaps, out.feature_maps, out.loss, out.losses)  # type: ignore[union-attr]


def mask_targets(mask_labels: Sequence[Tensor] | None, class_labels: Sequence[Tensor] | None) -> list[Target] | None:
    """Targets of the contract. Raises ContractError where one of the two is missing, or of other images."""
    if mask_labels is None and class_labels is None:
        return None
    if mask_labels is None or class_labels is None or len(mask_labels) != len(class_labels):
        given = [0 if labels is None else len(labels) for labels in (mask_labels, class_labels)]
        raise ContractError(
            f"mask_labels of {given[0]} images and class_labels of {given[1]}; a loss wants both, one each an image."
        )
    return [
        {"labels": classes.long(), "masks": masks != 0}
        for masks, classes in zip(mask_labels, class_labels, strict=True)
    ]


def earlier_masks(auxiliary: tuple[MaskQueries, ...] | None) -> tuple[dict[str, Tensor], ...] | None:
    """Predictions of earlier decoder layers under transformers' names."""
    if auxiliary is None:
        return None
    return tuple(
        {"class_queries_logits": layer.class_logits, "masks_queries_logits": layer.mask_logits} for layer in auxiliary
    )


def _check_count(given: int, pixel_values: Tensor) -> None:
    if given != len(pixel_values):
        raise ContractError(f"labels of {given} images for a batch of {len(pixel_values)}; give one each.")
