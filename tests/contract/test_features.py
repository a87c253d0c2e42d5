from backbonekit.contract.features import FeaturePyramid, Level, octave
from backbonekit.contract.requirements import Requirement


def pyramid(*strides):
    return FeaturePyramid(tuple(Level(f"s{index}", 8, stride) for index, stride in enumerate(strides)))


def test_fourteen_pixel_patches_stand_in_for_sixteen():
    assert [octave(stride) for stride in (3.5, 7, 14, 28)] == [octave(stride) for stride in (4, 8, 16, 32)]


def test_the_deepest_level_of_an_octave_is_taken():
    assert pyramid(4, 4, 8).index_at(4) == 1
    assert pyramid(4, 8).index_at(16) is None


def test_single_stride():
    assert pyramid(16, 16, 16).is_single_stride
    assert not pyramid(4, 8).is_single_stride


def test_requirements_say_what_is_missing_and_add_up():
    required = Requirement(strides=(4, 8), extras=("mask_features",))
    assert required.missing_strides(pyramid(8, 16)) == (4,)
    assert required.missing_extras(pyramid(4, 8)) == ("mask_features",)
    assert required.union(Requirement(strides=(8, 32), last=1)) == Requirement(
        strides=(4, 8, 32), last=1, extras=("mask_features",)
    )
