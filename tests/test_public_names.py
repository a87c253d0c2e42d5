"""The public names load lazily, and importing the package starts nothing."""

import ast
import inspect
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import backbonekit as bk
from backbonekit import hf_models


def test_every_public_name_loads():
    for name in bk.__all__:
        assert getattr(bk, name) is not None, name


def test_the_names_of_transformers_load_too_and_are_listed_on_their_own():
    assert {"AutoBackbone", "ResNetConfig", "DetrForObjectDetection"} <= set(hf_models.__all__)
    assert not set(bk.__all__) & set(hf_models.__all__)
    for name in hf_models.__all__:
        assert getattr(bk, name) is getattr(hf_models, name), name


def test_functions_are_not_hidden_by_modules_of_their_name():
    import backbonekit.export.export

    assert callable(bk.predict)
    assert bk.export_model is backbonekit.export.export.export_model


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(bk, "build_modle")


def test_importing_imports_no_torch():
    program = (
        "import sys, backbonekit; sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'hydra', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("package", [bk, hf_models])
def test_type_checkers_see_the_names_that_load_lazily(package):
    tree = ast.parse(Path(package.__file__).read_text(encoding="utf-8"))
    guarded = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {
        alias.asname: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name == alias.asname
    }
    lazy = dict.fromkeys(hf_models._PUBLIC, "backbonekit.hf_models") if package is bk else {}
    assert seen == {**package._PUBLIC, **lazy}


def test_every_public_name_is_listed():
    errors = {"RecipeError", "ContractError", "WeightsError", "StorageError"}
    assert set(bk.__all__) - {"__version__"} == {*bk._PUBLIC, *errors}


@pytest.mark.parametrize("name", [name for name in hf_models._PUBLIC if name.endswith("Config")])
def test_a_configuration_shows_its_fields(name):
    parameters = inspect.signature(getattr(bk, name)).parameters
    assert len(parameters) > 5
    assert not {parameter.kind for parameter in parameters.values()} & {
        inspect.Parameter.VAR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    }


def test_classes_of_families_are_found_by_pickle():
    config = bk.PvtV2Config(out_indices=[1])
    again = pickle.loads(pickle.dumps(config))
    assert type(again) is bk.PvtV2Config
    assert again == config
    assert bk.PvtV2Backbone.config_class is bk.PvtV2Config
    assert (bk.VitPoseBackbone.__name__, bk.VitPoseBackboneConfig.__name__) == (
        "VitPoseBackbone",
        "VitPoseBackboneConfig",
    )
