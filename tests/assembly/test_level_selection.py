"""Which maps a model uses, decided without a tensor."""

from types import SimpleNamespace

import pytest

from backbonekit.assembly.level_selection import Demand, select_levels
from backbonekit.contract.features import Level
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError

PYRAMID = Requirement(strides=(4, 8, 16, 32))


def blueprint(strides, forbidden=()):
    levels = tuple(Level(f"stage{index}", 8, stride) for index, stride in enumerate(strides))
    return SimpleNamespace(
        name="net", levels=levels, forbidden=frozenset(forbidden), default_indices=(len(levels) - 1,)
    )


def select(strides, requirement, *, indices=None, features=None, out_strides=None, adapt="auto", forbidden=()):
    backbone = SimpleNamespace(out_indices=indices, out_features=features, out_strides=out_strides)
    return select_levels(
        blueprint(strides, forbidden), backbone, {"": Demand(requirement, "neck fpn_pixel_decoder")}, adapt
    )


HIERARCHY = (4, 4, 8, 16, 32)  # a stem and four stages
PLAIN = (16,) * 12


def test_auto_takes_what_is_required():
    assert select(HIERARCHY, PYRAMID).out_indices == (1, 2, 3, 4)
    assert select(HIERARCHY, Requirement(last=1)).out_indices == (4,)
    assert select(HIERARCHY, Requirement(strides=(8,), last=1)).out_indices == (2, 4)


def test_without_parts_the_last_stage_is_selected():
    assert select(HIERARCHY, None).out_indices == (4,)
    assert select(HIERARCHY, None, indices=[1, -1]).out_indices == (1, 4)


def test_a_part_receives_only_what_it_requires():
    selection = select(HIERARCHY, Requirement(strides=(8, 16)), indices=[0, 1, 2, 3, 4])
    assert selection.out_indices == (0, 1, 2, 3, 4)
    assert selection.tasks[""].positions == (2, 3)


def test_names_and_strides_select_too():
    assert select(HIERARCHY, PYRAMID, features=["stage1", "stage2", "stage3", "stage4"]).out_indices == (1, 2, 3, 4)
    assert select(HIERARCHY, PYRAMID, out_strides=[4, 8, 16, 32]).out_indices == (1, 2, 3, 4)


def test_a_plain_backbone_is_given_a_pyramid_from_its_last_map():
    selection = select(PLAIN, PYRAMID)
    assert selection.tasks[""].needs_pyramid
    assert selection.out_indices == (11,)


def test_never_refuses_the_pyramid_with_the_fix():
    with pytest.raises(
        ContractError,
        match="fpn_pixel_decoder requires levels at strides 4, 8, 16, 32; backbone net has "
        r"stride 16 only \(12 maps\).*adapt=auto",
    ):
        select(PLAIN, PYRAMID, adapt="never")


def test_too_few_named_maps_are_refused_with_the_fix():
    with pytest.raises(ContractError, match=r"out_indices \[4\], so 4, 8, 16 is missing.*out_indices=auto"):
        select(HIERARCHY, PYRAMID, indices=[4])


def test_a_pyramid_that_starts_too_coarse_is_refused():
    with pytest.raises(ContractError, match="strides 8, 16, 32 at most, so 4 is missing"):
        select((8, 16, 32), PYRAMID)


def test_a_map_that_exists_by_name_only_is_refused():
    assert select(HIERARCHY, PYRAMID, forbidden=(0,)).out_indices == (1, 2, 3, 4)
    with pytest.raises(ContractError, match=r"no map at 0 \(stage0\)"):
        select(HIERARCHY, PYRAMID, indices=[0, 1], forbidden=(0,))


def test_levels_spread_over_the_depth_of_a_plain_backbone():
    assert select(PLAIN, Requirement(spread=4)).out_indices == (2, 5, 8, 11)
    assert select(PLAIN, Requirement(spread=3)).out_indices == (3, 7, 11)
    with_stem = blueprint((16,) * 13)
    with_stem.levels = (Level("stem", 8, 16), *with_stem.levels[1:])
    backbone = SimpleNamespace(out_indices=None, out_features=None, out_strides=None)
    selection = select_levels(with_stem, backbone, {"": Demand(Requirement(spread=4), "head dpt")}, "auto")
    assert selection.out_indices == (3, 6, 9, 12)


def test_of_a_hierarchy_the_deepest_are_taken():
    assert select(HIERARCHY, Requirement(spread=4)).out_indices == (1, 2, 3, 4)
    assert select(HIERARCHY, Requirement(spread=2), indices=[1, 2, 4]).tasks[""].positions == (1, 2)


def test_more_levels_than_there_are_is_refused():
    with pytest.raises(ContractError, match=r"requires 4 maps; backbone net has 2 .* with out_indices \[3, 11\]"):
        select(PLAIN, Requirement(spread=4), indices=[3, 11])
