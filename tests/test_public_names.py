"""The public names load lazily, and importing the package starts nothing."""

import pickle
import subprocess
import sys

import backbonekit as bk


def test_every_public_name_loads():
    for name in bk.__all__:
        assert getattr(bk, name) is not None, name


def test_the_names_of_transformers_load_too_and_are_listed_on_their_own():
    from backbonekit import hf_models

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


def test_stubs_say_what_is_there():
    from backbonekit.hf_models.write_stubs import stubs

    for path, text in stubs().items():
        assert path.read_text(encoding="utf-8") == text, (
            f"{path.name} is not what the names are; run: python -m backbonekit.hf_models.write_stubs"
        )
    assert set(bk.__all__) - {"__version__"} == {
        *bk._PUBLIC,
        "RecipeError",
        "ContractError",
        "WeightsError",
        "StorageError",
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
