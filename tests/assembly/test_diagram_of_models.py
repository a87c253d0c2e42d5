"""The wiring of models as diagrams: every level, every inserted part, every note."""

import pytest
import torch

import backbonekit as bk
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.describe import describe, outline
from backbonekit.assembly.diagram import diagram_of
from backbonekit.assembly.inference import sample_input
from backbonekit.recipe.compose import model_names
from backbonekit.visualization.diagram_layout import layout
from tests.visualization.test_diagram import check_page

DINO = "{model_type: dinov2, hidden_size: 24, num_hidden_layers: 4, num_attention_heads: 2, image_size: 56}"
FAST = ("maskformer_digits", "fcos_digits", "features_swin_tiny", "multitask_dinov2_small", "faster_rcnn_resnet50_fpn")


@pytest.mark.parametrize(
    "name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in model_names(None) if name not in FAST)]
)
def test_shipped_recipes_are_readable(name):
    model = bk.build_model(name, device="meta")
    described = outline(model)
    diagram = diagram_of(described)
    check_page(layout(diagram))
    assert {box.title for box in diagram.boxes} >= {part.name for part in described.parts}
    carried = [arrow.lines[0] for arrow in diagram.arrows if arrow.lines and arrow.source == "backbone"]
    assert set(carried) == set(model.backbone.features.names)


def test_arrows_carry_level_stride_channels_and_shape():
    model = bk.build_model("maskformer_digits")
    description, output = describe(model, *sample_input(model))
    arrows = diagram_of(description).between("backbone", "neck.0")
    levels = model.backbone.features.levels
    assert [arrow.lines for arrow in arrows] == [
        (level.name, f"stride {level.stride}", f"{level.channels} channels", " x ".join(map(str, each.shape)))
        for level, each in zip(levels, output.feature_maps, strict=True)
    ]
    check_page(layout(diagram_of(description)))


def test_inserted_parts_and_the_notes_on_them_are_marked():
    model = bk.build_model("maskformer_dinov2_small", [f"backbone.config={DINO}"], device="meta")
    diagram = diagram_of(outline(model))
    (pyramid,) = [box for box in diagram.boxes if box.title == "simple_feature_pyramid"]
    assert pyramid.inserted
    assert [diagram.notes[number - 1].partition(":")[0] for number in pyramid.notes] == [
        "simple_feature_pyramid inserted"
    ]
    assert not any(box.inserted for box in diagram.boxes if box is not pyramid)
    grown = bk.build_model({}, ["backbone=timm/resnet18", "neck=fpn", "head=fcos", "head.num_classes=2"], device="meta")
    diagram = diagram_of(outline(grown))
    (neck,) = [box for box in diagram.boxes if box.title == "fpn"]
    assert "num_extra_levels=2" in diagram.notes[neck.notes[0] - 1]


def test_an_outline_is_the_description_without_a_run():
    model = bk.build_model("unet_digits")
    described, _ = describe(model, *sample_input(model))
    outlined = outline(model)
    assert [part.path for part in outlined.parts] == [part.path for part in described.parts]
    for one, other in zip(outlined.parts, described.parts, strict=True):
        assert one.after == other.after
        assert [(row.name, row.channels, row.stride) for row in one.receives] == [
            (row.name, row.channels, row.stride) for row in other.receives
        ]
    assert outlined.input_shape == ()
    assert outlined.parts[-1].prediction == "DenseLogits"


def test_notebooks_show_the_diagram():
    shown = bk.build_model("unet_digits")._repr_html_()
    assert shown.startswith("<svg")
    assert "unet" in shown


def test_a_printed_model_is_its_wiring():
    model = bk.build_model("unet_digits", seed=3)
    lines = repr(model).splitlines()
    assert lines[0] == "unet on resnet10t"
    assert lines[2].split() == ["part", "name", "in", "out", "channels", "stride", "params"]
    assert lines[4].split()[:2] == ["backbone", "resnet10t"]
    assert lines[9].split()[:2] == ["head", "unet"]
    assert "DenseLogits" in lines[9]
    assert lines[-1] == "weights: random, seed 3"
    assert "Conv2d" not in repr(model)
    assert "Conv2d" in repr(model.backbone)


def test_a_model_with_a_foreign_part_prints_as_torch_does():
    model = bk.build_model("unet_digits")
    model.backbone = torch.nn.Identity()
    assert "(backbone): Identity()" in repr(model)
    assert model._repr_html_() is None
    half = ComposedModel.__new__(ComposedModel)  # as a debugger sees it at the constructor's first line
    torch.nn.Module.__init__(half)
    assert repr(half) == "ComposedModel()"
