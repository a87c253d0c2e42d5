"""Large images in tiles: equal to the whole image where the receptive field allows, and merged where things repeat."""

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from small_models import SmallModel
from torch import nn

from backbonekit.assembly.predict import predict, predict_large
from backbonekit.contract.predictions import BoxQueries, DenseDepth, DenseLogits
from backbonekit.contract.processing import Processing
from backbonekit.contract.results import InstanceResult
from backbonekit.errors import ContractError, RecipeError
from backbonekit.postprocessing.instance_merging import InstanceTiles
from backbonekit.postprocessing.stitching import Blend
from backbonekit.postprocessing.tiling import spans

NATIVE = Processing(size_divisor=8, mean=(0.0,) * 3, std=(1.0,) * 3)


def scene(height: int = 200, width: int = 304) -> np.ndarray:
    """Sides that are multiples of the divisor, so that nothing is resized."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 255, (height // 10 + 1, width // 10 + 1, 3), dtype=np.uint8)
    return coarse.repeat(10, axis=0).repeat(10, axis=1)[:height, :width]


class Convolutions(nn.Module):
    """Logits of 3 classes at every pixel, or depth, from a receptive field of 11 pixels."""

    def __init__(self, kind: str = "dense") -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.layers = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1) for _ in range(5)])
        self.kind = kind

    def forward(self, pixel_values):
        for layer in self.layers:
            pixel_values = layer(pixel_values).tanh() * 2
        return DenseLogits(pixel_values) if self.kind == "dense" else DenseDepth(pixel_values.mean(dim=1))


REACH = 5


def model_of(head: nn.Module, kind: str = "dense", processing: Processing = NATIVE) -> SmallModel:
    model = SmallModel(kind, processing)
    scoring = {"dense": "softmax", "depth": "distance", "boxes": "sigmoid"}[kind]
    head.scoring = scoring
    model.heads = nn.ModuleList([head])
    return model


@pytest.mark.parametrize(("length", "tile", "overlap"), [(100, 100, 10), (5, 64, 0), (300, 100, 50), (333, 96, 13),
                                                         (301, 100, 0), (1000, 128, 16)])  # fmt: skip
def test_the_weights_of_tiles_add_up_to_one(length, tile, overlap):
    total = torch.zeros(length)
    for span in spans(length, tile, overlap):
        assert 0 <= span.first <= span.used < span.end <= length
        assert span.length <= tile
        total[span.used : span.end] += span.weights()
    torch.testing.assert_close(total, torch.ones(length))
    assert spans(length, tile, overlap)[-1].length > tile - 32 or length < tile


def test_a_blend_of_what_is_equal_is_the_same_and_every_pixel_comes_once():
    maps = torch.randn(2, 91, 77)
    found, times = torch.zeros(2, 91, 77), torch.zeros(91, 77)

    def take(top, left, block):
        found[:, top : top + block.shape[1], left : left + block.shape[2]] += block
        times[top : top + block.shape[1], left : left + block.shape[2]] += 1

    columns = spans(77, 40, 9)
    blend = Blend(columns, take)
    for row in spans(91, 40, 9):
        for index, column in enumerate(columns):
            blend.add(row, index, maps[:, row.first : row.end, column.first : column.end])
    torch.testing.assert_close(found, maps)
    assert (times == 1).all()


@pytest.mark.parametrize("tile", [64, 96, 512])
def test_classes_equal_those_of_the_whole_image_away_from_the_edges_of_tiles(tile):
    model, image = model_of(Convolutions()), scene()
    (whole,) = predict(model, image)
    (tiled,) = predict(model, image, tile=tile, overlap=16)
    assert tiled.segmentation.dtype == whole.segmentation.dtype == torch.int64
    inside = torch.ones(image.shape[:2], dtype=torch.bool)
    for axis, length in enumerate(image.shape[:2]):
        for span in spans(length, tile, 16):
            # Where the edge of a tile inside the image is within the reach of the network.
            for edge in (span.first, span.end):
                if 0 < edge < length:
                    inside.index_fill_(axis, torch.arange(edge - REACH, min(edge + REACH, length)), False)
    assert inside.float().mean() > 0.3
    assert torch.equal(tiled.segmentation[inside], whole.segmentation[inside])
    assert len(whole.segmentation.unique()) == 3


@pytest.mark.parametrize("kind", ["dense", "masks"])
def test_without_a_reach_all_pixels_are_equal(kind):
    model = SmallModel(kind, NATIVE)
    steps = []
    (whole,) = predict(model, scene(), task="semantic" if kind == "masks" else None)
    tiled = predict_large(
        model, scene(), tile=64, overlap=16, task="semantic" if kind == "masks" else None,
        progress=lambda done, total: steps.append((done, total)),
    )  # fmt: skip
    assert tiled.segmentation.shape == (200, 304)
    # The maps have a quarter of the resolution: near the edge of a tile the cells of another tile are out of reach.
    assert (tiled.segmentation == whole.segmentation).float().mean() > 0.995
    assert steps == [(done, 24) for done in range(1, 25)]


def test_depth_in_metres_is_blended_and_relative_depth_refused():
    model, image = model_of(Convolutions("depth"), "depth"), scene()
    (whole,), (tiled,) = predict(model, image), predict(model, image, tile=96, overlap=32)
    assert tiled.depth.shape == (200, 304)
    torch.testing.assert_close(tiled.depth[:60, :60], whole.depth[:60, :60])
    model.heads[0].scoring = "nearness"
    with pytest.raises(RecipeError, match="does not go with relative depth"):
        predict(model, image, tile=96)
    predict(model, image, augment=["flip"])


class BrightBoxes(nn.Module):
    """One box around all that is bright, however little."""

    def forward(self, pixel_values):
        bright = pixel_values[0].mean(dim=0) > 0.5
        height, width = bright.shape
        rows, columns = bright.any(dim=1).nonzero()[:, 0], bright.any(dim=0).nonzero()[:, 0]
        if not len(rows):
            return BoxQueries(torch.full((1, 1, 2), -9.0), torch.zeros(1, 1, 4))
        x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
        box = torch.stack([(x0 + x1) / 2 / width, (y0 + y1) / 2 / height, (x1 - x0) / width, (y1 - y0) / height])
        # A whole thing is found with more certainty than a part of one.
        score = 1 + 0.001 * bright.sum()
        return BoxQueries(torch.stack([torch.tensor(-9.0), score])[None, None], box[None, None])


def test_a_thing_on_the_edge_of_tiles_is_found_once():
    image = np.zeros((160, 300, 3), np.uint8)
    image[100:110, 10:20] = 255  # inside one tile
    image[30:45, 88:104] = 255  # in the overlap of the first and the second
    image[130:150, 250:260] = 255
    model = model_of(BrightBoxes(), "boxes")
    assert len(predict(model, image)[0].labels) == 1
    (found,) = predict(model, image, tile=96, overlap=32, threshold=0.5)
    boxes = sorted(found.boxes_xyxy.round().int().tolist())
    assert boxes == [[10, 100, 20, 110], [88, 30, 104, 45], [250, 130, 260, 150]]
    assert found.scores.tolist() == sorted(found.scores.tolist(), reverse=True)
    assert len(predict(model, image, tile=96, overlap=32, top_k=1)[0].labels) == 1


def result(boxes, scores, masks=None) -> InstanceResult:
    return InstanceResult(torch.ones(len(boxes), dtype=torch.int64), torch.tensor(scores), torch.tensor(boxes), masks)


def test_masks_decide_where_there_are_masks():
    one, two = torch.zeros(1, 20, 20, dtype=torch.bool), torch.zeros(1, 20, 20, dtype=torch.bool)
    one[0, :, 10:] = True
    two[0, :10, :10] = True  # the upper half of the same thing, 10 pixels to the left
    tiles = InstanceTiles()
    tiles.add(0, 0, result([[10.0, 0, 20, 20]], [0.9], one))
    tiles.add(10, 0, result([[0.0, 0, 10, 10]], [0.8], two))
    merged = tiles.merged((20, 30))
    assert merged.scores.tolist() == pytest.approx([0.9])
    assert merged.masks.shape == (1, 20, 30)
    assert merged.masks[0].sum() == 200
    apart = InstanceTiles()
    apart.add(0, 0, result([[10.0, 0, 20, 20]], [0.9], torch.eye(20, dtype=torch.bool)[None]))
    apart.add(10, 0, result([[0.0, 0, 10, 10]], [0.8], two & ~torch.eye(20, dtype=torch.bool)[None].roll(-10, 2)))
    assert len(apart.merged((20, 30)).labels) == 2
    with pytest.raises(ContractError, match=r"2 masks of 100000 x 100000 pixels take 20 GB"):
        apart.merged((100_000, 100_000))


def test_two_things_of_one_tile_are_never_merged():
    tiles = InstanceTiles()
    tiles.add(0, 0, result([[0.0, 0, 10, 10], [1.0, 0, 10, 10]], [0.9, 0.8]))
    assert len(tiles.merged((20, 20)).labels) == 2


class LeftIsBright(nn.Module):
    """Depends on the side: the left half of what it is given has class 1, wherever the image shows."""

    def forward(self, pixel_values):
        logits = functional.pad(torch.zeros(1, 1, *pixel_values.shape[-2:]), (0, 0, 0, 0, 0, 1))
        logits[:, 1, :, : pixel_values.shape[-1] // 2] = 4
        return DenseLogits(logits + pixel_values.mean(dim=1, keepdim=True) * torch.tensor([0.0, 1.0])[:, None, None])


def test_views_are_averaged():
    image = np.zeros((32, 64, 3), np.uint8)
    model = model_of(LeftIsBright())
    depth = model_of(Convolutions("depth"), "depth")
    (plain,) = predict(model, image)
    assert plain.segmentation[:, :32].eq(1).all()
    (both,) = predict(model, image + 255, augment=["flip"], threshold=None)
    assert both.segmentation.eq(1).all()  # (4 + 0) / 2 and the brightness everywhere
    images = scene(64, 96)
    mirrored = predict(depth, images[:, ::-1].copy())[0].depth.flip(-1)
    (averaged,) = predict(depth, images, augment=["flip"])
    torch.testing.assert_close(averaged.depth, (predict(depth, images)[0].depth + mirrored) / 2)
    (scaled,) = predict(depth, images, augment=[0.5, 2])
    assert scaled.depth.shape == (64, 96)
    assert not torch.allclose(scaled.depth, predict(depth, images)[0].depth)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("masks", {"tile": 64}, r"task=panoptic.*The fix: task=semantic or task=instance"),
        ("classes", {"tile": 64}, "does not go with task=classification"),
        ("boxes", {"augment": ["flip"]}, "augment= is for dense predictions"),
        ("dense", {"tile": 8}, "at least 32 pixels"),
        ("dense", {"tile": 64, "overlap": 33}, "from 0 to half of tile=64"),
        ("dense", {"overlap": 8}, "overlap=8 is of tiles"),
        ("dense", {"augment": ["flop"]}, "'flop' is none of 'flip' and a scale"),
        ("dense", {"augment": [100]}, "100 is none of"),
    ],
)
def test_what_cannot_be_put_together_is_refused(kind, options, says):
    with pytest.raises(RecipeError, match=says):
        predict(SmallModel(kind, NATIVE), scene(), **options)


def test_a_crop_that_hides_the_edges_is_refused():
    with pytest.raises(ContractError, match=r"processing\.crop=null"):
        predict(SmallModel("dense", Processing(size=(64, 64), crop=(32, 32))), scene(), tile=64)
