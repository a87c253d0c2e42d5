"""A run: what its folder holds, and that a resumed one ends with the same weights."""

import json
import os
import signal

import pytest
import torch
from huggingface_hub import ModelCard
from lightning.pytorch import Callback

import backbonekit as bk
from backbonekit.errors import ContractError, RecipeError, StorageError, WeightsError
from backbonekit.lightning import checkpoint_file, run as run_module
from backbonekit.lightning.checkpointing import Interrupted
from backbonekit.recipe.experiment_compose import read_experiment_file
from tests.lightning.runs import run
from tests.lightning.shapes import Shapes


def weights(folder):
    return bk.load_model(folder).state_dict()


def last(folder):
    return torch.load(folder / "last.ckpt", weights_only=True)["state_dict"]


def same(one, other):
    return list(one) == list(other) and all(torch.equal(one[name], other[name]) for name in one)


def test_the_folder_of_a_run(tmp_path):
    best = run(tmp_path / "x")
    assert best.name == "mIoU"
    assert sorted(path.name for path in (tmp_path / "x").iterdir()) == [
        "README.md",
        "confusion_pixels.png",
        "experiment.yaml",
        "last.ckpt",
        "loss.png",
        "metrics.csv",
        "metrics.png",
        "model.safetensors",
        "preprocessor_config.json",
        "recipe.yaml",
        "scores.json",
    ]
    model = bk.load_model(tmp_path / "x")
    assert model.labels.names == ("background", "square", "wide")
    experiment = read_experiment_file(tmp_path / "x" / "experiment.yaml")
    assert experiment.trainer.max_epochs == 3
    rows = (tmp_path / "x" / "metrics.csv").read_text().splitlines()
    assert rows[0].startswith("epoch,step,")
    assert "train_loss" in rows[0]
    assert "val_loss" in rows[0]
    assert json.loads((tmp_path / "x" / "scores.json").read_text())["epoch"] == best.epoch
    results = {one.metric_type: one for one in ModelCard((tmp_path / "x" / "README.md").read_text()).data.eval_results}
    assert results["mIoU"].metric_value == pytest.approx(best.value, abs=1e-6)
    assert (results["mIoU"].dataset_name, results["mIoU"].dataset_split) == ("data", "val")


EMA = ("optimisation.ema_decay=0.9", "optimisation.ema_warmup_steps=3", "optimisation.clip_norm=1.0")


class StopAt(Callback):
    """Raises in a step, as a kill would end it: nothing is written after it."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            raise SystemError("stopped")


class SignalAt(StopAt):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture
def with_callback(monkeypatch):
    """Adds a callback, before all others, to the runs of this test."""
    added = []
    trainer = run_module.Trainer

    def made(*, callbacks, **options):
        return trainer(callbacks=[*added, *callbacks], **options)

    monkeypatch.setattr(run_module, "Trainer", made)
    return added


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three epochs of four steps each, with a moving average."""
    folder = tmp_path_factory.mktemp("whole") / "x"
    run(folder, *EMA)
    return folder


