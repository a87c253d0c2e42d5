"""Backbones of every family in float16 and bfloat16: finite, also where transformers' are not, and near to float32."""

from pathlib import Path

import pytest
import torch

from tests.parity.hiera_order import hiera_as_in_its_whole_model
from tests.parity.test_hf_backbones import every_index, fitting, load, oracle
from tests.parity.test_hf_bfloat16 import KEYS, error, maps_of

pytestmark = pytest.mark.parity

# Relative to the map. Measured: at most 0.006 and 0.048, of `bit`, whose weights are normalised in the low precision;
# of the other families at most 0.002 and 0.019.
ALLOWED = {torch.float16: 0.012, torch.bfloat16: 0.1}


@pytest.mark.parametrize("model_type", KEYS)
def test_every_family_is_finite_and_near_to_float32(model_type: str, tmp_path: Path) -> None:
    with hiera_as_in_its_whole_model():
        theirs = oracle(KEYS[model_type])
    theirs.save_pretrained(tmp_path)
    model, _, _ = load(tmp_path, every_index(theirs.config))
    pixel_values = torch.randn(2, 3, *fitting(theirs.config, 131, 87))
    expected = maps_of(model, pixel_values)
    for dtype, allowed in ALLOWED.items():
        with torch.autocast("cpu", dtype):
            cast = maps_of(model, pixel_values)
        half, _, _ = load(tmp_path, every_index(theirs.config))
        for given in (cast, maps_of(half.to(dtype), pixel_values.to(dtype))):
            assert all(each.isfinite().all() for each in given)
            assert max(error(given, expected)) < allowed
