"""Messages stay short and harmless, whatever is in the names that they show."""

import pickle
import time

import pytest

from backbonekit.errors import MAX_MESSAGE, ContractError, RecipeError, StorageError, WeightsError, nearest


def test_one_fault_is_its_own_message():
    assert str(RecipeError("head.x is unknown.")) == "head.x is unknown."
    assert str(RecipeError(["a", "b"])) == "2 faults:\n  1. a\n  2. b"


def test_twenty_faults_are_shown_and_the_others_counted():
    error = RecipeError([f"fault {number}" for number in range(100_000)])
    lines = str(error).splitlines()
    assert lines[0] == "100,000 faults:"
    assert lines[20] == "  20. fault 19"
    assert lines[21] == "  ... and 99,980 more."
    assert len(lines) == 22
    assert len(error.faults) == 100_000


@pytest.mark.parametrize("count", [1, 2, 20, 21])
def test_long_faults_lose_their_middle(count: int):
    message = str(RecipeError([f"start{number} {'x' * 10**6} the fix" for number in range(count)]))
    assert len(message) <= MAX_MESSAGE
    assert message.count("start") == message.count("the fix") == min(count, 20)


@pytest.mark.parametrize("kind", [ContractError, WeightsError, StorageError, RecipeError])
def test_every_error_is_bounded_printable_and_can_be_pickled(kind: type[Exception]):
    message = str(kind(f"\x1b[2J{'y' * 10**7}\x07\nThe fix: none."))
    assert len(message) <= MAX_MESSAGE
    assert message.startswith("\\x1b[2Jyyy")
    assert message.endswith("\\x07\nThe fix: none.")
    assert str(pickle.loads(pickle.dumps(kind("short")))) == "short"


def test_nearest_names_are_searched_within_bounds():
    assert nearest("resnet5O", ["resnet50", "swin"]) == "did you mean 'resnet50'?"
    since = time.perf_counter()
    assert nearest("x" * 10**7, ["resnet50"]).startswith("allowed")
    assert nearest("layer1", [f"layer{number}" for number in range(100_000)]).endswith("(100000 in all).")
    assert time.perf_counter() - since < 1  # 0.1 s here; unbounded, the second takes a minute
