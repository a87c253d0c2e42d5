"""Experiments: composed from names, files, mappings and overrides, checked with all faults at once."""

import math
from dataclasses import replace

import pytest

from backbonekit.contract.labels import Labels
from backbonekit.errors import RecipeError
from backbonekit.recipe.dump import dump_experiment
from backbonekit.recipe.experiment_compose import (
    check_sections,
    compose_data,
    compose_experiment,
    experiment_from_mapping,
    read_experiment_file,
)
from backbonekit.registry import lookup


class Photos:
    """Photographs.

    `root`: the folder. `train`: the file of the training images.
    """

    def __init__(self, *, root: str, train: str | None = None, crowds: bool = False) -> None:
        self.given = root, train, crowds


class Flip:
    """Mirrors images. `probability`: of each."""

    def __init__(self, *, probability: float = 0.5) -> None:
        self.probability = probability


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    known = {("data", "photos"): Photos, ("data", "prints"): Photos, ("augmentation", "mirror"): Flip}
    monkeypatch.setattr(lookup, "_REGISTERED", {**lookup._REGISTERED, **known})


@pytest.fixture
def configs(tmp_path):
    def write(path, text):
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        return file

    write("optimisation/fast.yaml", "lr: 0.01\nschedule: constant\n")
    write("optimisation/slow.yaml", "lr: 0.0001\n")
    write("data/mine.yaml", "name: photos\nroot: here\n")
    write(
        "experiment/base.yaml",
        "defaults:\n  - /model: maskformer_digits\n  - /optimisation: fast\n  - _self_\n"
        "data: {name: photos, root: somewhere}\ntrainer: {max_epochs: 3}\n",
    )
    write.folder = tmp_path
    return write


def refused(*arguments, **options):
    with pytest.raises(RecipeError) as caught:
        compose_experiment(*arguments, **options)
    return caught.value.faults


DATA = ["data=photos", "data.root=images"]


def test_sections_are_filled_in_with_their_defaults():
    found = compose_experiment(model="fcos_digits", overrides=[*DATA, "optimisation.lr=0.5", "trainer.max_epochs=2"])
    assert found.data == {"name": "photos", "root": "images", "train": None, "crowds": False}
    assert found.augmentation is None
    assert (found.optimisation.lr, found.optimisation.optimiser) == (0.5, "adamw")
    assert (found.trainer.max_epochs, found.trainer.devices) == (2, "auto")
    assert found.model.head.name == "fcos"


def test_an_experiment_of_a_file_takes_the_recipe_that_its_defaults_list(configs):
    found = compose_experiment("base", config_dir=configs.folder)
    assert found.model.head.name == "maskformer"
    assert (found.optimisation.lr, found.optimisation.schedule) == (0.01, "constant")
    assert found.data["root"] == "somewhere"
    assert found.trainer.max_epochs == 3


def test_an_experiment_inherits_another_one(configs):
    configs(
        "experiment/second.yaml",
        "defaults:\n  - base\n  - override /optimisation: slow\n  - _self_\n"
        "model: {head: {num_classes: 3}, labels: null}\ntrainer: {seed: 7}\n",
    )
    found = compose_experiment("second", config_dir=configs.folder)
    assert (found.trainer.max_epochs, found.trainer.seed, found.optimisation.lr) == (3, 7, 0.0001)
    assert found.model.head.options["num_classes"] == 3
    assert not found.classes_from_data


def test_an_experiment_changes_a_recipe_that_lists_parts_itself(configs):
    configs(
        "experiment/frozen.yaml",
        "defaults:\n  - /model: dpt_dinov2_small\n  - _self_\nmodel: {training: {freeze: {stages: 2}}}\n"
        "data: {name: photos, root: somewhere}\n",
    )
    found = compose_experiment("frozen", config_dir=configs.folder)
    assert found.model.training["freeze"]["stages"] == 2
    assert found.notes == ()


def test_what_an_inherited_experiment_changes_in_its_recipe_is_dropped_with_another_recipe(configs):
    configs(
        "experiment/frozen.yaml",
        "defaults:\n  - /model: dpt_dinov2_small\n  - _self_\nmodel: {training: {freeze: {stages: 2}}}\n"
        "data: {name: photos, root: somewhere}\n",
    )
    configs("experiment/other.yaml", "defaults:\n  - frozen\n  - override /model: depth_anything_small\n  - _self_\n")
    found = compose_experiment("other", config_dir=configs.folder)
    assert found.model.head.name == "depth_anything"
    assert "freeze" not in found.model.training
    assert any("what experiment/frozen sets is dropped" in note for note in found.notes)


