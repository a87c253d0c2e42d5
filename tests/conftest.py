"""What every test runs under: no network, one thread a worker, the values in the message of every failing assert."""

import os
import sys

import pytest

# Read by huggingface_hub when it is imported, so before any test module.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tables fit the terminal, and the width of the one that the tests are started from must change none of them.
os.environ.pop("COLUMNS", None)

# pytest rewrites the asserts of the test files alone; most asserts are in the testers and helpers that these import.
pytest.register_assert_rewrite("tests")


@pytest.fixture(autouse=True)
def _undisturbed_random_state(request):
    """No test may depend on what another drew."""
    if "torch" in sys.modules:
        import torch

        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _undisturbed_grad_mode():
    """No test may leave torch without gradients: the next that trains in this process would fail in its place."""
    yield
    if "torch" in sys.modules:
        import torch

        was_enabled = torch.is_grad_enabled()
        torch.set_grad_enabled(True)
        assert was_enabled, "this test left gradients off"
