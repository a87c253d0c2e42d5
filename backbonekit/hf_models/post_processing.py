"""The `post_process_*` methods of transformers' image processors."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.contract.predictions import BoxQueries, DenseDepth, DenseLogits, Heatmaps, MaskQueries
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.hf_models.pose_processing import found_keypoints, listed_boxes
from backbonekit.hf_models.read_outputs import BOX_SCORING, found_boxes, geometries_for, read_prediction, sizes_for
from backbonekit.hf_models.semantic_scores import with_scores
from backbonekit.ops.resize import resize_bilinear
from backbonekit.postprocessing.depth import depth_maps
from backbonekit.postprocessing.instance import separate_instances
from backbonekit.postprocessing.panoptic import segment_panoptic
from backbonekit.postprocessing.semantic import segment_dense, segment_masks

Sizes = Sequence[tuple[int, int]] | Tensor
_MASK2FORMER_SIZE = (384, 384)


class PostProcessing:
    """Predictions to results. `kind`: the image processor of transformers that it stands for, such as `Detr`.
    `processing`: what is done to an image."""

    @property
    def processing(self) -> Processing:
        raise NotImplementedError

    @property
    def kind(self) -> str:
        raise NotImplementedError

    def _sized(self, prediction: Any) -> Any:
        """A Mask2Former's masks are enlarged to 384 x 384 before anything else, as transformers does whatever the size
        of the image."""
        if self.kind != "Mask2Former" or not isinstance(prediction, MaskQueries):
            return prediction
        masks = resize_bilinear(prediction.mask_logits, _MASK2FORMER_SIZE)
        return MaskQueries(prediction.class_logits, masks)

    def post_process_object_detection(
        self,
        outputs: Any,
        threshold: float = 0.5,
        target_sizes: Sizes | None = None,
        *,
        top_k: int | None = None,
        use_focal_loss: bool | None = None,
    ) -> list[dict[str, Tensor]]:
        """For each image `scores`, `labels` and `boxes` (x0 y0 x1 y1) of what scores above `threshold`.

        Boxes are in pixels of `target_sizes`, the (height, width) of each image as it was given to this processor,
        or in [0, 1] without. `use_focal_loss`: scored by a sigmoid for each class, else by a softmax with a last column
        for "no object"; known from the kind of processor where that is one for detection. `top_k`: how many pairs of
        query and class (or queries) are looked at. Raises ContractError where it is not known how boxes are scored.
        """
        prediction = read_prediction(outputs, (BoxQueries,))
        scoring, most = BOX_SCORING.get(self.kind, (None, None))
        if use_focal_loss is not None:
            scoring = "sigmoid" if use_focal_loss else "softmax_with_null"
        if scoring is None:
            source = f"a processor of kind {self.kind}" if self.kind else "a file that names no processor"
            raise ContractError(
                f"how boxes are scored is not known from {source}: give"
                " use_focal_loss=False (DETR: softmax with 'no object') or use_focal_loss=True (Deformable DETR,"
                " RT-DETR and later: sigmoid). A model built here knows it itself: model.predict."
            )
        sizes = None if target_sizes is None else [(int(height), int(width)) for height, width in target_sizes]
        looked_at = most if top_k is None else top_k
        return found_boxes(prediction, scoring=scoring, top_k=looked_at, threshold=threshold, sizes=sizes)

    def post_process_semantic_segmentation(
        self, outputs: Any, target_sizes: Sizes | None = None, return_segmentation_scores: bool = False
    ) -> list[Any]:
        """int64 [height, width] for each image: the class of every pixel, at `target_sizes`, else at the
        prediction's. With `return_segmentation_scores` a `SemanticScores` for each image, which has both."""
        prediction = self._sized(read_prediction(outputs, (MaskQueries, DenseLogits)))
        if isinstance(prediction, MaskQueries):
            maps = prediction.mask_logits
            results = segment_masks(prediction, geometries_for(maps, target_sizes))
        else:
            maps = prediction.logits
            results = segment_dense(prediction, geometries_for(maps, target_sizes), scoring="softmax")
        segmentations = [result.segmentation for result in results]
        if not return_segmentation_scores:
            return segmentations
        return with_scores(prediction, segmentations, sizes_for(target_sizes, maps))

    def post_process_instance_segmentation(
        self,
        outputs: Any,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_mask_area_threshold: float = 0.8,
        target_sizes: Sizes | None = None,
        return_coco_annotation: bool = False,
        return_binary_maps: bool = False,
    ) -> list[dict[str, Any]]:
        """For each image `segmentation`, int64 [height, width] of identifiers with -1 where there is none, and
        `segments_info`, best first: `id`, `label_id`, `score`, `was_fused`. Where masks overlap the better one is seen.

        `return_binary_maps`: `segmentation` is bool [instances, height, width], overlaps kept.
        `return_coco_annotation`: it is the run lengths of each identifier that occurs in it, -1 first if it does; see
        `run_lengths`. `mask_threshold` and `overlap_mask_area_threshold` are in transformers' signature, which does not
        use them; other values than these are refused.
        """
        if return_coco_annotation and return_binary_maps:
            raise ContractError("return_coco_annotation and return_binary_maps are two forms of one result; give one.")
        if (mask_threshold, overlap_mask_area_threshold) != (0.5, 0.8):
            raise ContractError(
                "mask_threshold and overlap_mask_area_threshold have no effect on instances, in transformers neither;"
                " leave them out. Those of post_process_panoptic_segmentation have."
            )
        prediction = self._sized(read_prediction(outputs, (MaskQueries,)))
        sizes = sizes_for(target_sizes, prediction.mask_logits)
        written = []
        found = separate_instances(prediction, geometries_for(prediction.mask_logits, None), threshold=threshold)
        for result, size in zip(found, sizes, strict=True):
            assert result.masks is not None
            masks = _enlarged(result.masks, size)
            drawn = torch.full(size, -1)
            for identifier in reversed(range(len(masks))):
                drawn[masks[identifier]] = identifier
            segments = [
                {"id": identifier, "label_id": label, "was_fused": False, "score": round(score, 6)}
                for identifier, (label, score) in enumerate(
                    zip(result.labels.tolist(), result.scores.tolist(), strict=True)
                )
            ]
            segmentation = masks if return_binary_maps else run_lengths(drawn) if return_coco_annotation else drawn
            written.append({"segmentation": segmentation, "segments_info": segments})
        return written

    def post_process_panoptic_segmentation(
        self,
        outputs: Any,
        threshold: float = 0.5,
        mask_threshold: float = 0.5,
        overlap_mask_area_threshold: float = 0.8,
        label_ids_to_fuse: set[int] | None = None,
        target_sizes: Sizes | None = None,
    ) -> list[dict[str, Any]]:
        """For each image `segmentation`, int64 [height, width] of identifiers from 1 with 0 where there is none, and
        `segments_info`, one for each identifier: `id`, `label_id`, `score`, `was_fused`.

        `label_ids_to_fuse`: stuff, of which all regions are one segment.
        """
        prediction = self._sized(read_prediction(outputs, (MaskQueries,)))
        found = segment_panoptic(
            prediction,
            geometries_for(prediction.mask_logits, target_sizes),
            threshold=threshold,
            mask_threshold=mask_threshold,
            overlap_threshold=overlap_mask_area_threshold,
            stuff=frozenset(label_ids_to_fuse or ()),
        )
        return [
            {
                "segmentation": result.segmentation,
                "segments_info": [
                    {
                        "id": segment.identifier,
                        "label_id": segment.label,
                        "was_fused": segment.was_fused,
                        "score": round(segment.score, 6),
                    }
                    for segment in result.segments
                ],
            }
            for result in found
        ]

    def post_process_pose_estimation(
        self,
        outputs: Any,
        boxes: Any,
        kernel_size: int = 11,
        threshold: float | None = None,
        target_sizes: Sizes | None = None,
    ) -> list[list[dict[str, Tensor]]]:
        """For each image and person `keypoints`, `scores`, `labels` and `bbox`, see `found_keypoints`.

        `boxes`: those that the images were prepared with. `kernel_size`: of the smoothing before a peak is located.
        `threshold`: keypoints whose score is not above it are left out. `target_sizes`: (height, width) of each image,
        where boxes are in [0, 1] of it.
        """
        prediction = read_prediction(outputs, (Heatmaps,))
        listed = listed_boxes(boxes, len(boxes))
        if target_sizes is not None:
            if len(target_sizes) != len(listed):
                raise ContractError(f"{len(target_sizes)} target_sizes for boxes of {len(listed)} images.")
            sizes = [(int(width), int(height)) for height, width in target_sizes]
            listed = [rows * rows.new_tensor([*size, *size]) for rows, size in zip(listed, sizes, strict=True)]
        size = self.processing.size
        if size is None:
            raise ContractError("keypoints are located in crops of one size, and this processor has none.")
        return found_keypoints(prediction.heatmaps, listed, size, kernel_size=kernel_size, threshold=threshold)

    def post_process_depth_estimation(self, outputs: Any, target_sizes: Sizes | None = None) -> list[dict[str, Tensor]]:
        """For each image `predicted_depth`, float [height, width]."""
        prediction = read_prediction(outputs, (DenseDepth,))
        return [
            {"predicted_depth": result.depth}
            for result in depth_maps(prediction, geometries_for(prediction.depth, target_sizes))
        ]


def run_lengths(segmentation: Tensor) -> list[list[int]]:
    """For each identifier in a map [height, width], in rising order: start, length, start, length, ... of its runs in
    reading order, the first pixel being 1, as transformers has them. COCO's own, by columns, are written by
    `backbonekit predict results=FILE`."""
    runs = []
    for identifier in segmentation.unique():
        inside = functional.pad((segmentation == identifier).flatten().int(), (1, 1))
        edges = inside.diff().nonzero()[:, 0] + 1
        starts, ends = edges[::2], edges[1::2]
        runs.append(torch.stack([starts, ends - starts], dim=1).flatten().tolist())
    return runs


def _enlarged(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """bool [N, height, width] to `size`. The masks and not the logits, as transformers does."""
    if not len(masks):
        return masks.new_zeros((0, *size))  # interpolate takes no empty tensor
    return functional.interpolate(masks[None].float(), size=size, mode="nearest")[0].bool()
