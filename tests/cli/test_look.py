"""`look` as a person uses it."""

import pytest
from PIL import Image

from backbonekit.cli.verbs import run_verb

CONFIG = "{model_type: dinov2, hidden_size: 24, num_hidden_layers: 5, num_attention_heads: 2, image_size: 56}"
MODEL = ("backbone=dinov2_small", f"backbone.config={CONFIG}", "processing.size=[56,56]", "backbone.pretrained=false")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.linear_gradient("L").resize((90, 60)).convert("RGB").save("cat.jpg")
    return tmp_path


def size(path):
    with Image.open(path) as image:
        return image.size


def look(capsys, *words):
    code = run_verb("look", words)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_features_and_attention_are_drawn(folder, capsys):
    for extra in ((), ("basis=shared",), ("attention=class",), ("attention=10,50",)):
        code, out, err = look(capsys, *MODEL, "image=cat.jpg", "output=deep/look.png", *extra)
        assert code == 0, err
        assert out.startswith("deep/look.png: ")
        assert size("deep/look.png")[0] > 900


def test_maps_that_were_chosen_are_shown(folder, capsys):
    one = look(capsys, *MODEL, "image=cat.jpg", "output=one.png", "backbone.out_indices=[2]")
    assert one[0] == 0
    assert look(capsys, *MODEL, "image=cat.jpg", "output=all.png")[0] == 0
    assert size("one.png")[1] < size("all.png")[1]


def test_a_saved_model_shows_the_maps_that_its_parts_read(folder, capsys):
    assert run_verb("build", ["model=unet_digits", "save=m"]) == 0
    code, _, err = look(capsys, "recipe=m", "image=cat.jpg", "output=look.png")
    assert (code, err) == (0, "")


def test_every_fault_before_torch(folder, capsys):
    code, _, err = look(capsys, "image=none.jpg", "output=", "basis=one", "attention=all", "bands=1,2", "seed=x")
    assert code == 2
    for word in ("no model", "none.jpg: no such", "no output", "basis=one", "attention=all", "bands=1,2", "seed=x"):
        assert word in err
    assert "is the image given" in look(capsys, *MODEL, "image=cat.jpg", "output=cat.jpg")[2]
    assert "is a folder" in look(capsys, *MODEL, "image=.", "output=a.png")[2]
    assert ".txt" in look(capsys, *MODEL, "image=cat.jpg", "output=look.txt")[2]


def test_a_model_without_class_token_is_told(folder, capsys):
    code, _, err = look(
        capsys,
        "backbone=timm/resnet18",
        "backbone.pretrained=false",
        "image=cat.jpg",
        "output=a.png",
        "attention=class",
    )
    assert code == 2
    assert "has no class token" in err
