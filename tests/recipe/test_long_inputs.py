"""Long recipes cost linear time and end in a short message, whatever is repeated in them."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from backbonekit.errors import MAX_MESSAGE, RecipeError
from backbonekit.recipe.validate import recipe_from_mapping

COUNT = 14_000  # as many names as the limits of a file let through
NAMES = [f"name{number}" for number in range(COUNT)]


def many(word: str) -> dict[str, Any]:
    return {f"{word}{number}": 1 for number in range(COUNT)}


CHANGES: dict[str, dict[str, Any]] = {
    "unknown keys": many("bockbone"),
    "unknown keys of the backbone": {"backbone": {"source": "timm", "name": "resnet18", **many("nome")}},
    "unknown fields": {"backbone": {"source": "hf", "config": {"model_type": "swin", **many("wundow")}}},
    "unknown options": {"head": {"name": "maskformer", "num_classes": 2, **many("num_query")}},
    "things that are no classes": {"labels": {"names": NAMES, "things": [f"nime{one}" for one in range(COUNT)]}},
    "labels that are no names": {"labels": [1] * COUNT},
    "import paths": {"training": {str(number): {"_target_": "x"} for number in range(COUNT)}},
    "interpolations": {"labels": ["${a}"] * COUNT},
    "unknown keys of processing": {"processing": many("size")},
    "unknown keys of a task's processing": {
        "head": None,
        "heads": {"a": {"head": {"name": "fcn", "num_classes": 2}, "processing": many("ignore")}},
    },
    "a long name": {"backbone": {"source": "timm", "name": "x" * 10**6}},
    "tasks": {
        "head": None,
        "heads": {f"t{one}": {"head": {"name": "x"}, "neck": [{"name": "y"}] * 10} for one in range(16)},
    },
}


def seconds_of(action: Callable[[], Any]) -> float:
    since = time.thread_time()
    action()
    return time.thread_time() - since


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_many_faults(change: dict[str, Any]):
    mapping = {"backbone": {"source": "timm", "name": "resnet18"}, "head": {"name": "fcn", "num_classes": 2}, **change}

    def read() -> None:
        with pytest.raises(RecipeError) as caught:
            recipe_from_mapping(mapping)
        assert len(str(caught.value)) <= MAX_MESSAGE

    assert seconds_of(read) < 2  # 0.3 s at most here; 4 to 15 s where every name is searched for its nearest


def test_many_things_of_many_classes():
    mapping = {
        "backbone": {"source": "timm", "name": "resnet18"},
        "head": {"name": "fcn"},
        "labels": {"names": NAMES, "things": NAMES},
    }
    assert seconds_of(lambda: recipe_from_mapping(mapping)) < 2  # 0.05 s here; 6 s where each is compared with each


def test_words_of_others_are_noted_within_bounds(tmp_path):
    """In a configuration that somebody else wrote they are no faults."""
    from backbonekit import ResNetConfig

    content = {"model_type": "resnet", **{f"depth{number}": 1 for number in range(100_000)}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    assert seconds_of(lambda: ResNetConfig.from_pretrained(tmp_path)) < 2  # 0.2 s here
    (note,) = ResNetConfig.from_pretrained(tmp_path).notes
    assert note.startswith("resnet config: ignored 'depth0'")
    assert note.endswith("and 99,980 others; transformers does not read it either.")