def test_a_file_may_name_its_recipe_without_defaults(configs):
    file = configs("other/named.yaml", "model: fcos_digits\ndata: mine\noptimisation: {lr: 0.2}\n")
    found = compose_experiment("named", config_dir=configs("experiment/named.yaml", file.read_text()).parents[1])
    assert (found.model.head.name, found.data["root"], found.optimisation.lr) == ("fcos", "here", 0.2)


def test_a_file_by_its_path(configs):
    file = configs(
        "other/plain.yaml",
        "model: fcos_digits\ntrainer:\n  max_epochs: ${optimisation.batch_size}\noptimisation: {batch_size: 4}\n",
    )
    assert compose_experiment(file).trainer.max_epochs == 4
    assert compose_experiment(str(file), ["optimisation.batch_size=8"]).trainer.max_epochs == 8


def test_overrides_swap_and_edit_the_recipe_and_the_sections(configs):
    overrides = ["model.head.num_classes=2", "backbone=timm/resnet10t", "data=prints", "data.root=p", "trainer.seed=1"]
    found = compose_experiment("base", overrides, model="fcos_digits", config_dir=configs.folder)
    assert found.model.head.name == "fcos"
    assert found.model.head.options["num_classes"] == 2
    assert found.data == {"name": "prints", "root": "p", "train": None, "crowds": False}
    assert found.optimisation.lr == 0.01
    assert any("data: photos is replaced by prints (dropped root='somewhere')" in note for note in found.notes)


def test_augmentations_are_a_list_paper_or_none():
    steps = "augmentation=[{name: mirror, probability: 0.25}, mirror]"
    found = compose_experiment(model="fcos_digits", overrides=[steps, "augmentation.1.probability=1.0"])
    assert found.augmentation == (
        {"name": "mirror", "probability": 0.25},
        {"name": "mirror", "probability": 1.0},
    )
    assert compose_experiment(model="fcos_digits", overrides=["augmentation=paper"]).augmentation == "paper"
    (fault,) = refused(model="fcos_digits", overrides=["augmentation=[{name: miror}]"])
    assert "did you mean 'mirror'?" in fault


def test_all_faults_of_all_sections_are_told_at_once():
    faults = refused(
        model="fcos_digits",
        overrides=[
            "head.num_convolution=3",
            "data=photos",
            "data.rot=x",
            "optimisation.lr=fast",
            "trainer.strategy=dpp",
            "lr=3",
            "optimization.lr=1",
            "epochs=3",
            "decay=3",
            "augmentation=[{name: mirror, probability: 2}, {nam: mirror}]",
        ],
    )
    for expected in (
        "head.num_convolution: fcos has no such option; did you mean 'num_convolutions'?",
        "data.rot: photos has no such option; did you mean 'root'?",
        "data.root is missing",
        "optimisation.lr: given 'fast'",
        "did you mean 'ddp'?",
        "'lr=3': did you mean 'optimisation.lr'?",
        "did you mean 'optimisation'?",
        "'epochs=3': did you mean 'trainer.max_epochs'?",
        "'decay=3': an experiment has no",  # the end of several fields
        "augmentation.1.name is missing",
    ):
        assert any(expected in fault for fault in faults), expected


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["optimisation.momentum=0.9"], "momentum is of sgd, and optimiser is adamw"),
        (["optimisation.schedule=step"], "milestones is missing"),
        (["optimisation.schedule=step", "optimisation.milestones=[3,1]"], "must rise, such as [1, 3]"),
        (["optimisation.power=2.0"], "power is of poly, and schedule is cosine"),
        (["optimisation.ema_warmup_steps=10"], "give optimisation.ema_decay too"),
        (["trainer.devices=3"], "batch_size=16 images of one step cannot be shared equally among 3 processes"),
        (["trainer.num_nodes=2", "trainer.accumulate=3"], "the next that can is 18"),
        (["trainer.devices=[0,0]"], "names one device twice"),
        (["data=potos"], "did you mean 'photos'?"),
        (["trainer.callbacks=x"], "refused: a recipe does not configure Hydra"),
        (["data=photos", "data._target_=os.system"], "never code"),
    ],
)
def test_what_does_not_go_together_is_refused(overrides, expected):
    assert any(expected in fault for fault in refused(model="fcos_digits", overrides=overrides))


