"""Images with boxes, in our format and that of transformers' detectors, and gradients under our names."""

import torch

from backbonekit.ops.boxes import xyxy_to_cxcywh
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.stored_tensors import stored


def random_targets(sizes, counts, classes, dtype=torch.float32):
    """Boxes in pixels for us; relative to each image of (height, width) for transformers."""
    ours, theirs = [], []
    for (height, width), count in zip(sizes, counts, strict=True):
        corners = torch.rand(count, 2, 2, dtype=dtype)
        relative = torch.cat((corners.amin(1), corners.amax(1)), dim=1)
        labels = torch.randint(0, classes, (count,))
        ours.append({"labels": labels, "boxes": relative * torch.tensor([width, height] * 2, dtype=dtype)})
        theirs.append({"class_labels": labels, "boxes": xyxy_to_cxcywh(relative)})
    return ours, theirs


def padded_images(canvas, sizes, dtype=torch.float32):
    """Noise at the top left of each canvas, zeros on the padding, and the mask."""
    images = torch.zeros(len(sizes), 3, *canvas, dtype=dtype)
    mask = torch.zeros(len(sizes), *canvas, dtype=torch.bool)
    for image, real, (height, width) in zip(images, mask, sizes, strict=True):
        image[:, :height, :width] = torch.randn(3, height, width, dtype=dtype)
        real[:height, :width] = True
    return images, mask


def gradients_by_our_names(theirs, key_map):
    """The gradients of all trained parameters; zeros where there is none."""
    found = {}
    for name, parameter in theirs.named_parameters():
        if parameter.requires_grad and parameter.numel():
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            found[name] = stored(name, gradient)
    translated = key_map.translate(Checkpoint(found, origin="gradients"))
    # An empty tensor stands in for what the reference does not have.
    return {name: translated.tensor(name) for name in translated if 0 not in translated.shape(name)}


def weighted(loss_dict, config, class_weight=1.0):
    """transformers' terms by our names, weighted as it weighs them."""
    weights = {"loss_ce": ("class", class_weight), "loss_bbox": ("box", config.bbox_loss_coefficient)}
    weights["loss_giou"] = ("giou", config.giou_loss_coefficient)
    return {
        name.replace(theirs, ours): loss * weight
        for name, loss in loss_dict.items()
        for theirs, (ours, weight) in weights.items()
        if name.startswith(theirs)
    }


def assert_near(given, expected, tolerance=1e-4, floor=1e-3, name=""):
    """Relative to the largest value."""
    scale = expected.abs().max().clamp(min=floor)
    assert given.shape == expected.shape, name
    assert (given - expected).abs().max() / scale < tolerance, name
