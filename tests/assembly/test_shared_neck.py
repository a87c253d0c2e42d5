"""Several heads behind one neck: it runs once, returns what all of them require, and comes back from a saved folder."""

import pytest
import torch

import backbonekit as bk
from backbonekit.assembly.describe import describe
from backbonekit.errors import ContractError
from tests.fixed_weights import randomise_weights

HEADS = {
    "boxes": {"head": {"name": "fcos", "num_classes": 3}},
    "pixels": {"head": {"name": "semantic_fpn", "num_classes": 4, "channels": 8}},
}
FPN = {"name": "fpn", "channels": 16}
RECIPE = {"backbone": "timm/resnet10t", "neck": FPN, "heads": HEADS}


def test_the_neck_runs_once_and_both_heads_read_it():
    model = randomise_weights(bk.build_model(RECIPE)).eval()
    calls = []
    model.shared_neck[0].register_forward_hook(lambda *_: calls.append(1))
    values = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    predictions = model(values).predictions
    assert set(predictions) == {"boxes", "pixels"}
    assert len(calls) == 1
    # Strides 4 to 128: those of both heads, the coarsest made by the neck.
    assert model.shared_neck[0].features.strides == (4, 8, 16, 32, 64, 128)
    assert any("neck fpn: num_extra_levels=2" in note for note in model.weight_report.notes)
    assert {name.split(".")[0] for name in model.state_dict()} == {"backbone", "shared_neck", "head"}


def test_it_computes_what_a_neck_of_each_task_would():
    shared = randomise_weights(bk.build_model(RECIPE)).eval()
    heads = {"pixels": {"neck": FPN, **HEADS["pixels"]}}
    alone = bk.build_model({"backbone": "timm/resnet10t", "heads": heads}).eval()
    state = shared.state_dict()
    for name in alone.state_dict():
        source = name.replace("neck.pixels.", "shared_neck.")
        alone.state_dict()[name].copy_(state[source])
    values = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours, theirs = shared(values).predictions["pixels"], alone(values).predictions["pixels"]
    assert torch.equal(ours.logits, theirs.logits)


def test_it_trains_without_unused_parameters():
    model = bk.build_model(RECIPE).train()
    targets = [
        {
            "boxes": torch.tensor([[4.0, 4, 40, 50]]),
            "labels": torch.tensor([1]),
            "segmentation": torch.zeros(64, 96, dtype=torch.long),
        }
    ] * 2
    model(torch.randn(2, 3, 64, 96), targets=targets).loss.backward()
    unused = [name for name, each in model.named_parameters() if each.requires_grad and each.grad is None]
    assert unused == []


def test_it_comes_back_from_a_saved_folder_and_keeps_its_weights_under_another_head(tmp_path):
    model = randomise_weights(bk.build_model(RECIPE))
    saved = model.save_pretrained(tmp_path / "m")
    opened = bk.load_model(saved)
    assert opened.recipe == model.recipe
    assert opened.recipe.shared_neck[0].options["num_extra_levels"] == 2
    assert all(torch.equal(value, opened.state_dict()[name]) for name, value in model.state_dict().items())
    changed = bk.load_model(saved, ["heads.boxes.head.num_classes=9"])
    for name, value in model.shared_neck.state_dict().items():
        assert torch.equal(changed.shared_neck.state_dict()[name], value)


def test_a_task_may_have_a_neck_of_its_own_behind_it():
    heads = {**HEADS, "pixels": {**HEADS["pixels"], "neck": {"name": "channel_mapper", "channels": 8}}}
    model = bk.build_model({**RECIPE, "heads": heads})
    description, _ = describe(model, torch.randn(1, 3, 64, 96))
    assert [part.path for part in description.parts] == [
        "backbone",
        "shared_neck.0",
        "head.boxes",
        "neck.pixels.0",
        "head.pixels",
    ]
    assert [row.stride for row in description.parts[1].receives] == [4, 8, 16, 32]


def test_a_plain_backbone_gets_one_pyramid_for_all():
    model = bk.build_model({**RECIPE, "backbone": "timm/test_vit"})
    assert [part.name for part in model.recipe.shared_neck] == ["simple_feature_pyramid", "fpn"]


def test_an_override_gives_several_heads_a_neck_and_takes_it_away():
    alone = {"pixels": {"head": {"name": "fcn", "num_classes": 4, "channels": 8}}}
    without = {"backbone": "timm/resnet10t", "heads": alone}
    assert [part.name for part in bk.build_model(without, ["neck=pafpn"]).recipe.shared_neck] == ["pafpn"]
    assert bk.build_model({**without, "neck": FPN}, ["neck=null"]).recipe.shared_neck == ()


def test_what_a_head_lacks_names_the_shared_neck():
    heads = {"masks": {"head": {"name": "maskformer", "num_classes": 3}}}
    with pytest.raises(ContractError, match="requires mask_features, which neck fpn does not return"):
        bk.build_model({**RECIPE, "heads": heads})
