"""`backbonekit train`: a run in a process of its own, killed and resumed; several processes; what is refused."""

import csv
import json
import signal
import time
from dataclasses import replace

import pytest
import torch

import backbonekit as bk
from backbonekit.assembly.build import build_composed
from backbonekit.cli.verbs import main
from backbonekit.lightning.run import run_experiment
from backbonekit.recipe.experiment_compose import read_experiment_file
from backbonekit.registry import lookup
from tests.lightning.runs import MODEL_FILE, SETTINGS, run, started
from tests.lightning.shapes import Shapes

SECONDS = 180  # imports of torch on a busy machine


@pytest.fixture
def shapes(monkeypatch):
    monkeypatch.setattr(lookup, "_REGISTERED", {**lookup._REGISTERED, ("data", "shapes"): Shapes})


def ended(process, code=0):
    output, error = process.communicate(timeout=SECONDS)
    assert process.returncode == code, error[-4000:]
    return output, error


def checkpoint(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)


def losses(folder):
    """Of the validations."""
    with (folder / "metrics.csv").open() as file:
        return [float(row["val_loss"]) for row in csv.DictReader(file) if row["val_loss"]]


def test_a_killed_run_is_resumed_to_the_same_weights(tmp_path):
    settings = ("trainer.max_epochs=40", "trainer.checkpoint_every=3", "optimisation.ema_decay=0.9")
    process = started(tmp_path, *settings, "save=x")
    for line in process.stderr:
        if line.startswith("epoch 5/"):
            time.sleep(0.03)  # somewhere in the next epochs
            break
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert 0 < checkpoint(tmp_path / "x")["global_step"] < 160
    output, error = ended(started(tmp_path, "resume=x", resume=True))
    assert output.startswith("saved to x (mIoU ")
    assert "epoch 40/40  loss " in error
    run(tmp_path / "whole", *settings)
    one, other = checkpoint(tmp_path / "x"), checkpoint(tmp_path / "whole")
    assert all(torch.equal(value, other["state_dict"][name]) for name, value in one["state_dict"].items())
    assert (tmp_path / "x" / "metrics.csv").read_text() == (tmp_path / "whole" / "metrics.csv").read_text()
    assert bk.load_model(tmp_path / "x").labels.names == ("background", "square", "wide")


