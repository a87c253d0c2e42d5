"""HeatmapError: the criterion's contract, where the Gaussians stand, what adds no loss."""

import math

import pytest
import torch

from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import Heatmaps
from backbonekit.errors import ContractError
from backbonekit.heads.vitpose.loss import HeatmapError, gaussians
from backbonekit.ops.heatmaps import canvas_to_cells, cells_to_canvas
from tests.losses.criterion_tester import SIZE, CriterionTester

GRID = (SIZE[0] // 2, SIZE[1] // 2)


class TestHeatmapError(CriterionTester):
    criterion = HeatmapError
    options = {"num_classes": 3}
    keys = ("keypoints",)

    def prediction(self, batch):
        return Heatmaps(torch.rand(batch, 3, *GRID, generator=torch.Generator().manual_seed(1)))

    def target(self, index):
        points = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(10 + index))
        points = points * torch.tensor([SIZE[1], SIZE[0], 0.0])
        points[..., 2] = torch.tensor([2.0, 1.0, float(index % 2)])
        return {"keypoints": points}

    def empty_target(self):
        return {"keypoints": torch.zeros(0, 3, 3)}

    def perfect(self, targets, canvas=SIZE):
        points = torch.cat([target["keypoints"] for target in targets])[..., :2]
        return gaussians(canvas_to_cells(points, GRID, canvas), GRID, 2.0)

    def test_gaussians_around_the_keypoints_cost_nothing(self):
        targets = self.targets(2)
        terms = self.run(Heatmaps(self.perfect(targets)), targets)
        assert terms["heatmap"] < 1e-12

    def test_equals_the_mean_square_by_hand(self):
        prediction, targets = self.prediction(2), self.targets(2)
        visible = torch.cat([target["keypoints"] for target in targets])[..., 2] > 0
        expected = ((prediction.heatmaps - self.perfect(targets)) ** 2)[visible].sum() / prediction.heatmaps.numel()
        torch.testing.assert_close(self.run(prediction, targets)["heatmap"], expected)
        torch.testing.assert_close(self.run(prediction, targets, weight=4.0)["heatmap"], 4 * expected)

    def test_without_annotations_the_loss_is_zero(self):
        self.assert_zero_with_a_connected_graph(self.prediction(2), [self.empty_target(), self.empty_target()])

    def test_invisible_and_far_keypoints_add_no_loss(self):
        prediction, targets = self.prediction(1), self.targets(1)
        targets[0]["keypoints"][0, 2, 2] = 0
        expected = self.run(prediction, targets)
        for x, visibility in ((float("nan"), 0.0), (1e4, 2.0), (-200.0, 1.0)):
            targets[0]["keypoints"][0, 2] = torch.tensor([x, 3.0, visibility])
            torch.testing.assert_close(self.run(prediction, targets), expected)

    def test_padding_adds_no_loss(self):
        prediction, targets = self.prediction(2), self.targets(2)
        mask = torch.ones(2, *SIZE, dtype=torch.bool)
        mask[:, 16:] = False
        expected = self.run(prediction, targets, mask)["heatmap"]
        changed = prediction.heatmaps.clone()
        changed[:, :, 8:] = 50.0
        torch.testing.assert_close(self.run(Heatmaps(changed), targets, mask)["heatmap"], expected)
        whole = self.run(prediction, targets, torch.ones(2, *SIZE, dtype=torch.bool))
        torch.testing.assert_close(whole, self.run(prediction, targets))

    @pytest.mark.parametrize(
        ("shape", "message"),
        [((2, 3, 3), "keypoints of 2 persons"), ((1, 4, 3), r"must be \[N, 3, 3\]"), ((3, 3), r"got \[3, 3\]")],
    )
    def test_refuses_what_is_not_one_person(self, shape, message):
        with pytest.raises(ContractError, match=message):
            self.run(self.prediction(1), [{"keypoints": torch.ones(shape)}])


def test_a_gaussian_is_1_at_its_centre_and_falls_by_its_sigma():
    (map_,) = gaussians(torch.tensor([[3.0, 2.0]]), (6, 8), 1.5)
    assert map_.shape == (6, 8)
    assert map_[2, 3] == 1
    for cell in ((2, 4), (3, 3), (1, 3), (2, 2)):
        torch.testing.assert_close(map_[cell], torch.tensor(math.exp(-1 / 4.5)))


@pytest.mark.parametrize(("grid", "canvas"), [((64, 48), (256, 192)), ((7, 5), (33, 47)), ((1, 1), (1, 1))])
def test_outer_cells_lie_on_outer_pixels_and_the_way_back_is_the_way_there(grid, canvas):
    corners = torch.tensor([[0.0, 0.0], [grid[1] - 1.0, grid[0] - 1.0]])
    expected = torch.tensor([[0.5, 0.5], [canvas[1] - 0.5, canvas[0] - 0.5]])
    torch.testing.assert_close(cells_to_canvas(corners, grid, canvas), expected)
    points = torch.rand(4, 3, 2, dtype=torch.float64) * 20
    if min(*grid, *canvas) > 1:
        torch.testing.assert_close(canvas_to_cells(cells_to_canvas(points, grid, canvas), grid, canvas), points)


def test_canvas_size_decides_where_a_cell_lies():
    """The same point on a canvas twice as large is another cell."""
    criterion, prediction = HeatmapError(num_classes=1, sigma=1.0), Heatmaps(torch.zeros(1, 1, 5, 5))
    target = [{"keypoints": torch.tensor([[[4.5, 4.5, 1.0]]])}]
    prediction.heatmaps = gaussians(torch.tensor([[[2.0, 2.0]]]), (5, 5), 1.0)
    assert criterion(prediction, target, Canvas((9, 9)))["heatmap"] < 1e-12
    assert criterion(prediction, target, Canvas((17, 17)))["heatmap"] > 1e-3
