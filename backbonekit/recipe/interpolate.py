"""`${backbone.in_channels}` in a user's own YAML: another value of the same recipe, and nothing but that.

Resolvers (`${oc.env:...}`) are refused: what a recipe means does not depend on the machine it is read on.
"""

import re
from typing import Any

from backbonekit.contract.option_values import MAX_TEXT, shown

_REFERENCE = re.compile(r"\$\{\s*([A-Za-z_][\w.]*)\s*\}")
_MAX_DEPTH = 8  # references to references
_MISSING = object()


def interpolated(data: dict[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """A copy with every reference replaced by what it refers to, and a fault for each that could not be."""
    faults: list[str] = []
    return _Interpolation(data, faults).resolve(data, "", 0), faults


class _Interpolation:
    def __init__(self, root: dict[str, Any], faults: list[str]) -> None:
        self.root = root
        self.faults = faults

    def resolve(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, dict):
            return {key: self.resolve(item, f"{path}.{key}" if path else key, depth) for key, item in value.items()}
        if isinstance(value, list):
            return [self.resolve(item, f"{path}.{index}", depth) for index, item in enumerate(value)]
        if not isinstance(value, str) or "${" not in value:
            return value
        whole = _REFERENCE.fullmatch(value)
        if whole:
            return self._referred(whole.group(1), value, path, depth)
        text = _REFERENCE.sub(lambda match: self._text(match.group(1), value, path, depth), value)
        if "${" in text:
            self.faults.append(
                f"{path}: {shown(value)} cannot be read; only ${{key.of.this.recipe}} can be referred to."
            )
            return None
        if len(text) > MAX_TEXT:
            self.faults.append(f"{path}: {shown(value)} becomes longer than {MAX_TEXT:,} characters.")
            return None
        return text

    def _text(self, key: str, value: str, path: str, depth: int) -> str:
        referred = self._referred(key, value, path, depth)
        if isinstance(referred, dict | list):
            self.faults.append(f"{path}: {shown(value)} puts {shown(key)}, which is no single value, into a text.")
            return ""
        return "" if referred is None else str(referred)[: MAX_TEXT + 1]

    def _referred(self, key: str, value: str, path: str, depth: int) -> Any:
        if depth >= _MAX_DEPTH:
            self.faults.append(
                f"{path}: {shown(value)} refers to a reference, {_MAX_DEPTH} times over (or in a circle)."
            )
            return None
        node: Any = self.root
        steps = key.split(".")
        for step in steps[1:] if steps[0] == "model" and len(steps) > 1 else steps:
            if isinstance(node, list) and step.isdecimal() and int(step) < len(node):
                node = node[int(step)]
            else:
                node = node.get(step, _MISSING) if isinstance(node, dict) else _MISSING
        if node is _MISSING:
            self.faults.append(f"{path}: {shown(value)} refers to {key}, which this recipe does not have.")
            return None
        return self.resolve(node, path, depth + 1)
