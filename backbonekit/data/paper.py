"""`augmentation: paper`: the steps that the paper of each head trains with. No torch here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError

Steps = list[dict[str, Any]]
_FLIP: dict[str, Any] = {"name": "horizontal_flip"}
_SIDE = 512  # pixels, of a crop where the processing has no size


def paper_steps(heads: Sequence[str], processing: Processing) -> Steps:
    """The settings of the steps for a model with these heads, which `open_augmentation` takes.

    `processing`: the model's; crops have its size. Raises RecipeError for a head of somebody's own, and for several
    heads that were trained with different steps.
    """
    unknown = [head for head in heads if head not in PAPERS]
    if unknown or not heads:
        raise RecipeError(
            f"augmentation=paper: no paper is known for {', '.join(map(repr, unknown)) or 'a model without a head'}; "
            f"give a list of steps such as [{{name: horizontal_flip}}], or null."
        )
    found = [PAPERS[head](processing) for head in heads]
    if any(steps != found[0] for steps in found):
        raise RecipeError(
            f"augmentation=paper: {', '.join(heads)} were trained with different steps; give a list of steps."
        )
    return found[0]


def _flip(processing: Processing) -> Steps:
    return [_FLIP]


def _detr(processing: Processing) -> Steps:
    return [_FLIP, {"name": "random_size_crop"}, {"name": "multi_scale"}]


def _rt_detr(processing: Processing) -> Steps:
    return [{"name": "colour_jitter", "permute_channels": 0.5}, {"name": "zoom_out"}, {"name": "iou_crop"}, _FLIP]


def _scale_jitter(processing: Processing) -> Steps:
    return [_FLIP, {"name": "scale_jitter", "size": _size(processing, default=1024)}]


def _semantic(processing: Processing, largest_share: float = 0.75) -> Steps:
    size = _size(processing)
    edges = [round(min(size) * tenth / 10) for tenth in range(5, 21)]  # 0.5 to 2 times the size
    return [
        {"name": "multi_scale", "shortest_edges": edges, "longest_edge": 4 * min(size)},
        {"name": "random_crop", "size": size, "largest_share": largest_share},
        _FLIP,
        {"name": "colour_jitter"},
    ]


def _any_share(processing: Processing) -> Steps:
    return _semantic(processing, largest_share=1.0)


def _depth(processing: Processing) -> Steps:
    size = _size(processing)
    return [
        {"name": "multi_scale", "shortest_edges": [min(size)], "longest_edge": 4 * min(size)},
        {"name": "random_crop", "size": size},
        _FLIP,
    ]


def _classification(processing: Processing) -> Steps:
    return [{"name": "random_resized_crop", "size": _size(processing, default=224)}, _FLIP]


def _pose(processing: Processing) -> Steps:
    size = processing.size or (256, 192)
    return [{"name": "person_crop", "size": list(size)}, _FLIP]


def _size(processing: Processing, default: int | None = None) -> list[int]:
    """[height, width] of the model's input. `default`: of both sides where the input has no fixed size; None: the
    shorter edge that images are resized to."""
    given = processing.crop or processing.size
    if given is not None:
        return list(given)
    edge = default or processing.shortest_edge or _SIDE
    return [edge, edge]


PAPERS: Mapping[str, Callable[[Processing], Steps]] = {
    "classification": _classification,
    "d_fine": _rt_detr,
    "deeplabv3plus": _any_share,
    "deformable_detr": _detr,
    "depth_anything": _depth,
    "detr": _detr,
    "dpt": _depth,
    "faster_rcnn": _flip,
    "fcn": _any_share,
    "fcos": _flip,
    "linear_probe": _semantic,
    "mask2former": _scale_jitter,
    "mask_rcnn": _flip,
    "maskformer": _any_share,
    "retinanet": _flip,
    "rt_detr": _rt_detr,
    "segformer": _semantic,
    "semantic_fpn": _any_share,
    "unet": _any_share,
    "upernet": _semantic,
    "vitpose": _pose,
}
"""The steps of each head by the processing of the model. docs/data.md has the source of each."""
