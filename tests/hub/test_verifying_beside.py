"""The hash of saved weights is computed beside the build, and nothing is handed out before it is known."""

import threading

import pytest

import backbonekit as bk
from backbonekit.assembly import load
from backbonekit.errors import WeightsError
from backbonekit.hub import manifest

RECIPE = {"backbone": {"source": "timm", "name": "resnet10t", "args": {"channels": [8, 8, 8, 8], "stem_width": 8}}}
WAIT = 30  # seconds; far more than a build takes


@pytest.fixture
def folder(tmp_path):
    return bk.build_model(RECIPE).save_pretrained(tmp_path / "m1")


def test_the_build_does_not_wait_for_the_hash(folder, monkeypatch):
    was_built = threading.Event()
    waited = []
    build, digest = load.build_composed, manifest.sha256_of

    def built(*args, **options):
        model = build(*args, **options)
        was_built.set()
        return model

    def hashed(path):
        waited.append(was_built.wait(WAIT))
        return digest(path)

    monkeypatch.setattr(load, "build_composed", built)
    monkeypatch.setattr(manifest, "sha256_of", hashed)
    bk.load_model(folder)
    assert waited == [True]


def test_the_model_is_not_returned_before_its_weights_are_verified(folder, monkeypatch):
    was_built = threading.Event()
    build = load.build_composed

    def built(*args, **options):
        model = build(*args, **options)
        was_built.set()
        return model

    def hashed(path):
        assert was_built.wait(WAIT)
        return "0" * 64

    monkeypatch.setattr(load, "build_composed", built)
    monkeypatch.setattr(manifest, "sha256_of", hashed)
    with pytest.raises(WeightsError, match="damaged or was exchanged"):
        bk.load_model(folder)
    assert was_built.is_set()
