"""Construction from a seed, and without memory for weights: the results must be those of an ordinary construction."""

import random
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy
import pytest
import timm
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import checkpoint_of
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import fill
from backbonekit.weights.private_random import seeded

# One of each way to keep computed buffers: none, attention masks and index tables, rotary positions, biases.
ARCHITECTURES = {
    "resnet18": ({}, 64),
    "swin_tiny_patch4_window7_224": ({"depths": (2, 2), "num_heads": (3, 6), "embed_dim": 24}, 224),
    "swinv2_tiny_window8_256": ({"depths": (2, 2), "num_heads": (3, 6), "embed_dim": 24}, 256),
    "convnext_atto": ({}, 64),
    "vit_tiny_patch16_224": ({"depth": 2}, 224),
    "vit_small_patch14_reg4_dinov2": ({"img_size": 98, "depth": 2}, 98),
    "eva02_tiny_patch14_224": ({"depth": 2}, 224),
    "beit_base_patch16_224": ({"depth": 2, "embed_dim": 48, "num_heads": 3}, 224),
    "levit_128s": ({}, 224),
    "efficientnet_lite0": ({}, 64),
    "tiny_vit_5m_224": ({}, 224),
}


def create(name: str) -> nn.Module:
    arguments, _ = ARCHITECTURES[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's own
        return timm.create_model(name, pretrained=False, num_classes=3, **arguments).eval()


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_filled_module_is_that_of_an_ordinary_construction(name: str):
    with seeded(1):
        ordinary = create(name)
    state = {key: tensor.clone() for key, tensor in ordinary.state_dict().items()}
    with seeded(2), without_weights():
        empty = create(name)
    assert any(parameter.is_meta for parameter in empty.parameters())
    report = fill(empty, checkpoint_of(state, origin="memory"))
    finish(empty)
    assert report.loaded_parameters == report.total_parameters == sum(p.numel() for p in ordinary.parameters())
    expected = dict(ordinary.named_buffers())
    found = dict(empty.named_buffers())
    assert expected.keys() == found.keys()
    for key, buffer in expected.items():
        assert torch.equal(buffer, found[key]), key
        assert buffer.dtype == found[key].dtype, key
    size = ARCHITECTURES[name][1]
    image = torch.linspace(-1, 1, 3 * size * size).reshape(1, 3, size, size)
    with torch.no_grad():
        assert torch.equal(ordinary(image), empty(image))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_one_seed_has_the_same_weights_and_keeps_the_global_state(name: str):
    before = torch.get_rng_state(), random.getstate(), numpy.random.get_state()[1].copy()
    with seeded(7):
        first = create(name)
    with seeded(7):
        second = create(name)
    with seeded(8):
        other = create(name)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]
    assert (numpy.random.get_state()[1] == before[2]).all()
    pairs = list(zip(first.parameters(), second.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert any(not torch.equal(a, c) for a, _, c in pairs)


def test_the_numbers_are_those_of_manual_seed():
    with torch.random.fork_rng():
        torch.manual_seed(3)
        expected = create("vit_tiny_patch16_224")
    with seeded(3):
        found = create("vit_tiny_patch16_224")
    assert all(torch.equal(a, b) for a, b in zip(expected.parameters(), found.parameters(), strict=True))


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.randn(4, 4),
        lambda: torch.rand(5),
        lambda: torch.randn_like(torch.zeros(3)),
        lambda: torch.rand_like(torch.zeros(3)),
        lambda: torch.randint(0, 100, (6,)),
        lambda: torch.randint(100, (6,)),
        lambda: torch.randint_like(torch.zeros(6), 100),
        lambda: torch.randperm(9),
        lambda: torch.bernoulli(torch.full((9,), 0.5)),
        lambda: torch.empty(9).bernoulli_(0.5),
        lambda: torch.normal(0.0, 1.0, (3,)),
        lambda: torch.normal(torch.zeros(3), torch.ones(3)),
        lambda: torch.multinomial(torch.ones(9), 3),
        lambda: nn.init.trunc_normal_(torch.empty(3, 4)),
        lambda: nn.init.orthogonal_(torch.empty(3, 4)),
        lambda: nn.functional.dropout(torch.ones(20), 0.5),
        lambda: nn.functional.feature_alpha_dropout(torch.ones(20, 2, 2), 0.5, training=True),
        lambda: nn.functional.gumbel_softmax(torch.ones(5)),
        lambda: nn.functional.scaled_dot_product_attention(*torch.ones(3, 1, 9, 4), dropout_p=0.5),
        lambda: nn.LSTM(2, 3, num_layers=2, dropout=0.5)(torch.ones(4, 2))[0].detach(),
        lambda: nn.MultiheadAttention(4, 1, dropout=0.5)(*torch.ones(3, 5, 4))[0].detach(),
        lambda: torch.distributions.Gamma(1.0, 1.0).sample((3,)),
        lambda: torch.poisson(torch.ones(5)),
        lambda: torch.tensor(numpy.random.rand(3)),
        lambda: torch.tensor([random.random()]),
    ],
)
def test_every_kind_of_random_operation_is_private(draw):
    before = torch.get_rng_state()
    with seeded(5):
        first, next_one = draw(), draw()
    with seeded(5):
        again = draw()
    assert torch.equal(first, again)
    assert not torch.equal(first, next_one)
    assert torch.equal(torch.get_rng_state(), before)


