"""`AutoImageProcessor`: images in, and predictions out, under transformers' names."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as functional
from torch import Tensor

from backbonekit.backbones.timm.blueprint import blueprint
from backbonekit.contract.predictions import BoxQueries, DenseDepth, DenseLogits, MaskQueries
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, StorageError
from backbonekit.hf_models.config_file import FILE
from backbonekit.hf_models.labels import (
    PreparedImages,
    binary_masks,
    dense_labels,
    detection_labels,
    listed_annotations,
    listed_maps,
)
from backbonekit.hf_models.read_outputs import BOX_SCORING, found_boxes, geometries_for, read_prediction, sizes_for
from backbonekit.image_processing.pixels import ImageLike
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, processor_kind, read_processing
from backbonekit.image_processing.processor import ImageProcessor, listed
from backbonekit.postprocessing.depth import depth_maps
from backbonekit.postprocessing.instance import separate_instances
from backbonekit.postprocessing.panoptic import segment_panoptic
from backbonekit.postprocessing.semantic import segment_dense, segment_masks
from backbonekit.weights.repository import Repository, open_repository

Sizes = Sequence[tuple[int, int]] | Tensor
_TIMM_PREFIXES = ("timm/", "hf-hub:timm/")
# Image processors of transformers that always return a pixel_mask.
_PADDING = {
    "MaskFormer",
    "Mask2Former",
    "OneFormer",
    "Detr",
    "ConditionalDetr",
    "DeformableDetr",
    "GroundingDino",
    "RfDetr",
}
# And those that make of segmentation maps one label for each pixel.
_DENSE = {"Beit", "DPT", "MobileNetV2", "MobileViT", "Segformer"}


class AutoImageProcessor:
    """Prepares images as a repository's `preprocessor_config.json` says; see `from_pretrained`.

    `processing`: what is done to an image. `kind`: the image processor of transformers that it stands for, such as
    `Detr`; "" for none. `always_masks`: return a `pixel_mask` even where nothing is padded. `do_reduce_labels`: label 0
    of a segmentation map is nothing, label 1 the first class. `ignore_index`: the label of pixels that belong to no
    mask. `do_convert_annotations`: boxes become relative to the image.
    """

    def __init__(
        self,
        processing: Processing,
        *,
        kind: str = "",
        always_masks: bool = False,
        do_reduce_labels: bool = False,
        ignore_index: int | None = None,
        do_convert_annotations: bool = True,
    ) -> None:
        self.processing = processing
        self.kind = kind
        self.always_masks = always_masks
        self.do_reduce_labels = do_reduce_labels
        self.ignore_index = ignore_index
        self.do_convert_annotations = do_convert_annotations
        self._processor = ImageProcessor(processing)

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path, *, revision: str | None = None) -> "AutoImageProcessor":
        """A Hub repository, what the local cache has of it, or a folder; saved by backbonekit or by transformers.

        `timm/NAME`, and a folder that timm saved: as timm evaluates that architecture's weights. Raises StorageError.
        """
        name = str(name_or_folder)
        if name.startswith(_TIMM_PREFIXES):
            return cls(_timm_processing(name, revision))
        repository = open_repository(name_or_folder, revision=revision)
        if not repository.has(PREPROCESSOR_CONFIG):
            if repository.has(FILE) and "architecture" in repository.json(FILE):
                return cls(_timm_processing(name, revision))
            raise StorageError(
                f"{repository.origin} has no {PREPROCESSOR_CONFIG}, so it is not known how its images are prepared. A"
                " model built here has its own: model.processor."
            )
        return cls._read(repository)

    @classmethod
    def _read(cls, repository: Repository) -> "AutoImageProcessor":
        shown = f"{repository.origin}: {PREPROCESSOR_CONFIG}"
        fields = repository.json(PREPROCESSOR_CONFIG)
        kind = processor_kind(fields)
        pads = fields.get("do_pad")
        ignored = fields.get("ignore_index")
        if ignored is not None and (not isinstance(ignored, int) or isinstance(ignored, bool)):
            raise StorageError(f"{shown} has ignore_index {str(ignored)[:60]!r}; a whole number or null is expected.")
        return cls(
            read_processing(fields, shown=shown),
            kind=kind,
            always_masks=pads is True if kind == "RTDetr" else kind in _PADDING and pads is not False,
            # Before transformers 4.29 it was called reduce_labels.
            do_reduce_labels=fields.get("do_reduce_labels", fields.get("reduce_labels")) is True,
            ignore_index=ignored,
            do_convert_annotations=fields.get("do_convert_annotations") is not False,
        )

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        segmentation_maps: Any = None,
        *,
        instance_id_to_semantic_id: Mapping[int, int] | Sequence[Mapping[int, int]] | None = None,
        annotations: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        return_segmentation_masks: bool = False,
        return_tensors: Literal["pt", "np"] = "pt",
        do_reduce_labels: bool | None = None,
        ignore_index: int | None = None,
    ) -> PreparedImages:
        """`images`: one image or a list, as `ImageProcessor` reads them. `segmentation_maps`: for each image
        [height, width] of labels, or with `instance_id_to_semantic_id` of instances. They become `labels`, int64
        [batch, height, width], where a Segformer, BEiT, DPT or MobileViT is prepared for; else `mask_labels` and
        `class_labels`, a mask for each label that occurs. `do_reduce_labels`, `ignore_index`: instead of the own ones.
        `annotations`: COCO's for detection, one an image; they become `labels`, see `detection_labels`, with masks if
        `return_segmentation_masks`. Raises ContractError, StorageError.
        """
        if return_tensors not in ("pt", "np"):
            raise ContractError(f"return_tensors={return_tensors!r}: known are 'pt' (torch) and 'np' (NumPy).")
        if segmentation_maps is not None and annotations is not None:
            raise ContractError("segmentation_maps and annotations were given; a model learns from one of them.")
        images = listed(images)
        batch, geometries = self._processor.prepare(images)
        values, mask = batch["pixel_values"], batch["pixel_mask"]
        if mask is None and self.always_masks:
            mask = values.new_ones((values.shape[0], *values.shape[-2:]), dtype=torch.bool)
        prepared = PreparedImages(values, None if mask is None else mask.long())
        if annotations is not None:
            given = listed_annotations(annotations, len(images))
            prepared.labels = [
                detection_labels(
                    one, geometry, converts=self.do_convert_annotations, with_masks=return_segmentation_masks
                )
                for one, geometry in zip(given, geometries, strict=True)
            ]
        if segmentation_maps is not None:
            maps = listed_maps(segmentation_maps, [geometry.original for geometry in geometries])
            reduces = self.do_reduce_labels if do_reduce_labels is None else do_reduce_labels
            if self.kind in _DENSE:
                dense = [
                    dense_labels(labels, geometry, do_reduce_labels=reduces)
                    for labels, geometry in zip(maps, geometries, strict=True)
                ]
                prepared.labels = torch.stack(dense)
            else:
                ignored = self.ignore_index if ignore_index is None else ignore_index
                pairs = [
                    binary_masks(labels, geometry, table, do_reduce_labels=reduces, ignore_index=ignored)
                    for labels, geometry, table in zip(
                        maps, geometries, _tables(instance_id_to_semantic_id, len(maps)), strict=True
                    )
                ]
                prepared.mask_labels = [masks for masks, _ in pairs]
                prepared.class_labels = [labels for _, labels in pairs]
        return prepared.to_numpy() if return_tensors == "np" else prepared

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

    def post_process_semantic_segmentation(self, outputs: Any, target_sizes: Sizes | None = None) -> list[Tensor]:
        """int64 [height, width] for each image: the class of every pixel, at `target_sizes`, else at the
        prediction's."""
        prediction = read_prediction(outputs, (MaskQueries, DenseLogits))
        if isinstance(prediction, MaskQueries):
            results = segment_masks(prediction, geometries_for(prediction.mask_logits, target_sizes))
        else:
            results = segment_dense(prediction, geometries_for(prediction.logits, target_sizes), scoring="softmax")
        return [result.segmentation for result in results]

    def post_process_instance_segmentation(
        self,
        outputs: Any,
        threshold: float = 0.5,
        target_sizes: Sizes | None = None,
        return_binary_maps: bool = False,
    ) -> list[dict[str, Any]]:
        """For each image `segmentation`, int64 [height, width] of identifiers with -1 where there is none, and
        `segments_info`, best first: `id`, `label_id`, `score`, `was_fused`. Where masks overlap the better one is seen.

        `return_binary_maps`: `segmentation` is bool [instances, height, width], overlaps kept.
        """
        prediction = read_prediction(outputs, (MaskQueries,))
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
            written.append({"segmentation": masks if return_binary_maps else drawn, "segments_info": segments})
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
        prediction = read_prediction(outputs, (MaskQueries,))
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

    def post_process_depth_estimation(self, outputs: Any, target_sizes: Sizes | None = None) -> list[dict[str, Tensor]]:
        """For each image `predicted_depth`, float [height, width]."""
        prediction = read_prediction(outputs, (DenseDepth,))
        return [
            {"predicted_depth": result.depth}
            for result in depth_maps(prediction, geometries_for(prediction.depth, target_sizes))
        ]


def _tables(classes: Mapping[int, int] | Sequence[Mapping[int, int]] | None, maps: int) -> list[Any]:
    """For each map the class of each instance in it."""
    tables = [classes] * maps if classes is None or isinstance(classes, Mapping) else list(classes)
    if len(tables) != maps:
        raise ContractError(f"{len(tables)} instance_id_to_semantic_id for {maps} segmentation maps.")
    return tables


def _timm_processing(name: str, revision: str | None) -> Processing:
    return blueprint(name, config=None, revision=revision, in_channels=3, args={}).processing


def _enlarged(masks: Tensor, size: tuple[int, int]) -> Tensor:
    """bool [N, height, width] to `size`. The masks and not the logits, as transformers does."""
    if not len(masks):
        return masks.new_zeros((0, *size))  # interpolate takes no empty tensor
    return functional.interpolate(masks[None].float(), size=size, mode="nearest")[0].bool()
