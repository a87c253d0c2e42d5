"""Heatmaps to keypoints: where peaks are found, how they come back to the image, equality with transformers."""

import pytest
import torch

from backbonekit.contract.predictions import Heatmaps
from backbonekit.contract.processing import Geometry
from backbonekit.errors import RecipeError
from backbonekit.heads.vitpose.loss import gaussians
from backbonekit.ops.heatmaps import canvas_to_cells
from backbonekit.postprocessing.keypoints import locate_keypoints, peaks
from backbonekit.postprocessing.results import to_results

CENTRES = torch.tensor([[5.0, 7.0], [11.3, 2.6], [11.8, 13.25], [8.5, 9.5]])


def test_a_gaussian_is_found_between_the_cells():
    cells, scores = peaks(0.9 * gaussians(CENTRES.double(), (20, 18), 2.0))
    torch.testing.assert_close(cells.float(), CENTRES, atol=2e-3, rtol=0)
    assert ((scores > 0.8) & (scores <= 0.9)).all()


def test_a_peak_on_the_edge_and_a_flat_map_stay_on_their_cell():
    edge = torch.zeros(2, 6, 5, dtype=torch.float64)
    edge[0, 0, 4] = 1.0
    cells, scores = peaks(edge)
    assert scores.tolist() == [1.0, 0.0]
    assert (cells[0] - torch.tensor([4.0, 0.0])).abs().max() < 1
    assert cells[1].tolist() == [0.0, 0.0]
    cells, _ = peaks(torch.rand(3, 1, 1, dtype=torch.float64))
    assert not cells.any()


def whole(original, canvas):
    return Geometry(original, canvas, (0, 0), canvas, canvas)


@pytest.mark.parametrize(
    "geometry",
    [
        whole((64, 48), (64, 48)),
        whole((640, 320), (64, 48)),
        Geometry((100, 80), (50, 40), (0, 0), (50, 40), (64, 48)),  # padded
        Geometry((100, 80), (80, 64), (8, 6), (64, 48), (64, 48)),  # a centre crop
    ],
    ids=["as it is", "stretched", "padded", "cropped"],
)
def test_keypoints_come_back_to_the_pixels_that_they_were_at(geometry):
    """From the image to the canvas as a target is moved, to heatmaps as the loss makes them, and back."""
    size = torch.tensor([geometry.original[1], geometry.original[0]])
    target = size * torch.tensor([[0.4, 0.45], [0.52, 0.6]])  # far enough from the edges, where maps are mirrored
    scale = torch.tensor([geometry.resized[1] / geometry.original[1], geometry.resized[0] / geometry.original[0]])
    on_canvas = target * scale - torch.tensor([geometry.crop_offset[1], geometry.crop_offset[0]])
    heatmaps = gaussians(canvas_to_cells(on_canvas, (16, 12), geometry.canvas), (16, 12), 1.5)
    (result,) = to_results(Heatmaps(heatmaps[None]), [geometry], scoring="softmax", task="keypoints")
    tolerance = 0.01 * 4 / scale.min()  # of a cell, which is four pixels of the canvas
    torch.testing.assert_close(result.keypoints, target, atol=float(tolerance), rtol=0)


def test_padding_is_not_searched():
    heatmaps = torch.zeros(1, 1, 16, 12)
    heatmaps[0, 0, 3, 4], heatmaps[0, 0, 14, 4] = 0.5, 1.0
    padded = Geometry((32, 48), (32, 48), (0, 0), (32, 48), (64, 48))
    (result,) = locate_keypoints(Heatmaps(heatmaps), [padded])
    assert result.scores.tolist() == [0.5]
    assert result.keypoints[0, 1] < 32


def test_what_does_not_reach_the_threshold_is_nowhere():
    heatmaps = torch.zeros(1, 3, 8, 8)
    heatmaps[0, 0, 2, 2], heatmaps[0, 1, 3, 3] = 0.2, 0.7
    (result,) = locate_keypoints(Heatmaps(heatmaps), [whole((8, 8), (8, 8))])
    assert result.keypoints.isnan().any(dim=1).tolist() == [False, False, True]
    (result,) = to_results(Heatmaps(heatmaps), [whole((8, 8), (8, 8))], scoring="softmax", threshold=0.5)
    assert result.keypoints.isnan().all(dim=1).tolist() == [True, False, True]
    torch.testing.assert_close(result.scores, torch.tensor([0.2, 0.7, 0.0]))


def test_heatmaps_are_read_as_keypoints_alone():
    with pytest.raises(RecipeError, match="keypoints"):
        to_results(Heatmaps(torch.zeros(1, 1, 2, 2)), [whole((2, 2), (2, 2))], scoring="softmax", task="semantic")


@pytest.mark.parity
@pytest.mark.parametrize("kernel", [11])
def test_peaks_are_those_of_transformers(kernel):
    pytest.importorskip("transformers")
    pytest.importorskip("scipy")
    from transformers.models.vitpose.image_processing_vitpose import (
        get_keypoint_predictions,
        post_dark_unbiased_data_processing,
    )

    centres = torch.rand(17, 2) * torch.tensor([47.0, 63.0])
    heatmaps = gaussians(centres, (64, 48), 2.0) * 0.8 + 0.01 * torch.rand(17, 64, 48)
    coordinates, heights = get_keypoint_predictions(heatmaps[None].numpy())
    expected = post_dark_unbiased_data_processing(coordinates.copy(), heatmaps[None].numpy(), kernel=kernel)
    cells, scores = peaks(heatmaps.double())
    torch.testing.assert_close(cells.float(), torch.from_numpy(expected[0]), atol=1e-3, rtol=0)
    torch.testing.assert_close(scores.float(), torch.from_numpy(heights[0, :, 0]))
