"""Filling is strict, reports all faults at once, and does not change the module when it raises."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from backbonekit.errors import WeightsError
from backbonekit.weights.checkpoint import checkpoint_of, open_checkpoint
from backbonekit.weights.construct import without_weights
from backbonekit.weights.fill import fill, not_finite, not_finite_note
from backbonekit.weights.key_map import KeyMap, Rename


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 4, 1)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("computed", torch.arange(3), persistent=False)


def weights() -> dict[str, torch.Tensor]:
    return {name: torch.rand_like(tensor.float()).to(tensor.dtype) for name, tensor in Small().state_dict().items()}


def test_every_parameter_and_buffer_is_the_checkpoints_own():
    module, given = Small(), weights()
    report = fill(module, checkpoint_of(given, origin="memory"))
    for name, tensor in module.state_dict(keep_vars=True).items():
        assert tensor.data_ptr() == given[name].data_ptr(), name
    assert report.origin == "memory"
    assert sorted(report.loaded) == sorted(given)
    assert (report.missing, report.surplus, report.adapted) == ([], [], [])
    assert report.loaded_parameters == report.total_parameters == 3 * 4 + 4 + 4 + 4
    assert all(parameter.requires_grad for parameter in module.parameters())


def test_all_faults_are_reported_at_once_and_nothing_changes():
    module = Small()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given = weights()
    del given["norm.weight"], given["convolution.bias"]
    given["norm.weights"] = torch.zeros(4)
    given["convolution.weight"] = torch.zeros(5, 3, 1, 1)
    given["norm.running_mean"] = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(WeightsError) as caught:
        fill(module, checkpoint_of(given, origin="owner/name@01234567"))
    message = str(caught.value)
    assert "owner/name@01234567 does not fit Small" in message
    assert "2 missing: convolution.bias, norm.weight" in message
    assert "1 in surplus: norm.weights" in message
    assert "convolution.weight is [5, 3, 1, 1], expected [4, 3, 1, 1]" in message
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_near_name_is_offered():
    given = weights()
    given["norm.weights"] = given.pop("norm.weight")
    with pytest.raises(WeightsError, match=r"For 'norm.weight': did you mean 'norm.weights'\?"):
        fill(Small(), checkpoint_of(given, origin="memory"))


def test_long_lists_are_cut():
    module = nn.ModuleList([nn.Linear(2, 2) for _ in range(20)])
    with pytest.raises(WeightsError, match=r"40 missing: 0.weight, .*4.bias, ... \(40 in all\)"):
        fill(module, checkpoint_of({}, origin="memory"))
    surplus = {f"x{number}": torch.zeros(1) for number in range(30)}
    with pytest.raises(WeightsError, match=r"30 in surplus: x0, .*x9, ... \(30 in all\)"):
        fill(nn.Identity(), checkpoint_of(surplus, origin="memory"))


def test_another_type_is_reported():
    given = weights()
    given["norm.running_mean"] = torch.zeros(4, dtype=torch.int64)
    with pytest.raises(WeightsError, match=r"1 of another type: norm.running_mean: int64 for float32"):
        fill(Small(), checkpoint_of(given, origin="memory"))


def test_a_floating_type_becomes_the_modules():
    given = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in weights().items()}
    module = Small()
    fill(module, checkpoint_of(given, origin="memory"))
    assert module.convolution.weight.dtype is torch.float32
    assert torch.equal(module.convolution.weight, given["convolution.weight"].float())


def test_patterns_allow_missing_and_surplus():
    given = weights()
    del given["norm.weight"]
    given["head.weight"] = torch.zeros(1)
    module = Small()
    report = fill(module, checkpoint_of(given, origin="memory"), may_miss=("norm.*",), may_exceed=("head.*",))
    assert (report.missing, report.surplus) == (["norm.weight"], ["head.weight"])
    assert torch.equal(module.norm.weight, torch.ones(4))
    assert report.loaded_parameters == report.total_parameters - 4


def test_the_counter_of_batch_norm_may_be_missing():
    given = weights()
    del given["norm.num_batches_tracked"]
    assert fill(Small(), checkpoint_of(given, origin="memory")).missing == []


def test_adapting():
    given = weights()
    given["convolution.weight"] = torch.rand(4, 1, 1, 1)

    def adapt(key: str, tensor: torch.Tensor, shape: tuple[int, ...]) -> tuple[torch.Tensor, str] | None:
        return (tensor.expand(shape) / 3, "one channel repeated") if key == "convolution.weight" else None

    module = Small()
    report = fill(module, checkpoint_of(given, origin="memory"), adapt=adapt)
    assert report.adapted == [("convolution.weight", "one channel repeated")]
    assert torch.equal(module.convolution.weight, given["convolution.weight"].expand(4, 3, 1, 1) / 3)
    given["norm.weight"] = torch.zeros(5)
    with pytest.raises(WeightsError, match=r"norm.weight is \[5\], expected \[4\]"):
        fill(module, checkpoint_of(given, origin="memory"), adapt=adapt)
    given = {**weights(), "convolution.weight": torch.rand(4, 1, 1, 1)}
    with pytest.raises(WeightsError, match="1 of another shape"):
        fill(module, checkpoint_of(given, origin="memory"), adapt=lambda key, tensor, shape: (tensor, "wrongly"))


def test_messages_name_the_checkpoint_s_own_tensors():
    table = KeyMap([Rename("conv", "convolution")])
    given = {"conv.weight": torch.zeros(1, 1, 1, 1), "conv.extra": torch.zeros(1)}
    with pytest.raises(WeightsError, match=r"convolution.extra \(stored as conv.extra\)") as caught:
        fill(Small(), table.translate(checkpoint_of(given, origin="memory")))
    assert "convolution.weight (stored as conv.weight) is [1, 1, 1, 1]" in str(caught.value)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 4)
        self.decode = nn.Linear(4, 5, bias=False)
        self.decode.weight = self.table.weight


@pytest.mark.parametrize("names", [("table.weight",), ("decode.weight",), ("table.weight", "decode.weight")])
def test_tied_parameters(names: tuple[str, ...]):
    module, value = Tied(), torch.rand(5, 4)
    report = fill(module, checkpoint_of(dict.fromkeys(names, value), origin="memory"))
    assert module.decode.weight is module.table.weight
    assert torch.equal(module.table.weight, value)
    assert report.loaded_parameters == report.total_parameters == 20
    assert report.missing == []


def test_frozen_parameters_stay_frozen():
    module = Small()
    module.convolution.weight.requires_grad_(False)
    fill(module, checkpoint_of(weights(), origin="memory"))
    assert not module.convolution.weight.requires_grad
    assert module.norm.weight.requires_grad


def test_two_modules_from_one_checkpoint_train_apart(tmp_path: Path):
    save_file(weights(), tmp_path / "model.safetensors")
    checkpoint = open_checkpoint(tmp_path)
    first, second = Small(), Small()
    fill(first, checkpoint)
    fill(second, checkpoint)
    with torch.no_grad():
        first.convolution.weight.add_(1)
    assert not torch.equal(first.convolution.weight, second.convolution.weight)


def test_a_bfloat16_module_takes_float32_weights():
    with without_weights():
        module = Small().to(torch.bfloat16)
    fill(module, checkpoint_of(weights(), origin="memory"))
    assert module.convolution.weight.dtype is torch.bfloat16


MEASURE = """
import resource, sys
from pathlib import Path
import torch
from torch import nn
from backbonekit.weights.checkpoint import open_checkpoint
from backbonekit.weights.construct import finish, without_weights
from backbonekit.weights.fill import fill

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

