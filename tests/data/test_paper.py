"""`augmentation: paper` has valid steps for every head, and training images keep the size that a step sets."""

import pytest
import torch
from PIL import Image

from backbonekit.contract.processing import Processing
from backbonekit.contract.targets import TargetReader
from backbonekit.data import AugmentedSplit, GivenData, open_augmentation, paper_steps, training_processor
from backbonekit.errors import RecipeError
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.registry.builtin import BUILTIN


@pytest.mark.parametrize("head", BUILTIN["head"])
@pytest.mark.parametrize("processing", [Processing(), Processing(size=(96, 64)), Processing(shortest_edge=80)])
def test_every_head_has_steps(head, processing):
    assert open_augmentation(paper_steps([head], processing))


def test_what_has_no_paper():
    with pytest.raises(RecipeError, match="no paper is known for 'mine'"):
        paper_steps(["mine"], Processing())
    with pytest.raises(RecipeError, match="no paper is known for a model without a head"):
        paper_steps([], Processing())
    with pytest.raises(RecipeError, match="detr, fcn were trained with different steps"):
        paper_steps(["detr", "fcn"], Processing())
    assert paper_steps(["fcn", "semantic_fpn"], Processing()) == paper_steps(["fcn"], Processing())


@pytest.mark.parametrize(
    ("steps", "size"),
    [
        ([], (32, 48)),
        (["horizontal_flip"], (32, 48)),
        ([{"name": "multi_scale", "shortest_edges": [50]}, "horizontal_flip"], (50, 75)),
        ([{"name": "scale_jitter", "size": [40, 70]}], (40, 70)),
        ([{"name": "scale_jitter", "size": [40, 70]}, "zoom_out"], (32, None)),
    ],
)
def test_the_processor_resizes_what_no_step_has_sized(steps, size):
    reader = TargetReader("fcn", (("segmentation",),))
    processor = ImageProcessor(Processing(shortest_edge=32, size_divisor=1), num_classes=3, readers=[reader])
    opened = open_augmentation(steps)
    training = training_processor(processor, opened)
    assert (training.num_classes, training.readers) == (3, (reader,))
    pair = (Image.new("RGB", (60, 40)), {"segmentation": torch.zeros(40, 60, dtype=torch.int64)})
    image, target, _ = AugmentedSplit(GivenData(train=[pair]).split("train"), opened, seed=0)[0]
    batch = training([image], [target])
    height, width = batch["pixel_values"].shape[-2:]
    assert height == size[0]
    assert width == size[1] or size[1] is None
    assert batch["targets"][0]["segmentation"].shape == (height, width)
