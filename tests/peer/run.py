"""Runs transformers' test classes on its own classes and on ours, and says which tests ours pass."""

import contextlib
import io
import re
import tempfile
import unittest
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import torch

import backbonekit
from backbonekit import hf_models
from tests.peer import source
from tests.peer.families import CONVOLUTIONAL, FAMILIES, settings

# Of the general mixin, what says something about any model: the rest is about text, or about parts of PreTrainedModel.
GENERAL = (
    "test_all_tensors_are_parameter_or_buffer",
    "test_batching_equivalence",
    "test_can_be_initialized_on_meta",
    "test_can_use_safetensors",
    "test_determinism",
    "test_from_pretrained_no_checkpoint",
    "test_gradient_checkpointing_enable_disable",
    "test_load_contiguous_weights",
    "test_model_main_input_name",
    "test_model_outputs_equivalence",
    "test_save_load",
    "test_torch_save_load",
)
PASSED, FAILED, SKIPPED = "passed", "failed", "not applicable"


@dataclass(frozen=True)
class Outcome:
    """`group`: the mixin or file. `subject`: a family, or a test class of a file. `message`: why it is not passed."""

    group: str
    subject: str
    test: str
    verdict: str
    message: str = ""


class Tester:
    """What the mixins require of a model's tester."""

    batch_size = 2

    def __init__(self, own: Any, config: str, fields: dict[str, Any], size: tuple[int, int]) -> None:
        self.own, self.config, self.fields, self.size = own, config, fields, size

    def get_config(self) -> Any:
        return getattr(self.own, self.config)(**self.fields)

    def prepare_config_and_inputs_for_common(self) -> tuple[Any, dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        return self.get_config(), {"pixel_values": torch.randn(self.batch_size, 3, *self.size)}


def by_mixins() -> Iterator[Outcome]:
    """Every mixin on every family."""
    import transformers

    backbone = source.module("test_backbone_common").BackboneTesterMixin
    with backbonekit_in_transformers():  # it names a class of transformers itself
        our_backbone = source.module_again("test_backbone_common").BackboneTesterMixin
    general = source.module("test_modeling_common").ModelTesterMixin
    config = source.module("test_configuration_common").ConfigTester
    tests = [name for name in vars(backbone) if name.startswith("test_")]
    steps = [name for name in vars(config) if name.startswith("create_and_test_")]
    for family in FAMILIES:
        for group, mixin, our_mixin, names in (
            ("backbone", backbone, our_backbone, tests),
            ("model", general, general, GENERAL),
        ):
            theirs, ours = _case(mixin, transformers, family), _case(our_mixin, backbonekit, family)
            for name in names:
                yield compared(group, family, name, theirs(name), ours(name))
        for name in steps:
            theirs, ours = (_config_case(config, own, family, name) for own in (transformers, backbonekit))
            yield compared("configuration", family, name, theirs("test_step"), ours("test_step"))


def _case(mixin: type, own: Any, family: str) -> type[unittest.TestCase]:
    config, backbone, fields, size = settings(family)
    parts = {
        "has_attentions": family not in CONVOLUTIONAL,
        "config_class": getattr(own, config),
        "all_model_classes": (getattr(own, backbone),),
        "model_tester": Tester(own, config, fields, size),
    }
    return type(f"{family} of {own.__name__}", (mixin, unittest.TestCase), parts)


def _config_case(tester: type, own: Any, family: str, step: str) -> type[unittest.TestCase]:
    config, _, fields, size = settings(family)

    def test_step(self: unittest.TestCase) -> None:
        self.model_tester = Tester(own, config, fields, size)  # type: ignore[attr-defined]
        kwargs = {"has_text_modality": False, "common_properties": []}
        getattr(tester(self, getattr(own, config), **kwargs, **fields), step)()

    return type(f"{family} of {own.__name__}", (unittest.TestCase,), {"test_step": test_step})


def by_files(folder: Path) -> Iterator[Outcome]:
    """Every backbone test in the files of a checkout, with backbonekit's classes where they import transformers'."""
    files = [*sorted(folder.glob("models/*/test_modeling_*.py")), folder / "utils" / "test_backbone_utils.py"]
    for file in files:
        if not file.exists() or not re.search("BackboneTesterMixin|BackboneMixin", file.read_text(encoding="utf-8")):
            continue
        name = ".".join(file.relative_to(folder).with_suffix("").parts)
        theirs = source.module(name)
        with backbonekit_in_transformers(), source.imported_again("test_backbone_common"):
            ours = source.module_again(name)
        for class_name, case in vars(ours).items():
            if _is_about_us(case):
                reference = getattr(theirs, class_name)
                for test in unittest.defaultTestLoader.getTestCaseNames(case):
                    with backbonekit_in_transformers():
                        mine = verdict(case(test))
                    yield compared(file.stem, class_name, test, reference(test), mine)


def _is_about_us(case: Any) -> bool:
    """A test class of a backbone that backbonekit has, or of the mixin for backbones."""
    if not (isinstance(case, type) and issubclass(case, unittest.TestCase)):
        return False
    if case.__name__ == "BackboneUtilsTester":
        return True
    classes = getattr(case, "all_model_classes", ())
    is_backbone = any(base.__name__ == "BackboneTesterMixin" for base in case.__mro__)
    return is_backbone and all(one.__module__.startswith("backbonekit") for one in classes)


@contextlib.contextmanager
def backbonekit_in_transformers() -> Iterator[None]:
    """Inside, `from transformers import ResNetBackbone` imports backbonekit's. transformers' own modules import from
    one another, not from the top, and keep theirs."""
    import transformers
    from transformers import backbone_utils

    owners = (transformers, backbone_utils)
    with contextlib.redirect_stdout(io.StringIO()):  # loading a class may print advice to its authors
        # All of them first: what is loaded while names are exchanged would get ours.
        shared = [(owner, name) for name in hf_models.__all__ for owner in owners if hasattr(owner, name)]
    with contextlib.ExitStack() as swaps:
        for owner, name in shared:
            swaps.enter_context(mock.patch.object(owner, name, getattr(backbonekit, name)))
        yield


def compared(
    group: str, subject: str, test: str, theirs: unittest.TestCase, ours: unittest.TestCase | tuple[str, str]
) -> Outcome:
    """A test that transformers' own class does not pass says nothing about ours."""
    said, message = verdict(theirs)
    if said != PASSED:
        return Outcome(group, subject, test, SKIPPED, message)
    return Outcome(group, subject, test, *(ours if isinstance(ours, tuple) else verdict(ours)))


def verdict(case: unittest.TestCase) -> tuple[str, str]:
    """Runs one test: passed, failed or not applicable, and why."""
    result = unittest.TestResult()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        case.run(result)
    if result.skipped:
        return SKIPPED, result.skipped[0][1]
    for _, trace in (*result.errors, *result.failures):
        return FAILED, _last_words(trace)
    return PASSED, ""


def _last_words(trace: str) -> str:
    """The exception and its message, from a traceback, without the names of temporary folders."""
    lines = trace.strip().splitlines()
    start = max((number for number, line in enumerate(lines) if line.startswith("  ")), default=-1)
    words = " ".join(" ".join(lines[start + 1 :]).split())
    return re.sub(rf"{re.escape(tempfile.gettempdir())}/\w+", "FOLDER", words)[:200]
