"""Pictures of scores and of a training's log: PNG files of the right content, whatever the classes are called."""

import io

import numpy as np
import pytest
from PIL import Image

from backbonekit.contract.scores import Confusion, PrecisionCurves, Scores
from backbonekit.errors import StorageError
from backbonekit.evaluation.figures import shown
from backbonekit.evaluation.plots import confusion_png, precision_png, score_plots
from backbonekit.evaluation.training_curves import read_log, smoothed, training_plots

RECALLS = np.linspace(0, 1, 101)


def opened(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return image.convert("RGB")


def confusion(count: int, names: tuple[str, ...] | None = None) -> Confusion:
    counts = np.zeros((count, count + 1), np.int64)
    counts[:, :count] = np.eye(count, dtype=np.int64) * 90 + 1
    return Confusion(counts, names or tuple(f"class {index}" for index in range(count)), "pixels")


def test_a_matrix_has_its_diagonal_dark_and_grows_up_to_a_bound():
    small, large, largest = (opened(confusion_png(confusion(count))) for count in (3, 25, 300))
    assert small.width < large.width == largest.width
    pixels = np.asarray(small).astype(int)
    blue = (pixels[..., 2] - pixels[..., 0] > 60).sum()
    assert blue > 0.05 * pixels[..., 0].size


def test_names_from_others_stay_text():
    names = ("$\\frac{$", "_hidden", "日本", "a\nb\x1b[31m", "x" * 400)
    opened(confusion_png(confusion(5, names)))
    curves = PrecisionCurves(RECALLS, np.full((5, 101), 0.5), names, "boxes")
    opened(precision_png(curves))
    assert shown("$a$") == r"\$a\$"
    assert shown("_a").startswith(" ")
    assert len(shown("x" * 400)) == 22
    assert shown("a\x1bb") == "a b"


def test_more_classes_than_names_fit_are_drawn_without_name():
    precisions = np.linspace(0.1, 0.9, 40)[:, None].repeat(101, axis=1)
    precisions[3] = np.nan  # a class that the ground truth does not have
    names = tuple(f"class {index}" for index in range(40))
    few = opened(precision_png(PrecisionCurves(RECALLS, precisions[:4], names[:4], "boxes")))
    many = opened(precision_png(PrecisionCurves(RECALLS, precisions, names, "boxes")))
    assert few.size == many.size
    assert np.asarray(few).tobytes() != np.asarray(many).tobytes()


def test_scores_are_drawn_where_there_is_something():
    empty = Confusion(np.zeros((2, 3), np.int64), ("a", "b"), "images")
    none = PrecisionCurves(RECALLS, np.full((1, 101), np.nan), ("a",), "masks")
    curves = PrecisionCurves(RECALLS, np.ones((1, 101)), ("a",), "pose boxes")
    pictures = score_plots(Scores(("m", 1.0), {"m": 1.0}, plots=(confusion(2), empty, none, curves)))
    assert list(pictures) == ["confusion_pixels.png", "precision_recall_pose_boxes.png"]


LOG = """epoch,step,train_loss,train_loss_mask,val_loss,val_mask_AP,depth
0,0,4.0,3.0,,,
0,1,2.0,1.0,,,
0,1,,,2.5,0.25,
1,2,nan,1.0,,,
1,2,,,2.25,0.5,7
"""


def test_a_log_is_drawn(tmp_path):
    (tmp_path / "metrics.csv").write_text(LOG)
    curves = read_log(tmp_path / "metrics.csv")
    assert curves["train_loss"][1].tolist() == [4, 2]  # without the step that was no number
    assert curves["val_mask_AP"][0].tolist() == [1, 2]
    pictures = training_plots(tmp_path / "metrics.csv")
    assert list(pictures) == ["loss.png", "metrics.png"]
    for content in pictures.values():
        assert opened(content).width > 1000
    (tmp_path / "metrics.csv").write_text("epoch,step\n")
    assert training_plots(tmp_path / "metrics.csv") == {}


def test_what_is_no_log_is_told(tmp_path):
    with pytest.raises(StorageError, match="cannot be read as a log"):
        training_plots(tmp_path / "metrics.csv")
    (tmp_path / "metrics.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StorageError, match="cannot be read as a log"):
        training_plots(tmp_path / "metrics.csv")


def test_smoothing_keeps_a_line_and_its_mean():
    line = np.arange(600.0)
    np.testing.assert_allclose(smoothed(line)[20:-20], line[20:-20])
    assert smoothed(np.ones(1000)).tolist() == [1.0] * 1000
    assert smoothed(np.array([3.0, 1.0])).tolist() == [3, 1]
