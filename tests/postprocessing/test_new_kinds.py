"""A kind of prediction and of result that the package does not know: an entry in each table, and everything works."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image
from small_models import LABELS, SmallModel
from torch import Tensor

from backbonekit.assembly.predict import predict
from backbonekit.cli import predict as predict_verb
from backbonekit.cli.verbs import run_verb
from backbonekit.contract.mapping import register_output
from backbonekit.contract.predictions import ModelOutput, Prediction
from backbonekit.contract.results import Result
from backbonekit.errors import ContractError, RecipeError
from backbonekit.postprocessing.coco import CocoResults
from backbonekit.postprocessing.result_kinds import RESULT_KINDS, ResultKind, summarise
from backbonekit.postprocessing.results import PREDICTION_KINDS, PredictionKind
from backbonekit.visualization.draw import DRAWINGS, Drawing, draw


@register_output
@dataclass(eq=False)
class Count(Prediction):
    """How many objects an image shows. `logarithm`: [batch]."""

    logarithm: Tensor


@dataclass(slots=True)
class CountResult(Result):
    number: float


class Counting(SmallModel):
    """Returns the same count for every image."""

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None) -> ModelOutput:
        return ModelOutput((), predictions=Count(torch.full((len(pixel_values),), 7.0).log()))


IMAGES = [np.zeros((20, 30, 3), np.uint8), np.zeros((12, 9, 3), np.uint8)]


@pytest.fixture
def known(monkeypatch):
    def read(prediction, geometries, options):
        assert len(geometries) == len(prediction.logarithm)
        return [CountResult(value) for value in prediction.logarithm.exp().round().tolist()]

    def over(image, result, labels):
        return Image.new("RGB", image.size, (int(result.number), 0, 0))

    monkeypatch.setitem(PREDICTION_KINDS, Count, PredictionKind({"counting": read}))
    monkeypatch.setitem(
        RESULT_KINDS,
        CountResult,
        ResultKind(
            entries=lambda result, labels, write_png: [{"count": result.number}],
            words=lambda result, labels: [f"{result.number:.0f} objects"],
        ),
    )
    monkeypatch.setitem(DRAWINGS, CountResult, Drawing(over))


def test_a_new_kind_is_predicted_written_drawn_and_summarised(known, tmp_path):
    results = predict(Counting("classes"), IMAGES, task="counting", batch_size=2)
    assert results == [CountResult(7.0), CountResult(7.0)]
    assert summarise(results[0], LABELS) == "7 objects"
    assert draw(IMAGES[1], results[1]).getpixel((0, 0)) == (7, 0, 0)
    coco = CocoResults(tmp_path / "found.json")
    coco.add("one.png", (20, 30), results[0])
    coco.write()
    (entry,) = json.loads((tmp_path / "found.json").read_text())["annotations"]
    assert entry == {"id": 1, "image_id": 1, "count": 7.0}


def test_a_new_kind_passes_through_the_command_line(known, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(predict_verb, "start_model", lambda *_: Counting("classes"))
    Image.fromarray(IMAGES[0]).save(tmp_path / "in.png")
    words = ["recipe=o/r", f"image={tmp_path}/in.png", f"output={tmp_path}/out.png", f"results={tmp_path}/r.json"]
    assert run_verb("predict", words) == 0
    assert capsys.readouterr().out == "in.png: 7 objects\n"
    assert json.loads((tmp_path / "r.json").read_text())["annotations"][0]["count"] == 7.0
    assert Image.open(tmp_path / "out.png").getpixel((0, 0)) == (7, 0, 0)


def test_a_kind_without_an_entry_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="kind Count has no post-processing; those that have: BoxCandidates"):
        predict(Counting("classes"), IMAGES)
    with pytest.raises(ContractError, match="CountResult cannot be drawn; kinds of result that can: ClassResult"):
        draw(IMAGES[0], CountResult(1.0))
    with pytest.raises(ContractError, match="CountResult is no known kind of result"):
        summarise(CountResult(1.0), None)
