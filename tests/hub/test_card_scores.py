"""Scores in a model card: what huggingface_hub reads, what people read, and what others' names cannot do."""

import math

import pytest
from huggingface_hub import ModelCard

from backbonekit.contract.processing import Processing
from backbonekit.contract.scores import Scores
from backbonekit.errors import StorageError
from backbonekit.hub.card import CardFacts, model_card
from backbonekit.hub.card_scores import with_scores

CARD = model_card(CardFacts(name="resnet + fpn + fcos", licences=("mit",), weights=("w",), tags=("a",)), Processing())
SCORES = Scores(
    ("box_AP", 0.41237),
    {"box_AP": 0.41237, "box_AP50": 0.6, "box_AP_small": math.nan},
    num_images=500,
    readings={"": "detection"},
)


def scored(card: str = CARD, scores: Scores = SCORES, **changes: str) -> str:
    return with_scores(card, scores, **{"data": "photos", "data_format": "coco", "split": "val", **changes})


def test_the_hub_reads_the_results():
    data = ModelCard(scored()).data
    assert data.model_name == "resnet + fpn + fcos"
    assert data.license == "mit"
    assert data.tags == ["backbonekit", "a"]
    results = {result.metric_type: result for result in data.eval_results}
    assert list(results) == ["box_AP", "box_AP50"]  # a metric without a value is no result
    one = results["box_AP"]
    assert (one.metric_value, one.task_type, one.dataset_type) == (0.41237, "object-detection", "coco")
    assert (one.dataset_name, one.dataset_split) == ("photos", "val")


def test_people_read_a_table_before_the_use():
    text = scored()
    assert "Measured on 500 images of photos (val)." in text
    assert "| **box_AP** | 0.4124 |" in text
    assert text.index("## Scores") < text.index("## Use") < text.index("## Weights")


def test_newer_scores_replace_older_ones():
    newer = Scores(("box_AP", 0.5), {"box_AP": 0.5}, num_images=9, readings={"": "detection"})
    text = scored(scored(), newer)
    assert text == scored(CARD, newer)
    assert text.count("model-index:") == text.count("## Scores") == 1
    assert scored(text, Scores(("box_AP", math.nan), {"box_AP": math.nan}, readings={"": "detection"})) == CARD


def test_several_tasks_are_several_results():
    scores = Scores(
        ("depth/abs_rel", 0.1),
        {"depth/abs_rel": 0.1, "pixels/mIoU": 0.7},
        readings={"depth": "depth", "pixels": "semantic"},
    )
    results = ModelCard(scored(scores=scores)).data.eval_results
    assert [(one.task_type, one.metric_type, one.metric_value) for one in results] == [
        ("depth-estimation", "abs_rel", 0.1),
        ("image-segmentation", "mIoU", 0.7),
    ]


def test_names_from_others_stay_text():
    text = scored(data="</b><script>\n---\nlicense: gpl\n\x1b[31m", split="/home/me/val.json")
    data = ModelCard(text).data
    assert data.license == "mit"
    assert "<script>" not in text
    assert "\x1b" not in text
    assert "/home/me" not in text
    assert len(data.eval_results) == 2


def test_another_readme_is_refused():
    with pytest.raises(StorageError, match="no model card"):
        scored("# A readme\n")
