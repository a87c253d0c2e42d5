import pytest

from backbonekit.contract.features import Level
from backbonekit.contract.indices import indices_at_strides, indices_of_features, normalise_indices
from backbonekit.errors import ContractError

STAGES = ("stem", "stage1", "stage2", "stage3", "stage4")
LEVELS = tuple(Level(name, 8, stride) for name, stride in zip(STAGES, (4, 4, 8, 16, 32), strict=True))


@pytest.mark.parametrize(
    ("given", "positions"),
    [
        ([1, 2], (1, 2)),
        ((1,), (1,)),
        (3, (3,)),
        ([-1], (4,)),
        ([-2, -1], (3, 4)),
        ([1, -1], (1, 4)),
        (range(1, 3), (1, 2)),
    ],
)
def test_indices_are_normalised(given, positions):
    assert normalise_indices(given, STAGES) == positions


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], "empty"),
        ([5], "5 out of range"),
        ([-6], "-6 out of range"),
        ([1, 1], r"did you mean \[1\]"),
        ([4, -1], r"repeats a stage; did you mean \[4\]"),
        ([2, 1], r"not in network order; did you mean \[1, 2\]"),
        ([-1, 1], r"did you mean \[1, 4\]"),
        ([1.0], "whole numbers, got 1.0"),
        ([True], "whole numbers, got True"),
        ("1", "list of whole numbers"),
        (None, "list of whole numbers"),
    ],
)
def test_refused_indices_say_why(given, message):
    with pytest.raises(ContractError, match=message):
        normalise_indices(given, STAGES)


def test_a_refusal_lists_the_stages():
    with pytest.raises(ContractError, match="0 stem, 1 stage1, 2 stage2, 3 stage3, 4 stage4"):
        normalise_indices([7], STAGES)


def test_features_are_positions_by_name():
    assert indices_of_features(["stage2", "stage4"], STAGES) == (2, 4)
    with pytest.raises(ContractError, match="no stage 'stage5'; did you mean 'stage4'"):
        indices_of_features(["stage5"], STAGES)
    with pytest.raises(ContractError, match="network order"):
        indices_of_features(["stage2", "stage1"], STAGES)
    with pytest.raises(ContractError, match="list of stage names"):
        indices_of_features("stage1", STAGES)


def test_strides_take_the_deepest_level():
    assert indices_at_strides([4, 32], LEVELS) == (1, 4)
    with pytest.raises(ContractError, match="no map of stride 64; the strides are 4, 4, 8, 16, 32"):
        indices_at_strides([4, 64], LEVELS)