def test_nested_seeds_do_not_disturb_each_other():
    with seeded(1):
        first, second = torch.randn(3), torch.nn.functional.dropout(torch.ones(30), 0.5)
    with seeded(2):
        inner_alone = torch.randn_like(torch.zeros(3)), torch.nn.functional.dropout(torch.ones(30), 0.5)
    with seeded(1):
        outer_first = torch.randn(3)
        with seeded(2):
            inner = torch.randn_like(torch.zeros(3)), torch.nn.functional.dropout(torch.ones(30), 0.5)
        outer_second = torch.nn.functional.dropout(torch.ones(30), 0.5)
    assert torch.equal(outer_first, first)
    assert torch.equal(outer_second, second)
    assert all(torch.equal(a, b) for a, b in zip(inner, inner_alone, strict=True))


def test_the_state_is_set_back_after_an_error():
    before = torch.get_rng_state(), random.getstate()

    def fail() -> None:
        with seeded(1):
            torch.randn(2)
            random.random()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


def test_threads_that_draw_at_once_each_get_their_own_numbers():
    def construct(seed: int) -> dict[str, torch.Tensor]:
        with seeded(seed):
            return create("resnet18").state_dict()

    def construct_vectors(seed: int) -> torch.Tensor:
        with without_weights(seed):
            module = RandomVector()
        return module.vector.detach()

    before = torch.get_rng_state(), random.getstate()
    seeds = list(range(6))
    alone = [construct(seed) for seed in seeds], [construct_vectors(seed) for seed in seeds]
    with ThreadPoolExecutor(6) as pool:
        states, vectors = pool.map(construct, seeds), pool.map(construct_vectors, seeds)
        together = list(states), list(vectors)
    for first, second in zip(alone[0], together[0], strict=True):
        assert all(torch.equal(first[name], second[name]) for name in first)
    assert all(map(torch.equal, alone[1], together[1]))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert random.getstate() == before[1]


class RandomVector(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(500, 500)
        self.vector = nn.Parameter(torch.randn(50))


def test_no_device_but_the_cpu_is_touched(monkeypatch: pytest.MonkeyPatch):
    """Not even a seed is stored for its first use, as torch.manual_seed does."""

    def touched(*arguments, **options):
        raise AssertionError("a device was touched")

    for module in (torch.cuda, torch.mps, torch.xpu):
        for name in ("manual_seed", "manual_seed_all", "get_rng_state", "set_rng_state"):
            if hasattr(module, name):
                monkeypatch.setattr(module, name, touched)
    with seeded(1):
        torch.randn(3)
    with torch.device("meta"), seeded(1):
        torch.randn(3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_default_device_is_seeded_and_set_back():
    before = torch.cuda.get_rng_state()
    drawn = []
    for _ in range(2):
        with torch.device("cuda"), seeded(5):
            drawn.append(torch.randn(4))
    assert drawn[0].is_cuda
    assert torch.equal(drawn[0], drawn[1])
    assert torch.equal(torch.cuda.get_rng_state(), before)


def test_every_bit_of_a_seed_counts():
    """The CPU's generator alone would take these three for one seed."""
    drawn = []
    for seed in (12345, 9 * 2**32 + 12345, -(2**32) + 12345):
        with seeded(seed):
            drawn.append(torch.randn(3))
    assert not torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[1], drawn[2])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.decode = nn.Linear(4, 5, bias=False)
        self.decode.weight = self.table.weight
        shared = nn.Parameter(torch.ones(2, 2))
        self.left, self.right = shared, shared


def test_tied_parameters_stay_tied():
    with without_weights():
        module = Tied()
    assert module.decode.weight is module.table.weight
    assert module.left is module.right
    assert module.left.is_meta
    weights = {"decode.weight": torch.randn(5, 4), "left": torch.zeros(2, 2)}
    fill(module, checkpoint_of(weights, origin="memory"))
    finish(module)
    assert module.decode.weight is module.table.weight
    assert module.left is module.right


def test_vectors_have_the_values_that_the_architecture_starts_them_with():
    with without_weights():
        module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.LayerNorm(4))
    assert module[0].weight.is_meta
    assert module[0].weight.requires_grad is not False
    assert torch.equal(module[1].weight, torch.ones(4))
    assert torch.equal(module[1].bias, torch.zeros(4))


class Rescaled(nn.Module):
    """Starts its weights as some of timm's architectures do: drawn until in range, then scaled in place."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(30, 40)
        self.linear.weight.data.fill_(7.0)
        nn.init.trunc_normal_(self.linear.weight, std=0.02)
        self.linear.weight.data.div_(3.0)
        self.linear.bias.data.fill_(0.5)
        self.register_buffer("table", torch.empty(3, 3).data.fill_(2.0))


def test_no_weight_is_written_that_a_checkpoint_brings():
    written: list[str] = []

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if func._schema.is_mutable and args[0].dim() == 2:
                written.append(f"{func} of {tuple(args[0].shape)}")
            return func(*args, **(kwargs or {}))

    with without_weights(), Watch():
        module = Rescaled()
    assert written == ["aten.fill_.Scalar of (3, 3)"]
    assert module.linear.weight.is_meta
    assert torch.equal(module.linear.bias, torch.full((40,), 0.5))
    assert torch.equal(module.table, torch.full((3, 3), 2.0))


def test_what_was_not_filled_is_named():
    with without_weights():
        module = nn.Linear(3, 4)
    with pytest.raises(WeightsError, match=r"nothing filled: weight\."):
        finish(module)


def test_modules_constructed_afterwards_are_ordinary():
    with without_weights():
        pass
    assert not nn.Linear(2, 2).weight.is_meta