def test_sections_are_checked_without_a_recipe():
    check_sections(None, [*DATA, "head.num_classes=x"])
    with pytest.raises(RecipeError, match="3 faults"):
        check_sections({"model": "nothing"}, ["optimisation.lr=x", "data=photos"])


def test_an_experiment_needs_a_recipe():
    assert refused(overrides=["optimisation.lr=x"])[0].startswith("no model")
    (fault,) = refused(model="fcos_digit")
    assert "did you mean 'fcos_digits'" in fault
    (fault,) = refused("digits")
    assert "there is no experiment named 'digits'" in fault


@pytest.mark.parametrize("overrides", [[], ["head.num_classes=auto"]])
def test_classes_come_from_the_data(overrides):
    found = compose_experiment(model="maskformer_digits", overrides=overrides)
    assert found.classes_from_data
    assert found.to_dict()["model"]["head"]["num_classes"] == "auto"
    labels = Labels(("cat", "dog"), category_ids=(7, 9))
    known = found.with_labels(labels)
    assert known.model.labels == labels
    assert known.model.head.options["num_classes"] == 2
    assert known.with_labels(labels) == known
    with pytest.raises(RecipeError, match="this data names no classes"):
        found.with_labels(None)


def test_classes_that_were_given_must_be_those_of_the_data():
    found = compose_experiment(model="maskformer_digits", overrides=["labels=[cat,dog]"])
    assert not found.classes_from_data
    with pytest.raises(RecipeError, match=r"num_classes is 2, and the data has 3 classes \(a, b, c\)"):
        found.with_labels(Labels(("a", "b", "c")))
    with pytest.raises(RecipeError, match="class 0 is 'cat' in the recipe and 'dog' in the data"):
        found.with_labels(Labels(("dog", "cat")))
    assert found.with_labels(Labels(("cat", "dog"), None, (3, 4))).model.labels.category_ids == (3, 4)


def test_a_recipe_without_classes_takes_any_data():
    found = compose_experiment(model="depth_anything_small")
    assert not found.classes_from_data
    assert found.with_labels(None) == found


def test_what_is_saved_is_read_again(tmp_path):
    overrides = [*DATA, "augmentation=[mirror]", "optimisation.betas=[0.9,0.95]", "trainer.devices=[0,1]"]
    found = compose_experiment(model="fcos_digits", overrides=overrides).with_labels(Labels(("a", "b")))
    (tmp_path / "experiment.yaml").write_text(dump_experiment(found))
    again = read_experiment_file(tmp_path / "experiment.yaml")
    assert replace(again, notes=()) == replace(found, notes=())
    assert dump_experiment(again) == dump_experiment(found)
    undecided = compose_experiment(model="fcos_digits", overrides=DATA)
    assert experiment_from_mapping(undecided.to_dict()).classes_from_data


def test_a_shared_experiment_is_flat_and_plain():
    flat = compose_experiment(model="fcos_digits", overrides=DATA).to_dict()
    for change, expected in (
        ({"defaults": ["x"]}, "only YAML files have defaults"),
        ({"data": {"name": "photos", "root": "${oc.env:HOME}"}}, "refers to something else"),
        ({"trainer": {"lr": math.pi}}, "trainer.lr is unknown"),
        ({"callbacks": {}}, "an experiment has no 'callbacks'"),
        ({"model": {**flat["model"], "_target_": "os.system"}}, "never code"),
    ):
        with pytest.raises(RecipeError) as caught:
            experiment_from_mapping({**flat, **change})
        assert any(expected in fault for fault in caught.value.faults), expected


def test_data_without_a_recipe():
    data, augmentation, others = compose_data([*DATA, "augmentation=paper", "task=semantic"])
    assert data["root"] == "images"
    assert augmentation == "paper"
    assert others == ["task=semantic"]
    with pytest.raises(RecipeError, match="root is missing"):
        compose_data(["data=photos"])
