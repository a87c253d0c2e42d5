"""Checks the `training` of a recipe: advice that whoever trains may follow."""

from typing import Any

from backbonekit.contract.option_values import faults_of, shown
from backbonekit.errors import nearest
from backbonekit.recipe.forbidden import shown_path

_FROZEN_STAGES = {"type": "integer", "minimum": 0, "maximum": 1_000}


def read_training(data: Any, faults: list[str]) -> dict[str, Any]:
    """{freeze: {stages: 2, norms: true}}: advice that is applied by who trains, when asked."""
    if data is None:
        return {}
    if not isinstance(data, dict):
        faults.append(
            f"training: given {shown(data)}, must be a mapping such as {{freeze: {{stages: 2, norms: true}}}}."
        )
        return {}
    for key in data:
        if key != "freeze":
            faults.append(f"{shown_path(f'training.{key}')} is unknown; {nearest(key, ['freeze'])}")
    freeze = data.get("freeze")
    if freeze is None:
        return {}
    if not isinstance(freeze, dict):
        faults.append(f"training.freeze: given {shown(freeze)}, must be a mapping such as {{stages: 2, norms: true}}.")
        return {}
    for key in freeze:
        if key not in ("stages", "norms"):
            faults.append(f"{shown_path(f'training.freeze.{key}')} is unknown; {nearest(key, ['stages', 'norms'])}")
    stages, norms = freeze.get("stages", 0), freeze.get("norms", False)
    faults.extend(faults_of("training.freeze.stages", stages, _FROZEN_STAGES))
    faults.extend(faults_of("training.freeze.norms", norms, {"type": "boolean"}))
    return {"freeze": {"stages": stages, "norms": norms}}
