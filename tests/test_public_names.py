"""The public names load lazily, and importing the package starts nothing."""

import subprocess
import sys

import backbonekit as bk


def test_every_public_name_loads():
    for name in bk.__all__:
        assert getattr(bk, name) is not None, name


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(bk, "build_modle")


def test_importing_imports_no_torch():
    program = (
        "import sys, backbonekit; sys.exit(any(name in sys.modules for name in ('torch', 'timm', 'hydra', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