before = peak()
with without_weights():
    module = nn.Sequential(*[nn.Linear(2048, 2048, bias=False) for _ in range(16)])
fill(module, open_checkpoint(Path(sys.argv[1])))
finish(module)
total = sum(parameter.sum().item() for parameter in module.parameters())
assert total == 16 * 2048 * 2048, total
print((peak() - before) / (16 * 2048 * 2048 * 4))
"""


def test_peak_memory_stays_close_to_the_size_of_the_weights(tmp_path: Path):
    tensors = {f"{number}.weight": torch.ones(2048, 2048) for number in range(16)}
    save_file(tensors, tmp_path / "model.safetensors")
    del tensors
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, timeout=120, check=True
    )
    assert float(done.stdout) < 1.2


NONE = float("nan"), float("inf"), float("-inf")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("number", NONE)
def test_one_bad_number_is_found(number: float, dtype: torch.dtype):
    bad = torch.zeros(3, 1000, dtype=dtype)
    bad[1, 977] = number
    both = torch.tensor([float("inf"), float("-inf")], dtype=dtype)
    tensors = {"good": torch.ones(4, dtype=dtype), "bad": bad, "both": both, "empty": torch.ones(0, dtype=dtype)}
    assert not_finite(tensors) == ["bad", "both"]


def test_a_sum_that_leaves_the_range_is_no_bad_number():
    assert not_finite({"a": torch.full((4,), 3e38), "b": torch.full((4,), 6e4, dtype=torch.float16)}) == []


def test_integers_flags_and_tensors_without_storage_are_passed_over():
    tensors = {"counter": torch.ones(1, dtype=torch.int64), "flag": torch.ones(1, dtype=torch.bool)}
    assert not_finite({**tensors, "meta": torch.empty(3, device="meta")}) == []


def test_the_report_and_its_message_name_them():
    module = nn.BatchNorm2d(2)
    given = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given["running_var"][1] = float("inf")
    report = fill(module, checkpoint_of(given, origin="owner/name@01234567"))
    assert report.not_finite == ["running_var"]
    note = not_finite_note(report.origin, report.not_finite)
    assert note == "1 tensor holds NaN or infinity in owner/name@01234567: running_var"
    assert not_finite_note("x", list("abcdefg")) == "7 tensors hold NaN or infinity in x: a, b, c, d, e, ..."
