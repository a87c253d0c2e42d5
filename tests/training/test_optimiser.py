"""Optimisers, schedules and the moving average, by hand."""

import math

import pytest
import torch
from timm.models.swin_transformer import SwinTransformerBlock
from torch import nn

from backbonekit.recipe.experiment_settings import Optimisation
from backbonekit.training.moving_average import averaged_copy, decay_at, update_average
from backbonekit.training.optimiser import make_optimiser
from backbonekit.training.schedule import make_schedule, rate_factor
from backbonekit.training.sharding import repeated_blocks
from tests.training.models import BACKBONES, WithHead


@pytest.mark.parametrize(
    ("settings", "kind", "options"),
    [
        (Optimisation(), "AdamW", {"betas": (0.9, 0.999)}),
        (Optimisation(optimiser="adam", betas=(0.8, 0.99)), "Adam", {"betas": (0.8, 0.99)}),
        (Optimisation(optimiser="sgd"), "SGD", {"momentum": 0.9}),
        (Optimisation(optimiser="sgd", momentum=0.5), "SGD", {"momentum": 0.5}),
        (Optimisation(optimiser="lion"), "Lion", {"betas": (0.9, 0.99)}),
    ],
)
def test_optimisers_by_name(settings, kind, options):
    optimiser = make_optimiser(WithHead(BACKBONES["timm_vit"]()), settings)
    assert type(optimiser).__name__ == kind
    for group in optimiser.param_groups:
        assert {name: group[name] for name in options} == options


@pytest.mark.parametrize("name", ["adamw", "adam", "sgd"])
def test_a_fused_step_is_that_of_the_others(name):
    moved = []
    for fused in (False, True):
        model = WithHead(BACKBONES["timm_vit"]())
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        optimiser = make_optimiser(model, Optimisation(optimiser=name, lr=0.1), fused=fused)
        assert {bool(group["fused"]) for group in optimiser.param_groups} == {fused}
        for _ in range(3):
            for parameter in model.parameters():
                parameter.grad = torch.randn(parameter.shape, generator=generator)
            optimiser.step()
        moved.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*moved, rtol=1e-5, atol=1e-6)


def test_the_groups_are_those_of_the_settings():
    settings = Optimisation(
        lr=2.0, weight_decay=0.3, backbone_scale=0.1, layer_decay=0.5, no_decay=("head.*", "neck.*")
    )
    optimiser = make_optimiser(WithHead(BACKBONES["timm_vit"]()), settings)
    by_name = {group["name"]: group for group in optimiser.param_groups}
    assert by_name["rest, no decay"]["lr"] == 2.0
    assert "rest" not in by_name
    assert min(group["lr"] for group in optimiser.param_groups) == pytest.approx(0.2 * 0.5**5)
    assert {group["weight_decay"] for group in optimiser.param_groups} == {0.0, 0.3}


def factors(settings, steps, **options):
    return [rate_factor(step, settings, total_steps=10, steps_per_epoch=2, **options) for step in steps]


def test_schedules_by_hand():
    assert factors(Optimisation(schedule="constant"), (0, 9)) == [1, 1]
    cosine = Optimisation(final_factor=0.2)
    assert factors(cosine, (0, 5, 10)) == pytest.approx([1, 0.2 + 0.8 * 0.5, 0.2])
    assert factors(Optimisation(), (2,)) == pytest.approx([(1 + math.cos(math.pi * 0.2)) / 2])
    poly = Optimisation(schedule="poly", power=2.0)
    assert factors(poly, (0, 5, 10)) == pytest.approx([1, 0.25, 0])
    step = Optimisation(schedule="step", milestones=(2, 3))
    assert factors(step, (3, 4, 5, 6, 9)) == pytest.approx([1, 0.1, 0.1, 0.01, 0.01])
    assert factors(Optimisation(schedule="step", milestones=(2,), step_factor=0.5), (4,)) == [0.5]


def test_the_warm_up_is_a_line_after_which_the_schedule_starts():
    settings = Optimisation(warmup_steps=4, warmup_factor=0.2)
    assert factors(settings, (0, 1, 2, 3, 4)) == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert factors(settings, (7, 10)) == pytest.approx([0.5, 0])


def test_the_schedule_multiplies_the_rate_of_every_group():
    settings = Optimisation(lr=1.0, backbone_scale=0.5, warmup_steps=2, warmup_factor=0.5, schedule="constant")
    optimiser = make_optimiser(WithHead(BACKBONES["timm_vit"]()), settings)
    schedule = make_schedule(optimiser, settings, total_steps=10, steps_per_epoch=2)
    assert {group["lr"] for group in optimiser.param_groups} == {0.5, 0.25}
    for _ in range(2):
        optimiser.step()
        schedule.step()
    assert {group["lr"] for group in optimiser.param_groups} == {1.0, 0.5}


def test_the_average_follows_weights_and_statistics():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)).train()
    average = averaged_copy(model)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    before = model[0].weight.detach().clone()
    with torch.no_grad():
        model[0].weight.add_(1.0)
        model[1].running_mean.add_(4.0)
        model[1].num_batches_tracked.add_(7)
    update_average(average, model, 0.75)
    torch.testing.assert_close(average[0].weight, before + 0.25)
    torch.testing.assert_close(average[1].running_mean, torch.ones(2))
    assert average[1].num_batches_tracked == 7
    average.train()
    assert not average[1].training  # measured as it is, whatever is trained around it
    assert model[1].training


def test_the_decay_rises():
    assert decay_at(1, 0.9, None) == 0.9
    assert decay_at(10, 0.9, 10) == pytest.approx(0.9 * (1 - math.exp(-1)))


def test_repeated_blocks_are_found_once_and_never_inside_one_another():
    model = WithHead(BACKBONES["hf_swin"]())
    blocks = repeated_blocks(model, least=1)
    # The two blocks of the only stage that has two, and the stages that have one.
    assert [isinstance(block, SwinTransformerBlock) for block in blocks].count(True) == 2
    inside = [id(module) for block in blocks for module in block.modules()]
    assert len(inside) == len(set(inside))
    assert repeated_blocks(model, least=10**9) == []
