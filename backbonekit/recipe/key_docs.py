"""What the keys of a recipe mean that are no option of a part, by their path."""

from collections.abc import Mapping

# The processing's fields are described in `contract/processing.py`, all together; here each has its own line.
_PROCESSING: Mapping[str, str] = {
    "size": "(height, width) that images are resized to, without their aspect ratio unless keep_aspect_ratio.",
    "shortest_edge": "length that the shorter side is resized to; the aspect ratio stays.",
    "longest_edge": "bound of the longer side beside shortest_edge.",
    "max_size": "(height, width) that the resized image fits into; the aspect ratio stays.",
    "size_divisor": "both sides of the resized image are rounded up to a multiple of it.",
    "keep_aspect_ratio": "of size: the side that changes least is as long as given, the other one follows.",
    "multiple_of": "with keep_aspect_ratio both sides are rounded to the nearest multiple of it.",
    "crop": "(height, width) cut from the centre after resizing.",
    "border": "what surrounds an image that is smaller than the crop: black, or the colour mean.",
    "rounding": "of half a pixel at the crop's edge: down as transformers does, nearest as timm does.",
    "interpolation": "of resizing.",
    "range": "(lowest, highest) value of images in units of their own; null: 8 bits, scaled to [0, 1].",
    "mean": "subtracted from each channel, of the image in [0, 1] or in the units of range.",
    "std": "that each channel is divided by, in the units of mean.",
    "canvas": "(height, width) that every image is padded to; null: the largest of its batch.",
    "ignore_label": "of pixels that belong to no class; null: 255, or -1 with more than 255 classes.",
    "label_map": "labels of the files to classes of the model, or to ignore.",
}
KEY_DOCS: Mapping[str, str] = {
    "schema_version": "of this file; an older one is read as well.",
    "backbone": "what computes feature maps from an image.",
    "backbone.source": "who builds the architecture: hf (as transformers names it), timm, transformers, a plugin.",
    "backbone.name": "Hub id, local folder or architecture of timm.",
    "backbone.config": "the architecture, as in a config.json; with it a random start needs no network.",
    "backbone.pretrained": "false (random), true (the weights of name), or a folder, a file or a Hub id.",
    "backbone.revision": "branch, tag or commit of the weights; saving writes the commit.",
    "backbone.out_indices": "which maps it returns, by number; auto: those that the next part requires.",
    "backbone.out_features": "which maps it returns, by name.",
    "backbone.out_strides": "which maps it returns, by stride.",
    "backbone.in_channels": "channels of the images; other numbers than 3 adapt pretrained weights.",
    "backbone.bands_from": "the pretrained channel that each channel starts from; null: their mean.",
    "backbone.args": "the architecture's own arguments, such as drop_path_rate.",
    "neck": "what combines the maps: null, one part, or a list of parts in order.",
    "head": "what predicts from the maps; null: a feature extractor.",
    "head.criterion": "the loss; without it the head's own.",
    "heads": "several tasks on one backbone, each by its name.",
    "heads.*.loss_weight": "factor of the task's losses.",
    "labels": "names of the classes; the number of classes follows from them.",
    "processing": "how an image becomes an input; what is left out follows the backbone.",
    "adapt": "auto: wiring inserts what is missing between parts, and notes it; never: it refuses.",
    "training": "advice for training; opening a recipe does not apply it.",
    "training.freeze.stages": "how many of the backbone's first stages are not trained.",
    "training.freeze.norms": "whether the backbone's norms keep their statistics and weights.",
    **{f"processing.{name}": doc for name, doc in _PROCESSING.items()},
}


def key_doc(key: str) -> str:
    """What a key means; "" for an option of a part. Of a task, `heads.NAME.head` is `head`."""
    if key in KEY_DOCS:
        return KEY_DOCS[key]
    steps = key.split(".")
    if steps[0] == "heads" and len(steps) > 2:
        rest = ".".join(steps[2:])
        return KEY_DOCS.get(f"heads.*.{rest}") or KEY_DOCS.get(rest, "")
    return ""
