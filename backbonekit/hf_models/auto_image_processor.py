"""`AutoImageProcessor`: images in, and predictions out, under transformers' names."""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from backbonekit.backbones.timm.blueprint import blueprint
from backbonekit.contract.processing import Geometry, Processing
from backbonekit.errors import ContractError, StorageError
from backbonekit.hf_models.annotation_labels import annotation_labels
from backbonekit.hf_models.config_file import FILE, write_config
from backbonekit.hf_models.hub_files import located, reading
from backbonekit.hf_models.image_layout import keeping_values, native_layout
from backbonekit.hf_models.labels import (
    binary_masks,
    dense_labels,
    listed_maps,
)
from backbonekit.hf_models.loading_options import refuse_unsupported
from backbonekit.hf_models.pose_processing import listed_boxes, person_crops
from backbonekit.hf_models.post_processing import PostProcessing
from backbonekit.hf_models.prepared_images import PreparedImages
from backbonekit.hf_models.processor_settings import ProcessorSettings, plain
from backbonekit.hf_models.read_outputs import BOX_SCORING
from backbonekit.image_processing.pixels import ImageLike
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, write_processing
from backbonekit.image_processing.processor import ImageProcessor, listed
from backbonekit.weights.repository import open_repository

_TIMM_PREFIXES = ("timm/", "hf-hub:timm/")
# Image processors of transformers that make of segmentation maps one label for each pixel.
_DENSE = {"Beit", "DPT", "MobileNetV2", "MobileViT", "Segformer"}