def test_two_runs_with_one_seed_are_equal(whole, tmp_path):
    run(tmp_path / "x", *EMA)
    assert same(last(tmp_path / "x"), last(whole))
    assert (tmp_path / "x" / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()
    run(tmp_path / "y", *EMA, "trainer.seed=1")
    assert not same(last(tmp_path / "y"), last(whole))


@pytest.mark.parametrize("step", [2, 4, 6, 8, 11])
def test_a_run_that_was_ended_anywhere_is_resumed_to_the_same_weights(step, whole, tmp_path, with_callback):
    with_callback[:] = [StopAt(step)]
    with pytest.raises(SystemError):
        run(tmp_path / "x", *EMA, "trainer.checkpoint_every=3")
    with_callback.clear()
    run(tmp_path / "x", *EMA, "trainer.checkpoint_every=3", resume=True)
    assert same(last(tmp_path / "x"), last(whole))
    assert same(weights(tmp_path / "x"), weights(whole))
    assert (tmp_path / "x" / "metrics.csv").read_text() == (whole / "metrics.csv").read_text()


def test_ctrl_c_writes_a_checkpoint_in_the_middle_of_an_epoch(whole, tmp_path, with_callback):
    with_callback[:] = [SignalAt(6)]
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        run(tmp_path / "x", *EMA)
    assert signal.getsignal(signal.SIGINT) is handler
    assert torch.load(tmp_path / "x" / "last.ckpt", weights_only=True)["global_step"] == 6
    with_callback.clear()
    run(tmp_path / "x", *EMA, resume=True)
    assert same(last(tmp_path / "x"), last(whole))


def test_more_epochs(whole, tmp_path):
    run(tmp_path / "x", "optimisation.schedule=constant", "trainer.max_epochs=1")
    run(tmp_path / "x", "optimisation.schedule=constant", "trainer.max_epochs=2", resume=True)
    run(tmp_path / "y", "optimisation.schedule=constant", "trainer.max_epochs=2")
    assert same(last(tmp_path / "x"), last(tmp_path / "y"))


def test_steps_end_a_run_within_an_epoch(tmp_path):
    constant = ("optimisation.schedule=constant", "trainer.accumulate=2", "optimisation.batch_size=4")
    run(tmp_path / "x", *constant, "trainer.max_steps=3")
    assert torch.load(tmp_path / "x" / "last.ckpt", weights_only=True)["global_step"] == 3
    assert bk.load_model(tmp_path / "x").labels is not None
    run(tmp_path / "x", *constant, resume=True)
    run(tmp_path / "y", *constant)
    assert same(last(tmp_path / "x"), last(tmp_path / "y"))


def test_the_saved_model_is_the_moving_average_of_the_best_epoch(whole):
    state, saved = last(whole), weights(whole)
    names = [name for name in saved if saved[name].is_floating_point()]
    assert any(not torch.equal(state[f"model.{name}"], saved[name]) for name in names)
    scores = json.loads((whole / "scores.json").read_text())
    if scores["epoch"] == 2:
        assert all(torch.equal(state[f"average.{name}"], saved[name]) for name in names)


def test_a_loss_that_is_no_number_names_the_images(tmp_path):
    with pytest.raises(
        ContractError, match=r"step \d+: the loss is no finite number .* for the images train/\d.png, train/\d.png"
    ):
        run(tmp_path / "x", "optimisation.lr=1000", "optimisation.optimiser=sgd", "trainer.max_epochs=20")
    assert (tmp_path / "x" / "last.ckpt").is_file()


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_image_is_named(workers, tmp_path):
    with pytest.raises(StorageError) as caught:
        run(tmp_path / "x", f"trainer.num_workers={workers}", source=Shapes(broken=3))
    assert str(caught.value) == "train/3.png is no image."


def test_a_full_disk_loses_no_checkpoint(tmp_path, monkeypatch):
    run(tmp_path / "x", "trainer.max_epochs=1")
    before, model = last(tmp_path / "x"), weights(tmp_path / "x")

    def full(checkpoint, file):
        file.write(b"part of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint_file.torch, "save", full)
    with pytest.raises(StorageError, match=r"No space left on device; the checkpoint written before is kept"):
        run(tmp_path / "x", resume=True)
    monkeypatch.undo()
    assert same(last(tmp_path / "x"), before)
    assert not list((tmp_path / "x").glob(".*partial"))
    assert list(weights(tmp_path / "x")) == list(model)
    run(tmp_path / "x", resume=True)


def test_a_checkpoint_is_never_unpickled(tmp_path):
    run(tmp_path / "x", "trainer.max_epochs=1")
    torch.save({"global_step": 1, "hook": StopAt(1)}, tmp_path / "x" / "last.ckpt")
    with pytest.raises(WeightsError, match="damaged or no checkpoint"):
        run(tmp_path / "x", resume=True)


def test_other_data_or_too_few_images(tmp_path):
    with pytest.raises(RecipeError, match="the training data has 8 images only"):
        run(tmp_path / "x", "optimisation.batch_size=16")
    run(tmp_path / "y", "trainer.max_epochs=1")
    with pytest.raises(RecipeError, match="has 9 images, and had 8 when the checkpoint was written"):
        run(tmp_path / "y", source=Shapes(train=9), resume=True)


def test_without_validation_the_last_model_is_saved(tmp_path):
    run(tmp_path / "x", source=Shapes(val=0))
    state = last(tmp_path / "x")
    assert all(torch.equal(state[f"model.{name}"], value) for name, value in weights(tmp_path / "x").items())


def test_the_augmentation_of_the_paper_follows_the_head(tmp_path, monkeypatch):
    used = []
    monkeypatch.setattr("backbonekit.lightning.run.paper_steps", lambda *given: used.append(given) or ["vertical_flip"])
    run(tmp_path / "x", "augmentation=paper", "trainer.max_epochs=1", steps=None)
    ((heads, processing),) = used
    assert heads == ["fcn"]
    assert processing.size == (32, 32)


@pytest.mark.parametrize(
    "overrides",
    [
        ("optimisation.optimiser=lion", "trainer.precision=bf16", "trainer.gradient_checkpointing=true"),
        (
            "optimisation.optimiser=sgd",
            "optimisation.schedule=step",
            "optimisation.milestones=[1]",
            "trainer.accumulate=2",
            "optimisation.batch_size=4",
        ),
        ("optimisation.optimiser=adam", "optimisation.schedule=poly", "trainer.logger=tensorboard", "augmentation=[]"),
    ],
)
def test_settings_train(overrides, tmp_path):
    run(tmp_path / "x", *overrides, "trainer.max_epochs=2")
    assert bk.load_model(tmp_path / "x") is not None
