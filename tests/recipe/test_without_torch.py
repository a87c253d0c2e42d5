"""A mistake in a recipe is reported before torch is imported: what that costs is measured by what is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import backbonekit

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(backbonekit.__file__).parent.parent)}

COMPOSE = """
import sys
from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.dump import dump_experiment, dump_recipe
from backbonekit.recipe.experiment_compose import compose_experiment, experiment_from_mapping, experiment_names
from backbonekit.recipe.json_schema import json_schema
from backbonekit.recipe.sweep import expand_sweep
from backbonekit.recipe.validate import recipe_from_mapping

for name in model_names():
    neck = [] if compose_recipe(name).heads else ["neck=fpn"]  # several heads have necks of their own
    recipe = compose_recipe(name, ["backbone=swin_tiny", *neck, "backbone.pretrained=true"])
    assert recipe_from_mapping(recipe.to_dict()) == recipe
    dump_recipe(recipe)
    dump_experiment(experiment_from_mapping(compose_experiment(model=name, overrides=["trainer.seed=1"]).to_dict()))
for name in experiment_names():
    paths = [] if name.startswith("digits") else ["data.root=images", "data.train=train"]
    compose_experiment(name, paths)
expand_sweep(["backbone=glob(*)"])
json_schema("recipe"), json_schema("experiment")
for model, overrides in (("maskformer_resnet51", []), ("fcn_resnet50", ["head.num_querys=3", "backbone=resnt", "a=("])):
    try:
        compose_recipe(model, overrides)
    except RecipeError as error:
        assert "did you mean" in str(error)
    else:
        raise AssertionError("not refused")
heavy = {"torch", "torchvision", "timm", "transformers", "huggingface_hub", "numpy", "PIL", "scipy", "pydantic"}
found = sorted(heavy & set(sys.modules))
assert not found, found
"""


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-c", code]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)


def test_composing_and_validating_import_nothing_heavy(tmp_path):
    done = run(COMPOSE, tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("module", ["backbonekit", "backbonekit.registry.lookup", "backbonekit.recipe.recipe"])
def test_data_imports_not_even_hydra(module, tmp_path):
    heavy = "{'torch', 'hydra', 'omegaconf', 'yaml'}"
    done = run(f"import sys, {module}; found = {heavy} & set(sys.modules); assert not found, found", tmp_path)
    assert done.returncode == 0, done.stderr