class _Setting:
    """An attribute under transformers' name; what is assigned to it counts from the next call on."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, processor: "AutoImageProcessor | None", owner: type) -> Any:
        return self if processor is None else processor.settings[self.name]

    def __set__(self, processor: "AutoImageProcessor", value: Any) -> None:
        processor.settings = processor.settings.changed({self.name: value})


class AutoImageProcessor(PostProcessing):
    """Prepares images as a repository's `preprocessor_config.json` says; see `from_pretrained`.

    `settings`: the file, with what its image processor does where it is silent. The settings are attributes, and those
    that are given when it is loaded, or in a call, count instead. Sizes are those of transformers: `{"height",
    "width"}`, `{"shortest_edge"}` with or without `"longest_edge"`, `{"max_height", "max_width"}`, a pair (height,
    width), or one number.
    """

    do_resize = _Setting()
    size = _Setting()
    resample = _Setting()
    do_center_crop = _Setting()
    crop_size = _Setting()
    do_rescale = _Setting()
    rescale_factor = _Setting()
    do_normalize = _Setting()
    image_mean = _Setting()
    image_std = _Setting()
    do_pad = _Setting()
    pad_size = _Setting()
    do_reduce_labels = _Setting()
    ignore_index = _Setting()
    do_convert_annotations = _Setting()
    format = _Setting()

    def __init__(self, settings: ProcessorSettings) -> None:
        self.settings = settings

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        subfolder: str = "",
        use_fast: bool | None = None,
        **settings: Any,
    ) -> "AutoImageProcessor":
        """A Hub repository, what the local cache has of it, or a folder; saved by backbonekit or by transformers.

        `timm/NAME`, and a folder that timm saved: as timm evaluates that architecture's weights, at their `input_size`
        (their `test_input_size`, where they have one, by `size=` and `crop_size=`). `settings`: instead of
        the saved ones, such as `size=480` or `do_reduce_labels=True`. `use_fast`: the one implementation here has the
        numbers of transformers' Pillow processors; True warns of that. For the options about files see `files_of`.
        Raises StorageError, ContractError.
        """
        refuse_unsupported(settings)
        if use_fast:
            warnings.warn(
                "use_fast=True: images are resized by Pillow here, which differs from transformers' torchvision"
                " processors by at most two steps of 1/255.",
                stacklevel=2,
            )
        with reading(cache_dir, token, local_files_only):
            return cls(_read(located(pretrained_model_name_or_path, subfolder), revision).changed(settings))

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any], **settings: Any) -> "AutoImageProcessor":
        """From the content of a `preprocessor_config.json`, or `to_dict` of an image processor, ours or transformers'.
        `settings`: instead of those in it."""
        return cls(ProcessorSettings({name: plain(value) for name, value in fields.items()}).changed(settings))

    @property
    def processing(self) -> Processing:
        """What is done to an image."""
        return self.settings.processing

    @property
    def kind(self) -> str:
        """The image processor of transformers that it stands for, such as `Detr`; "" for none."""
        return self.settings.kind

    @property
    def model_input_names(self) -> list[str]:
        """The keys that every call returns."""
        return ["pixel_values", "pixel_mask"] if self.settings.always_masks else ["pixel_values"]

    def to_dict(self) -> dict[str, Any]:
        """Every setting, under transformers' names; `from_dict` of it, here or there, prepares images alike."""
        return self.settings.to_dict()

    def to_json_string(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, folder: str | Path) -> list[str]:
        """Writes `preprocessor_config.json` into a folder, which is made if needed. Raises StorageError."""
        write_config(self.to_dict(), folder, name=PREPROCESSOR_CONFIG)
        return [str(Path(folder) / PREPROCESSOR_CONFIG)]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"

    def __call__(
        self,
        images: ImageLike | Sequence[ImageLike],
        segmentation_maps: Any = None,
        *,
        instance_id_to_semantic_id: Mapping[int, int] | Sequence[Mapping[int, int]] | None = None,
        annotations: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
        boxes: Any = None,
        return_segmentation_masks: bool | None = None,
        masks_path: str | Path | None = None,
        return_tensors: Literal["pt", "np"] | None = "pt",
        input_data_format: Literal["channels_first", "channels_last"] | None = None,
        **settings: Any,
    ) -> PreparedImages:
        """`images`: one image or a list, as `ImageProcessor` reads them; arrays may have channels first or last, see
        `native_layout`. `segmentation_maps`: for each image [height, width] of labels, or with
        `instance_id_to_semantic_id` of instances. For a Segformer, BEiT, DPT or MobileViT they become `labels`, int64
        [batch, height, width]; else `mask_labels` and `class_labels`, a mask for each label that occurs. `annotations`:
        COCO's for detection, one an image; they become `labels`, see `detection_labels`, with masks if
        `return_segmentation_masks`; with `format="coco_panoptic"` COCO's panoptic ones, whose PNG files are in the
        folder `masks_path`, see `panoptic_labels`. `boxes`: for ViTPose, the persons of each image, [x, y, width,
        height] in pixels; each becomes an image of the batch. By position, annotations of a detector and boxes of a
        ViTPose may stand second, as in transformers. `return_tensors`: "pt" for torch, "np" for NumPy, None for a list
        of NumPy arrays, one an image. `settings`: for this call, such as `size=480` or `do_rescale=False`. Raises
        ContractError, StorageError.
        """
        if self.kind == "VitPose" and boxes is None:
            segmentation_maps, boxes = None, segmentation_maps
        if self.kind in BOX_SCORING and annotations is None and _are_annotations(segmentation_maps):
            segmentation_maps, annotations = None, segmentation_maps
        if return_tensors not in ("pt", "np", None):
            raise ContractError(f"return_tensors={return_tensors!r}: known are 'pt' (torch), 'np' (NumPy) and None.")
        if segmentation_maps is not None and annotations is not None:
            raise ContractError("segmentation_maps and annotations were given; a model learns from one of them.")
        if annotations is None and (return_segmentation_masks or masks_path is not None):
            raise ContractError(
                "return_segmentation_masks and masks_path are about the objects of annotations, and none were given."
            )
        if instance_id_to_semantic_id is not None and segmentation_maps is None:
            raise ContractError("instance_id_to_semantic_id is about segmentation_maps, and none were given.")
        chosen = self.settings.changed(settings)
        given = [native_layout(image, input_data_format) for image in listed(images)]
        if not chosen["do_rescale"]:
            given = [keeping_values(image) for image in given]
        if self.kind == "VitPose":
            given = _persons(given, boxes, chosen)
        elif boxes is not None:
            raise ContractError("boxes= are persons for a ViTPose processor; objects of an image go into annotations=.")
        values, geometries = ImageProcessor(chosen.processing).prepare_each(given)
        prepared, geometries = _batched(values, geometries, chosen, as_list=return_tensors is None)
        if annotations is not None:
            prepared.labels = annotation_labels(
                annotations, geometries, chosen, with_masks=return_segmentation_masks, masks_path=masks_path
            )
        if segmentation_maps is not None:
            maps = listed_maps(segmentation_maps, [geometry.original for geometry in geometries])
            _add_maps(prepared, maps, geometries, chosen, instance_id_to_semantic_id)
        return prepared if return_tensors == "pt" else prepared.to_numpy()

    preprocess = __call__

    def pad(
        self,
        images: Sequence[Any],
        *,
        return_pixel_mask: bool = True,
        pad_size: Mapping[str, int] | None = None,
        return_tensors: Literal["pt", "np"] = "pt",
    ) -> PreparedImages:
        """Batches images that are prepared already, [channels, height, width] each, as the collate functions of the
        guides do: `pixel_values` padded with 0 to the largest, or to `pad_size`, and `pixel_mask`."""
        changed = self.settings if pad_size is None else self.settings.changed({"pad_size": pad_size, "do_pad": True})
        batch = ImageProcessor(changed.processing).collate([torch.as_tensor(image) for image in listed(images)])
        mask = batch["pixel_mask"]
        if mask is None:
            mask = _whole_mask(batch["pixel_values"])
        prepared = PreparedImages(batch["pixel_values"], mask.long() if return_pixel_mask else None)
        return prepared if return_tensors == "pt" else prepared.to_numpy()


