"""Inputs that once failed, each tried again."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.security.fuzz_actions import action_of
from tests.security.fuzzing import ours_alone

SEEDS: list[dict[str, Any]] = json.loads(Path(__file__).with_name("fuzz_seeds.json").read_text())


@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"{seed['kind']}: {seed['failed_with'][:40]}")
def test_an_input_that_once_failed(seed: dict[str, Any]):
    ours_alone(lambda: action_of(seed["kind"])(seed["given"]))
