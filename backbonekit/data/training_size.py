"""The processor of training images: where a step of the augmentation sets their size, it does not resize them again."""

from collections.abc import Sequence
from dataclasses import replace

from backbonekit.data.augmentation.sample import Step
from backbonekit.image_processing.processor import ImageProcessor


def training_processor(processor: ImageProcessor, steps: Sequence[Step]) -> ImageProcessor:
    """`processor` itself, or where the last step that changes sizes sets the model's, one that only normalises and
    pads, to the same multiples of pixels."""
    if not sets_size(steps):
        return processor
    processing = replace(
        processor.processing,
        size=None,
        shortest_edge=None,
        longest_edge=None,
        max_size=None,
        keep_aspect_ratio=False,
        multiple_of=1,
        crop=None,
    )
    return ImageProcessor(processing, processor.labels, num_classes=processor.num_classes, readers=processor.readers)


def sets_size(steps: Sequence[Step]) -> bool:
    """Whether images leave these steps in the size that the model is to see."""
    known = [step.sets_size for step in steps if step.sets_size is not None]
    return bool(known) and known[-1] is True
