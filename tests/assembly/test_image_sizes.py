"""The size rule of a backbone meets the processing of a recipe before anything runs, and strips are bounded."""

import pytest
import timm
import torch
from PIL import Image

import backbonekit as bk
from backbonekit.assembly.inference import PHOTOGRAPH, predicted_size, sample_input
from backbonekit.cli.verbs import run_verb
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError
from backbonekit.image_processing.resize import resized_size
from backbonekit.recipe.compose import compose_recipe, model_names
from tests.backbones.test_timm_in_full import MODULES, QUICK

# What a detector's processing makes of images of many shapes: no side is a multiple of anything.
ASPECT = {"shortest_edge": 97, "longest_edge": 163}
HEAD = {"name": "classification", "num_classes": 2}
SIZES = ((130, 190), (640, 480), (800, 1333), (224, 224))  # (height, width)


def built(name: str, **changes) -> bk.ComposedModel:
    return bk.build_model({"backbone": f"timm/{name}", "head": HEAD, "processing": ASPECT, **changes})


@pytest.mark.parametrize(
    ("name", "divisor"),
    [
        ("resnet10t", 1),
        ("dla34", 32),
        ("test_vit", 1),
        ("hrnet_w18_small", 32),
        ("csatv2", 64),
        ("sehalonet33ts", 256),
        ("vitamin_small_224", 16),
        ("naflexvit_base_patch16_gap", 16),
    ],
)
def test_a_multiple_is_set_and_the_images_then_fit(name, divisor):
    model = built(name)
    processing = model.processor.processing
    assert processing.size_divisor == divisor
    assert any("processing.size_divisor" in note for note in model.weight_report.notes) == (divisor > 1)
    assert model.recipe.processing["size_divisor"] == divisor
    assert model.predict([Image.new("RGB", (190, 130))])[0] is not None


def test_a_divisor_of_the_recipe_becomes_one_that_suits_both():
    assert built("dla34", processing={**ASPECT, "size_divisor": 24}).processor.processing.size_divisor == 96
    assert built("dla34", processing={**ASPECT, "size_divisor": 64}).processor.processing.size_divisor == 64


@pytest.mark.parametrize("name", ["mvitv2_tiny", "beit_base_patch16_224", "lambda_resnet26rpt_256"])
def test_a_backbone_of_one_size_gets_it(name):
    model = built(name)
    side = 256 if name.endswith("256") else 224
    assert (model.processor.processing.size, model.processor.processing.shortest_edge) == ((side, side), None)
    assert any(f"processing.size=[{side}, {side}], since" in note for note in model.weight_report.notes)


def test_where_no_other_size_is_found_it_is_the_architectures_own(monkeypatch):
    monkeypatch.setattr("backbonekit.backbones.timm.blueprint.size_multiple", lambda *_: 0)
    monkeypatch.setattr("backbonekit.backbones.timm.blueprint._multiples", {})
    assert built("resnet10t").processor.processing.size == (176, 176)


def test_a_size_that_the_recipe_fixes_is_not_changed_but_refused():
    with pytest.raises(ContractError, match=r"takes images of 224 x 224 only.*320 x 320.*processing.size=\[224, 224\]"):
        built("mvitv2_tiny", processing={"size": [320, 320]})
    with pytest.raises(ContractError, match=r"multiples of 32 only. The fix: processing.canvas=\[128, 160\]"):
        built("dla34", processing={"canvas": [100, 160], "size": [90, 150]})


@pytest.mark.parametrize("name", ["dla34", "mvitv2_tiny"])
def test_adapt_never_refuses_with_the_fix(name):
    with pytest.raises(ContractError, match=r"The fix: processing.size"):
        built(name, adapt="never")


def test_an_image_that_was_not_prepared_is_refused_with_the_fix():
    model = built("dla34")
    with pytest.raises(ContractError, match=r"dla34 does not take images of 130 x 190: .*The fix: processing.size="):
        model(torch.zeros(1, 3, 130, 190))


def test_the_size_that_is_tried_is_the_one_that_predict_makes():
    model = built("dla34")
    values, _ = sample_input(model)
    prepared = model.processor([Image.new("RGB", PHOTOGRAPH[::-1])])["pixel_values"]
    assert values.shape == prepared.shape == (1, 3, 128, 160)


@pytest.mark.parametrize("original", [(4, 2_000), (2_000, 4), (100, 20_000), (3, 30_000)])
@pytest.mark.parametrize("name", model_names())
def test_strips_are_bounded_in_every_recipe(name, original):
    """By its own processing; what a recipe leaves to the backbone ends in a crop or a fixed size."""
    given = compose_recipe(name).processing
    processing = Processing(**{key: tuple(value) if isinstance(value, list) else value for key, value in given.items()})
    if not given or processing.crop is not None:
        pytest.skip("its size is the backbone's, or that of a crop")
    height, width = predicted_size(original, processing)
    assert height * width <= 4 * 1_333 * 1_333


def test_a_strip_that_would_grow_beyond_memory_is_one_bad_file_of_its_folder(tmp_path, capsys):
    Image.new("RGB", (20_000, 4)).save(tmp_path / "strip.png")
    Image.new("RGB", (64, 48)).save(tmp_path / "good.png")
    words = ["backbone=timm/resnet10t", "head=fcn", "head.num_classes=2", "processing={shortest_edge: 520}"]
    words += [f"image={tmp_path}", f"results={tmp_path / 'results.json'}"]
    assert run_verb("predict", words) == 1
    shown = capsys.readouterr()
    assert "good.png" in shown.out
    assert "processing.longest_edge" in shown.err
    assert (tmp_path / "results.json").is_file()


def test_shrinking_a_lot_is_noted(tmp_path, capsys):
    Image.new("RGB", (640, 480)).save(tmp_path / "large.png")
    words = ["backbone=timm/resnet10t", "head=fcn", "head.num_classes=2", f"image={tmp_path / 'large.png'}"]
    assert run_verb("predict", [*words, "processing={shortest_edge: 48}"]) == 0
    assert "large.png: made 10.0 times smaller" in capsys.readouterr().err
    assert run_verb("predict", [*words, "processing={shortest_edge: 240}"]) == 0
    assert "smaller" not in capsys.readouterr().err


def test_an_image_as_large_as_it_is_is_not_bounded():
    assert resized_size((9_000, 9_000), Processing()) == (9_000, 9_000)


# Of a few hundred million parameters; two blocks show the same rule.
SHALLOW = {name: {"depth": 2} for name in ("deepseek_vit_412m", "gemma4_vit_167m", "qwen3_vit_306m")}


@pytest.mark.slow
@pytest.mark.parametrize("module", sorted(set(MODULES.values())))
def test_every_module_takes_real_images_of_four_sizes(module):
    """Through the processing of DETR at an eighth of its size: as it is built, or with what was changed for it. Real
    tensors, since an index beyond a table shows with values alone. 98 modules take four minutes on one core."""
    name = QUICK.get(module) or min(timm.list_models(module=module))
    backbone = {"source": "timm", "name": name, "args": SHALLOW.get(name, {})}
    model = bk.build_model({"backbone": backbone, "processing": {"shortest_edge": 100, "longest_edge": 167}})
    for size in SIZES:
        with torch.inference_mode():
            maps = model(torch.randn(1, 3, *predicted_size(size, model.processor.processing))).feature_maps
        assert all(torch.isfinite(each).all() for each in maps)