@pytest.mark.skipif(not torch.distributed.is_gloo_available(), reason="torch was built without gloo")
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_processes_train_as_one(strategy, shapes, tmp_path):
    """The layer norms of a ConvNeXt do not depend on the batch, as batch norms would."""
    model = (
        "backbone={source: timm, name: convnext_atto, args: {depths: [1, 1, 2, 1], dims: [8, 16, 24, 32]}}",
        "head=classification",
        "optimisation.batch_size=4",
        "optimisation.ema_decay=0.5",
        "trainer.max_epochs=2",
        "trainer.log_every=1",
    )
    several = ("trainer.devices=2", f"trainer.strategy={strategy}")
    count = 4 if strategy == "ddp" else 5  # which two processes cannot share equally: one image is seen twice
    ended(started(tmp_path, *model, *several, f"data.val={count}", "save=two"))

    experiment = read_experiment_file(tmp_path / "two" / "experiment.yaml")
    alone = replace(experiment, trainer=replace(experiment.trainer, devices=1, strategy="auto"))
    run_experiment(alone, tmp_path / "one", source=Shapes(val=count), build=build_composed)
    if strategy == "ddp":
        one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
        assert one == pytest.approx(two, rel=1e-5)
        assert len(one) == 2
    one, two = (json.loads((tmp_path / name / "scores.json").read_text()) for name in ("one", "two"))
    assert one["num_images"] == two["num_images"] == count
    assert one["summary"] == two["summary"]
    one, two = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two")
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(value, two["state_dict"][name], rtol=1e-4, atol=1e-5)
    saved, expected = (bk.load_model(tmp_path / name).state_dict() for name in ("two", "one"))
    for name, value in saved.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-5)
    # What two processes wrote goes on in one.
    longer = replace(alone, trainer=replace(alone.trainer, max_epochs=3))
    for name in ("one", "two"):
        run_experiment(longer, tmp_path / name, source=Shapes(val=count), build=build_composed, resume=True)
    one, two = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "two")
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(value, two["state_dict"][name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["model=fcos_digits"], "no data: give data=FORMAT"),
        (["model=fcos_digits", "data=shapes"], "save= is missing"),
        (["data=shapes", "save=x"], "no model: an experiment has a recipe"),
        (["model=fcos_digit", "data=shapes", "optimisation.lr=x", "save=x"], "2 faults"),
        (["resume=nothing"], "holds no run, which has experiment.yaml"),
        (["resume=held", "model=fcos_digits", "optimisation.lr=1"], "leave model= out"),
        (["resume=held", "optimisation.lr=1"], "a resumed run may change trainer and data alone"),
        (["model=fcos_digits", "data=shapes", "save=held"], "holds a run or a model already (experiment.yaml)"),
        (["model=fcos_digits", "data=held", "save=x"], "it is the format, as data=coco, and the folder is data.root="),
        (["model=fcos_digits", "data=shapes", "save=x", "batch_size=2"], "did you mean 'optimisation.batch_size='?"),
        (["model=fcos_digits", "data=shapes", "save=x", "-m"], "-m belongs to `build`"),
        (["model=fcos_digits", "data=shapes", "save=x", "threshold=1"], "is no argument of this command"),
        (["experiment=nothing.yaml", "save=x"], "there is no file"),
    ],
)
def test_what_is_refused(words, expected, shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "held").mkdir()
    (tmp_path / "held" / "experiment.yaml").write_text("model: fcos_digits\n")
    assert main(["train", *words]) == 2
    error = capsys.readouterr().err
    assert expected in error
    assert "Traceback" not in error


def test_an_experiment_of_a_file(shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("model: fcos_digits\ndata: {name: shapes, train: 4}\n")
    assert main(["train", "experiment=mine.yaml", "--cfg", "job", "trainer.seed=3"]) == 0
    text = capsys.readouterr().out
    assert "num_classes: auto" in text
    assert "seed: 3" in text


def test_a_saved_model_is_trained_on_other_classes(shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    model = bk.build_model("fcos_digits", ["processing.size=[32,32]"])
    model.save_pretrained("before")
    settings = [*SETTINGS, "trainer.max_epochs=1", "optimisation.lr=0", "optimisation.weight_decay=0"]
    assert main(["train", "recipe=before", "data=shapes", *settings, "save=after"]) == 0
    printed = capsys.readouterr()
    assert "note: 3 classes, those of the data: background, square, wide." in printed.err
    assert printed.out.startswith("saved to after (box_AP ")
    after = bk.load_model("after")
    assert len(after.labels.names) == 3
    weight = dict(after.named_parameters())
    same = [name for name, value in model.named_parameters() if weight[name].shape == value.shape]
    assert all(torch.equal(weight[name], model.state_dict()[name]) for name in same)
    assert len(weight) - len(same) in (1, 2)  # the layer of the classes
    assert json.loads((tmp_path / "after" / "scores.json").read_text())["epoch"] == 0


def test_a_run_that_is_refused_before_its_first_step_leaves_nothing_in_the_way(shapes, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.yaml").write_text(MODEL_FILE)
    words = ["train", "recipe=tiny.yaml", "data=shapes", *SETTINGS, "trainer.max_steps=1", "save=x"]
    assert main([*words, "backbone.in_channels=6"]) == 2
    said = capsys.readouterr().err
    assert "backbone.in_channels=3" in said
    assert "note: all weights are random at the start. Published weights: backbone.pretrained=true" in said
    assert not (tmp_path / "x").exists()
    assert main(words) == 0
