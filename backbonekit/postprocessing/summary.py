"""What was found, in words, for each kind of result: things are counted, stuff and classes of pixels have their share
of the image."""

from collections import Counter
from collections.abc import Iterable

import torch

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import (
    ClassResult,
    DepthResult,
    InstanceResult,
    KeypointResult,
    PanopticResult,
    SemanticResult,
)

_MOST = 8  # entries of a kind


def class_words(result: ClassResult, labels: Labels | None) -> list[str]:
    pairs = zip(result.labels.tolist(), result.scores.tolist(), strict=True)
    return [f"{_name(label, labels)} {score:.0%}" for label, score in pairs]


def semantic_words(result: SemanticResult, labels: Labels | None) -> list[str]:
    classes = result.classes()
    return _shares(classes[classes >= 0], labels, classes.numel())


def instance_words(result: InstanceResult, labels: Labels | None) -> list[str]:
    return _counts(result.labels.tolist(), labels)


def panoptic_words(result: PanopticResult, labels: Labels | None) -> list[str]:
    things = [segment.label for segment in result.segments if not segment.was_fused]
    # of_identifier: [segments + 1], the class of each identifier where it is stuff, else -1
    of_identifier = torch.full((len(result.segments) + 1,), -1)
    for segment in result.segments:
        if segment.was_fused:
            of_identifier[segment.identifier] = segment.label
    stuff = of_identifier[result.segmentation]
    return _counts(things, labels) + _shares(stuff[stuff >= 0], labels, stuff.numel())


def depth_words(result: DepthResult, labels: Labels | None) -> list[str]:
    valid = result.depth[result.depth.isfinite()]
    if not len(valid):
        return []
    return [f"depth {float(valid.min()):.3g} to {float(valid.max()):.3g}", f"median {float(valid.median()):.3g}"]


def keypoint_words(result: KeypointResult, labels: Labels | None) -> list[str]:
    found = int(result.keypoints.isfinite().all(dim=-1).sum())
    return [f"{found} of {len(result.keypoints)} keypoints"] if found else []


def _counts(found: Iterable[int], labels: Labels | None) -> list[str]:
    counts = Counter(found).most_common()
    between = " " if labels else " of "  # "3 person", "3 of class 20"
    return _shortened([f"{count}{between}{_name(label, labels)}" for label, count in counts])


def _shares(pixels: torch.Tensor, labels: Labels | None, total: int) -> list[str]:
    present, counts = pixels.unique(return_counts=True)
    pairs = sorted(zip(counts.tolist(), present.tolist(), strict=True), reverse=True)
    return _shortened([f"{_name(label, labels)} {count / total:.0%}" for count, label in pairs])


def _shortened(entries: list[str]) -> list[str]:
    return entries if len(entries) <= _MOST else [*entries[:_MOST], f"{len(entries) - _MOST} more"]


def _name(label: int, labels: Labels | None) -> str:
    return f"class {label}" if labels is None else labels.name(label)
