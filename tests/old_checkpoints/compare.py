"""Opens what a release saved with backbonekit, and compares with what that release computed."""

import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

import backbonekit as bk
from backbonekit.cli.convert import main as convert
from tests.old_checkpoints.model_cases import OUTPUTS

FORMATS = ("safetensors", "bin")
TOLERANCE = 1e-4  # of the largest value of an output, in fp32


@dataclass
class Result:
    """`absent`: the release has no such class. `unmade`: why the release could not make the case.
    `refusals`: format -> message. `differences`: size of the images -> largest difference, relative."""

    class_name: str
    on: str
    version: str
    absent: bool = False
    unmade: str = ""
    refusals: dict[str, str] = field(default_factory=dict)
    differences: dict[str, float] = field(default_factory=dict)

    @property
    def is_fine(self) -> bool:
        return not self.refusals and all(one < TOLERANCE for one in self.differences.values())


def compare_all(root: Path) -> list[Result]:
    cases = json.loads((root / "cases.json").read_text())
    return [_compare(root, case, cases["version"]) for case in cases["cases"]]


def _compare(root: Path, case: dict[str, Any], version: str) -> Result:
    result = Result(case["class"], case["on"], version, case.get("absent", False), case.get("failed", ""))
    if result.absent or result.unmade:
        return result
    folder = root / case["folder"]
    values = load_file(folder / "values.safetensors")
    for form in FORMATS:
        try:
            for size, difference in _differences(_folder(folder, form), case, values).items():
                result.differences[size] = max(difference, result.differences.get(size, 0.0))
        except Exception as error:
            message = " ".join(str(error).replace(f"{root.resolve()}/", "").replace(f"{root}/", "").split())
            result.refusals[form] = f"{type(error).__name__}: {message}"
    return result


def _folder(folder: Path, form: str) -> Path:
    """What backbonekit opens: a pickle is converted first, by the command that its users type."""
    if form == "safetensors":
        return folder / form
    converted = folder / "converted"
    with contextlib.redirect_stdout(None):
        convert([str(folder / form), str(converted)])
    return converted


def _differences(folder: Path, case: dict[str, Any], values: dict[str, Tensor]) -> dict[str, float]:
    run = _backbone(folder, case) if case.get("backbone") else _whole_model(folder, case)
    found = {}
    for number in sorted({name.split(".")[0] for name in values}):
        given = {name.split(".")[1]: one for name, one in values.items() if name.startswith(f"{number}.")}
        inputs = {name: given.pop(name) for name in ("pixel_values", "pixel_mask") if name in given}
        with torch.no_grad():
            outputs = run(**inputs)
        height, width = inputs["pixel_values"].shape[-2:]
        found[f"{height} x {width}"] = max(_difference(outputs[name], one) for name, one in given.items())
    return found


def _backbone(folder: Path, case: dict[str, Any]) -> Any:
    model = bk.AutoBackbone.from_pretrained(folder, out_indices=case["indices"]).eval()
    return lambda pixel_values: dict(zip(map(str, case["indices"]), model(pixel_values).feature_maps, strict=True))


def _whole_model(folder: Path, case: dict[str, Any]) -> Any:
    """By both ways in: the class of transformers' name, and `load_model`; the same weights in both."""
    by_class = getattr(bk, case["class"]).from_pretrained(folder).eval()
    by_folder = bk.load_model(folder)
    weights = by_class.model.state_dict()
    if any(not torch.equal(one, weights[name]) for name, one in by_folder.state_dict().items()):
        raise AssertionError("load_model and the class of this name read other weights")

    def run(**inputs: Tensor) -> dict[str, Tensor]:
        if "pixel_mask" in inputs:
            inputs["pixel_mask"] = inputs["pixel_mask"].long()
        output = by_class(**inputs)
        return {name: output[name] for name in OUTPUTS if name in output}

    return run


def _difference(given: Tensor, expected: Tensor) -> float:
    if given.shape != expected.shape:
        raise AssertionError(f"an output of {list(given.shape)} where the release has {list(expected.shape)}")
    return float((given - expected).abs().max() / expected.abs().max().clamp(min=1e-6))
