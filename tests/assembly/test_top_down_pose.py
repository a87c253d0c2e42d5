"""Persons of an image, each by themselves: regions, crops, and keypoints back in the image."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from backbonekit.assembly.predict import predict
from backbonekit.contract.predictions import DenseDepth, Heatmaps, ModelOutput
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.image_processing.person_crop import cut_out, region_around
from backbonekit.image_processing.processor import ImageProcessor
from tests.small_models import SmallModel

SIZE = (64, 48)


class Brightest(nn.Module):
    """Finds the brightest spot: a heatmap at the size of the input."""

    tasks = {"": None}
    processor = ImageProcessor(Processing(size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3))

    def task_labels(self, task: str = "") -> None:
        return None

    def scoring(self, task: str = "") -> str:
        return "softmax"

    def prediction_kind(self, task: str = "") -> type:
        return Heatmaps

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput:
        return ModelOutput((), predictions=Heatmaps(pixel_values.mean(dim=1, keepdim=True)))


def image_with_spots(*spots):
    """Each a blob around (x, y), so that its middle is found between pixels."""
    rows, columns = np.mgrid[0:120, 0:160] + 0.5
    light = sum(np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 4.0**2)) for x, y in spots)
    return np.repeat((light.clip(0, 1) * 255).round().astype(np.uint8)[..., None], 3, axis=-1)


def test_each_box_finds_its_own_spot():
    spots = [(40.0, 60.0), (110.3, 41.8), (150.0, 110.0)]
    boxes = [(20, 30, 60, 95), (95, 30, 120, 60), (140, 90, 159, 119)]
    (results,) = predict(Brightest(), image_with_spots(*spots), boxes=boxes, batch_size=2)
    assert len(results) == 3
    for result, spot in zip(results, spots, strict=True):
        torch.testing.assert_close(result.keypoints, torch.tensor([spot]), atol=0.3, rtol=0)


def test_no_box_no_person():
    assert predict(Brightest(), image_with_spots((5, 5)), boxes=torch.zeros(0, 4)) == [[]]
    assert predict(Brightest(), image_with_spots((5, 5)), boxes=[]) == [[]]


def test_boxes_are_given_image_by_image():
    images = [image_with_spots((40.0, 60.0)), image_with_spots((110.3, 41.8), (150.0, 110.0)), image_with_spots((5, 5))]
    boxes = [[(20, 30, 60, 95)], torch.tensor([[95.0, 30, 120, 60], [140, 90, 159, 119]]), []]
    steps = []
    people = predict(Brightest(), images, boxes=boxes, progress=lambda done, total: steps.append((done, total)))
    assert [len(persons) for persons in people] == [1, 2, 0]
    torch.testing.assert_close(people[1][1].keypoints, torch.tensor([[150.0, 110.0]]), atol=0.3, rtol=0)
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_refuses_boxes_that_do_not_belong_to_the_images():
    image = image_with_spots((5, 5))
    with pytest.raises(ContractError, match="1 given for 2 images; give one list of boxes"):
        predict(Brightest(), [image, image], boxes=[[(0, 0, 9, 9)]])
    with pytest.raises(ContractError, match=r"have the shape \[N, 4\]; given: \[1, 1, 4\]"):
        predict(Brightest(), image, boxes=[[(0, 0, 9, 9)]])
    with pytest.raises(ContractError, match="must be numbers"):
        predict(Brightest(), image, boxes=[["a", 0, 9, 9]])


def test_a_region_has_the_inputs_shape_and_a_margin():
    region = region_around((10.0, 20.0, 30.0, 100.0), SIZE, 1.25)
    assert (region.width, region.height) == (75.0, 100.0)
    assert (region.left, region.top) == (20 - 37.5, 60 - 50)
    wide = region_around((0.0, 0.0, 96.0, 10.0), SIZE, 1.0)
    assert (wide.width, wide.height) == (96.0, 128.0)


def test_a_crop_of_the_images_own_pixels_is_the_image():
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    # The outer centres lie on the region's edges, half a pixel inside the image.
    region = region_around((0.5, 0.5, SIZE[1] - 0.5, SIZE[0] - 0.5), SIZE, 1.0)
    stretched = region.width / (SIZE[1] - 1), region.height / (SIZE[0] - 1)
    assert max(stretched) < 1.01
    crop = cut_out(image, type(region)(0.5, 0.5, SIZE[1] - 1.0, SIZE[0] - 1.0, SIZE))
    assert np.array_equal(crop, image)


def test_outside_the_image_is_black():
    white = np.full((30, 40, 3), 255, np.uint8)
    crop = cut_out(white, region_around((-40.0, 0.0, 0.0, 30.0), SIZE, 1.0))
    assert not crop.any()
    assert cut_out(white.astype(np.float32), region_around((5.0, 5.0, 9.0, 9.0), SIZE, 1.0)).dtype == np.float32


@pytest.mark.parametrize("box", [(5, 5, 5, 9), (9, 5, 5, 9), (0, 0, float("nan"), 4)])
def test_refuses_a_box_without_an_area(box):
    with pytest.raises(ContractError, match=r"has no area; boxes are left, top, right, bottom"):
        predict(Brightest(), image_with_spots((5, 5)), boxes=[box])


@pytest.mark.parametrize("boxes", [[(0, 0, 9, 9)], []])
def test_refuses_other_models_before_they_run(boxes):
    model = SmallModel("dense")
    with pytest.raises(ContractError, match=r"has none\. The fix: processing\.size"):
        predict(model, image_with_spots((5, 5)), boxes=boxes)
    fixed = Processing(size=(32, 32), mean=(0.0,) * 3, std=(1.0,) * 3)
    model = SmallModel("dense", processing=fixed)
    with pytest.raises(ContractError, match="finds no keypoints"):
        predict(model, image_with_spots((5, 5)), boxes=boxes)
    assert model.largest_batch == 0


def test_one_of_several_tasks_can_find_the_keypoints():
    class Several(Brightest):
        tasks = {"pose": None, "depth": None}

        def prediction_kind(self, task: str = "") -> type:
            return {"pose": Heatmaps, "depth": DenseDepth}[task]

        def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput:
            heatmaps = Heatmaps(pixel_values.mean(dim=1, keepdim=True))
            return ModelOutput((), predictions={"pose": heatmaps, "depth": DenseDepth(pixel_values[:, 0])})

    ((person,),) = predict(Several(), image_with_spots((40.0, 60.0)), boxes=[(20, 30, 60, 95)], task="pose")
    torch.testing.assert_close(person.keypoints, torch.tensor([[40.0, 60.0]]), atol=0.3, rtol=0)
    with pytest.raises(ContractError, match="finds no keypoints"):
        predict(Several(), image_with_spots((5, 5)), boxes=[(0, 0, 9, 9)])


@pytest.mark.parametrize(("batch_size", "batches"), [(None, [16, 4]), (8, [8, 8, 4])])
def test_a_batch_counts_persons(batch_size, batches):
    sizes = []

    class Counted(Brightest):
        def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput:
            sizes.append(len(pixel_values))
            return super().forward(pixel_values, pixel_mask)

    predict(Counted(), image_with_spots((5, 5)), boxes=[(0, 0, 9, 9)] * 20, batch_size=batch_size)
    assert sizes == batches


@pytest.mark.parity
@pytest.mark.parametrize("box", [(20.0, 10.0, 71.0, 95.0), (-9.0, 40.0, 60.0, 55.0), (100.0, 60.0, 159.0, 119.0)])
def test_crops_and_keypoints_are_those_of_transformers(box):
    """transformers counts pixels from their centres, so its boxes and points are half a pixel less."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("scipy")
    processor = transformers.VitPoseImageProcessor()
    image = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    left, top, right, bottom = box
    theirs = [[[left - 0.5, top - 0.5, right - left, bottom - top]]]
    expected = processor(image, boxes=theirs, do_rescale=False, do_normalize=False)["pixel_values"][0]
    region = region_around(box, (256, 192), 1.25)
    crop = cut_out(image, region)
    difference = np.abs(np.moveaxis(np.asarray(expected), 0, -1).astype(int) - crop.astype(int))
    assert difference.max() <= 1
    assert (difference > 0).mean() < 0.001  # rounding of what lies half way

    centres = torch.rand(17, 2) * torch.tensor([40.0, 56.0]) + 4
    heatmaps = torch.exp(-((torch.arange(64.0)[:, None] - centres[:, 1, None, None]) ** 2) / 8) * torch.exp(
        -((torch.arange(48.0) - centres[:, 0, None, None]) ** 2) / 8
    )
    output = type("Output", (), {"heatmaps": heatmaps[None]})
    ((person,),) = processor.post_process_pose_estimation(output, boxes=theirs)
    pose = Given(heatmaps[None])
    ((result,),) = predict(pose, image, boxes=[box])
    torch.testing.assert_close(result.keypoints - 0.5, person["keypoints"].float(), atol=5e-3, rtol=0)
    torch.testing.assert_close(result.scores, person["scores"].float())


class Given(Brightest):
    """Returns always the same heatmaps."""

    processor = ImageProcessor(Processing(size=(256, 192)))

    def __init__(self, heatmaps: Tensor) -> None:
        super().__init__()
        self.heatmaps = heatmaps

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput:
        return ModelOutput((), predictions=Heatmaps(self.heatmaps))
