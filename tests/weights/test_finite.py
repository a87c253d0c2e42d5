"""A checkpoint of a training that ran away is taken, and told."""

import pytest
import torch
from torch import nn

from backbonekit.weights.checkpoint import checkpoint_of
from backbonekit.weights.fill import fill
from backbonekit.weights.finite import not_finite, not_finite_note

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


def test_the_report_and_its_sentence_name_them():
    module = nn.BatchNorm2d(2)
    given = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    given["running_var"][1] = float("inf")
    report = fill(module, checkpoint_of(given, origin="owner/name@01234567"))
    assert report.not_finite == ["running_var"]
    note = not_finite_note(report.origin, report.not_finite)
    assert note == "1 tensor holds NaN or infinity in owner/name@01234567: running_var"
    assert not_finite_note("x", list("abcdefg")) == "7 tensors hold NaN or infinity in x: a, b, c, d, e, ..."