def _are_annotations(given: Any) -> bool:
    first = given[0] if isinstance(given, list | tuple) and given else given
    return isinstance(first, Mapping)


def _persons(images: Sequence[ImageLike], boxes: Any, settings: ProcessorSettings) -> list[Any]:
    if boxes is None:
        raise ContractError(
            "a ViTPose processor cuts out persons: boxes=[[[x, y, width, height], ...], ...], one list for each image,"
            " in pixels. The fix for an image that shows one person alone: the box [0, 0, width, height] of the image."
        )
    if settings.processing.size is None:
        raise ContractError("persons are cut out at a size with height and width, and with do_resize=True.")
    return person_crops(images, listed_boxes(boxes, len(images)), settings.processing)


def _read(name_or_folder: str | Path, revision: str | None) -> ProcessorSettings:
    name = str(name_or_folder)
    if name.startswith(_TIMM_PREFIXES):
        return _of_timm(name, revision)
    repository = open_repository(name_or_folder, revision=revision)
    if repository.has(PREPROCESSOR_CONFIG):
        return ProcessorSettings(
            repository.json(PREPROCESSOR_CONFIG), shown=f"{repository.origin}: {PREPROCESSOR_CONFIG}"
        )
    if repository.has(FILE) and "architecture" in repository.json(FILE):
        return _of_timm(name, revision)
    raise StorageError(
        f"{repository.origin} has no {PREPROCESSOR_CONFIG}, so it is not known how its images are prepared. A"
        " model built here has its own: model.processor."
    )


def _of_timm(name: str, revision: str | None) -> ProcessorSettings:
    found = blueprint(name, config=None, revision=revision, in_channels=3, args={}).processing
    return ProcessorSettings(write_processing(found), shown=name)


def _batched(
    values: list[Tensor], geometries: list[Geometry], settings: ProcessorSettings, *, as_list: bool
) -> tuple[PreparedImages, list[Geometry]]:
    """The images in one tensor, padded where they differ; or each alone where padding is refused."""
    sizes = {tuple(one.shape[-2:]) for one in values}
    if as_list and not settings.always_masks:
        return PreparedImages(values), geometries
    if len(sizes) > 1 and settings.refuses_padding:
        raise ContractError(
            f"do_pad=False, and images of different sizes ({', '.join(f'{h} x {w}' for h, w in sorted(sizes))}) make no"
            " batch. The fix: do_pad=True, return_tensors=None, or a size with height and width."
        )
    batch, together = ImageProcessor(settings.processing).pad(values, geometries)
    pixel_values, mask = batch["pixel_values"], batch["pixel_mask"]
    if mask is None and settings.always_masks:
        mask = _whole_mask(pixel_values)
    if mask is not None:
        mask = mask.long()
    if as_list:
        return PreparedImages(list(pixel_values), None if mask is None else list(mask)), together
    return PreparedImages(pixel_values, mask), together


def _whole_mask(pixel_values: Tensor) -> Tensor:
    return pixel_values.new_ones((len(pixel_values), *pixel_values.shape[-2:]), dtype=torch.bool)


def _add_maps(
    prepared: PreparedImages,
    maps: Sequence[Tensor],
    geometries: Sequence[Geometry],
    settings: ProcessorSettings,
    classes: Mapping[int, int] | Sequence[Mapping[int, int]] | None,
) -> None:
    """Adds `labels`, or `mask_labels` and `class_labels`. `classes`: of each instance."""
    reduces = settings["do_reduce_labels"]
    if settings.kind in _DENSE:
        if classes is not None:
            raise ContractError(f"instance_id_to_semantic_id: a {settings.kind} processor makes labels of pixels.")
        dense = [
            dense_labels(labels, geometry, do_reduce_labels=reduces)
            for labels, geometry in zip(maps, geometries, strict=True)
        ]
        prepared.labels = torch.stack(dense) if isinstance(prepared.pixel_values, Tensor) else dense
        return
    pairs = [
        binary_masks(labels, geometry, table, do_reduce_labels=reduces, ignore_index=settings["ignore_index"])
        for labels, geometry, table in zip(maps, geometries, _tables(classes, len(maps)), strict=True)
    ]
    prepared.mask_labels = [masks for masks, _ in pairs]
    prepared.class_labels = [labels for _, labels in pairs]


def _tables(classes: Mapping[int, int] | Sequence[Mapping[int, int]] | None, maps: int) -> list[Any]:
    """For each map the class of each instance in it."""
    tables = [classes] * maps if classes is None or isinstance(classes, Mapping) else list(classes)
    if len(tables) != maps:
        raise ContractError(f"{len(tables)} instance_id_to_semantic_id for {maps} segmentation maps.")
    return tables
