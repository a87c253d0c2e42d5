import pytest

from backbonekit.errors import RecipeError
from backbonekit.recipe.sweep import expand_sweep


def test_every_combination_the_last_fastest():
    jobs = expand_sweep(["model=a,b", "head.num_classes=7", "backbone=resnet50,timm/regnety_004"])
    assert jobs == [
        ["model=a", "head.num_classes=7", "backbone=resnet50"],
        ["model=a", "head.num_classes=7", "backbone=timm/regnety_004"],
        ["model=b", "head.num_classes=7", "backbone=resnet50"],
        ["model=b", "head.num_classes=7", "backbone=timm/regnety_004"],
    ]


@pytest.mark.parametrize(
    ("override", "values"),
    [
        ("x=range(1,4)", ["x=1", "x=2", "x=3"]),
        ("x=range(0,1,0.5)", ["x=0.0", "x=0.5"]),
        ("x=choice(a,b)", ["x=a", "x=b"]),
        ("x=[1,2],[3,4]", ["x=[1,2]", "x=[3,4]"]),
        ("x=true,null", ["x=true", "x=null"]),
        ("x='a,b',c", ["x='a,b'", "x=c"]),
        ("backbone=glob(swin_*)", ["backbone=swin_base", "backbone=swin_small", "backbone=swin_tiny"]),
        ("model/neck=glob(*fpn*, exclude=[fpn, *decoder])", ["model/neck=bifpn", "model/neck=pafpn"]),
        ("x=[1,2]", ["x=[1,2]"]),
    ],
)
def test_sweeps(override, values):
    if override == "x=true,null":
        values = ["x=True", "x=null"]
    assert [job[0] for job in expand_sweep([override])] == values


def test_names_of_ones_own_folder_are_matched(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "mine.yaml").write_text("adapt: auto")
    assert expand_sweep(["model=glob(min*)"], config_dir=tmp_path) == [["model=mine"]]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("x=interval(0,1)", "is an interval"),
        ("x=range(0,100000)", "more than 1,000 values"),
        ("x=range(3,1)", "has no value at all"),
        ("x=range(0,3,0)", "has no value"),
        ("x=glob(*)", "matches names of models, backbones, necks and heads only"),
        ("backbone=glob(zzz*)", "matches nothing"),
        ("x=(", "could not be read"),
    ],
)
def test_sweeps_that_are_none(override, message):
    with pytest.raises(RecipeError, match=message):
        expand_sweep([override])


def test_a_sweep_has_an_end():
    with pytest.raises(RecipeError, match="50 x 50 combinations; 1,000 is the limit"):
        expand_sweep(["a=range(0,50)", "b=range(0,50)"])


def test_all_faults_at_once():
    with pytest.raises(RecipeError) as caught:
        expand_sweep(["a=(", "b=interval(0,1)", "c=1,2"])
    assert len(caught.value.faults) == 2
