"""`compose_experiment`: from a name, a file or a mapping, a recipe and overrides, to a checked Experiment. No torch."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import SUFFIXES, located
from backbonekit.recipe.config_roots import EXPERIMENT, SECTIONS, ConfigRoot, config_names, roots_for, segments_of
from backbonekit.recipe.defaults_list import compose_layers
from backbonekit.recipe.experiment import AUTO, UNDECIDED, Augmentation, Experiment
from backbonekit.recipe.experiment_layers import ExperimentLayers
from backbonekit.recipe.experiment_sections import read_augmentation, read_data, read_optimisation, read_trainer
from backbonekit.recipe.forbidden import interpolations, without_forbidden
from backbonekit.recipe.guard import plain_mapping, read_yaml_file
from backbonekit.recipe.interpolate import interpolated
from backbonekit.recipe.overrides import parse_overrides
from backbonekit.recipe.part_options import takes_classes
from backbonekit.recipe.recipe import Recipe
from backbonekit.recipe.validate import validated

_OF_DATA = ("data", "augmentation")


def compose_experiment(
    experiment: str | Path | Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    *,
    model: str | Path | Mapping[str, Any] | Recipe | None = None,
    config_dir: str | Path | None = None,
) -> Experiment:
    """An experiment from the name of one that ships or lies in `config_dir`, a YAML file, a mapping, or nothing.

    `model`: the recipe in place of the experiment's, as `compose_recipe` takes it. `overrides`: those of a command
    line, of the recipe and of the sections: `["backbone=swin_tiny", "data=coco", "data.root=photos",
    "optimisation.lr=1e-3"]`. Where neither the experiment nor an override sets the number of classes, the data does.
    Raises RecipeError with every fault, before torch is imported.
    """
    layers = _laid(experiment, config_dir)
    if model is not None:
        layers.start_model(model)
    edits, unread = parse_overrides(overrides)
    layers.faults += unread
    layers.apply(edits)
    if not isinstance(experiment, Mapping):
        layers.sections, unresolved = interpolated(layers.sections)
        layers.faults += unresolved
        if not isinstance(model, Mapping | Recipe):
            layers.layering.model, unresolved = interpolated(layers.layering.model)
            layers.faults += unresolved
    return _validated(layers)


def check_sections(
    experiment: str | Path | Mapping[str, Any] | None, overrides: Sequence[str], *, config_dir: str | Path | None = None
) -> None:
    """Raises RecipeError with the faults of all sections but the recipe, for one that takes its time to be opened."""
    layers = _laid(experiment, config_dir)
    edits, unread = parse_overrides(overrides)
    layers.faults += unread
    layers.apply([edit for edit in edits if edit.path[0] in SECTIONS])
    if not isinstance(experiment, Mapping):
        layers.sections, unresolved = interpolated(layers.sections)
        layers.faults += unresolved
    faults = list(layers.faults)
    _read_sections(layers, faults)
    if faults:
        raise RecipeError(list(dict.fromkeys(faults)))


def compose_data(
    overrides: Sequence[str], *, config_dir: str | Path | None = None
) -> tuple[dict[str, Any] | None, Augmentation, list[str]]:
    """Data and augmentation alone, from overrides such as `["data=coco", "data.root=photos"]`, and those overrides that
    are of neither. Raises RecipeError with every fault."""
    edits, _ = parse_overrides(overrides)
    mine = [edit for edit in edits if edit.path[0] in _OF_DATA]
    others = [edit.text for edit in edits if edit.path[0] not in _OF_DATA]
    unread = [text for text in overrides if text not in [edit.text for edit in edits]]
    layers = ExperimentLayers(roots_for(config_dir))
    layers.faults += parse_overrides(unread)[1]
    layers.apply(mine)
    clean, refused = without_forbidden(layers.sections)
    faults = layers.faults + refused
    data, augmentation = read_data(clean.get("data"), faults), read_augmentation(clean.get("augmentation"), faults)
    if faults:
        raise RecipeError(list(dict.fromkeys(faults)))
    return data, augmentation, others


def experiment_from_mapping(mapping: Any, *, origin: str = "the experiment") -> Experiment:
    """An experiment in its flat form, from any source: the strict reader of what was saved or shared.

    Raises RecipeError with all faults; the recipe in it is read by the rules of `recipe_from_mapping`.
    """
    data = plain_mapping(mapping, origin=origin)
    if "defaults" in data:
        raise RecipeError("defaults: only YAML files have defaults; experiment=FILE.yaml composes a file with its own.")
    return compose_experiment(data)


def read_experiment_file(path: str | Path) -> Experiment:
    """A flat experiment in a YAML file, read behind the guard and checked as strictly. Raises RecipeError."""
    return experiment_from_mapping(read_yaml_file(path), origin=str(path))


def experiment_names(config_dir: str | Path | None = None) -> list[str]:
    """Every experiment that `experiment=` can name."""
    return config_names(roots_for(config_dir), EXPERIMENT)


def _located(experiment: str | Path, roots: tuple[ConfigRoot, ...]) -> tuple[str, tuple[ConfigRoot, ...]]:
    if isinstance(experiment, Path) or experiment.endswith(SUFFIXES):
        return located(Path(experiment), roots, EXPERIMENT)
    segments_of(experiment)
    return experiment, roots


def _laid(experiment: str | Path | Mapping[str, Any] | None, config_dir: str | Path | None) -> ExperimentLayers:
    roots = roots_for(config_dir)
    if isinstance(experiment, str | Path):
        name, roots = _located(experiment, roots)
        layers = ExperimentLayers(roots)
        for layer in compose_layers(name, roots, group=EXPERIMENT):
            layers.lay_file(layer)
        return layers
    layers = ExperimentLayers(roots)
    if experiment is not None:
        data = plain_mapping(experiment, origin="the experiment")
        layers.faults += interpolations(data)
        layers.lay(data)
    return layers


def _read_sections(layers: ExperimentLayers, faults: list[str]) -> tuple[Any, ...]:
    """Data, augmentation, optimisation and trainer; appends to `faults`."""
    sections, refused = without_forbidden(layers.sections)
    faults += refused
    data = read_data(sections.get("data"), faults)
    augmentation = read_augmentation(sections.get("augmentation"), faults)
    optimisation = read_optimisation(sections.get("optimisation"), faults)
    return data, augmentation, optimisation, read_trainer(sections.get("trainer"), optimisation, faults)


def _validated(layers: ExperimentLayers) -> Experiment:
    faults = list(layers.faults)
    data, augmentation, optimisation, trainer = _read_sections(layers, faults)
    recipe, is_open, notes = None, False, (*layers.notes, *layers.layering.notes)
    if layers.lacks_model:
        pass  # its own faults are listed
    elif not layers.layering.model:
        faults.insert(0, "no model: an experiment has a recipe. The fix: model=NAME.")
    else:
        model, is_open = _with_undecided_classes(layers.layering.model, given=layers.classes_given)
        try:
            recipe = validated(model, notes=tuple(layers.layering.notes))
        except RecipeError as error:
            faults.extend(error.faults)
    if faults or recipe is None or optimisation is None or trainer is None:
        raise RecipeError(list(dict.fromkeys(faults)))
    return Experiment(recipe, data, augmentation, optimisation, trainer, classes_from_data=is_open, notes=notes)


def _with_undecided_classes(model: dict[str, Any], *, given: bool) -> tuple[dict[str, Any], bool]:
    """The recipe with a stand-in for each number of classes that the data decides, and whether there is any."""
    found = False

    def opened(head: Any) -> Any:
        nonlocal found
        head = {"name": head} if isinstance(head, str) else head
        if not isinstance(head, dict) or not takes_classes(head.get("name")):
            return head
        if head.get("num_classes") != AUTO and given:
            return head
        found = True
        return {**head, "num_classes": UNDECIDED}

    model = {**model, "head": opened(model.get("head"))}
    if isinstance(model.get("heads"), dict):
        model["heads"] = {
            name: {**task, "head": opened(task.get("head"))} if isinstance(task, dict) else task
            for name, task in model["heads"].items()
        }
    return ({**model, "labels": None} if found else model), found
