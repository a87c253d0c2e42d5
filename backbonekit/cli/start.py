"""The model that a command line names: by recipe=, by model=, or by its parts; checked before torch is imported."""

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import Arguments
from backbonekit.cli.values import value_faults
from backbonekit.contract.garbage import nothing_collected
from backbonekit.contract.progress import waiting
from backbonekit.errors import StorageError, nearest
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.config_roots import is_folder
from backbonekit.weights.hub_address import is_address, read_address
from backbonekit.weights.untrusted_files import user_path

if TYPE_CHECKING:
    from backbonekit.assembly.composed_model import ComposedModel
    from backbonekit.weights.weight_report import WeightReport

WAYS_TO_NAME_A_MODEL = (
    "Give model=NAME (`backbonekit list models` names what ships), recipe=FOLDER (or a file, or a Hub repository), or "
    "backbone=NAME with neck=NAME and head=NAME."
)
PUBLISHED_WEIGHTS = (
    "Published weights: backbone.pretrained=true for the backbone, recipe=OWNER/NAME for a whole model of the Hub."
)
_BACKBONE = re.compile(r"(?:model\.)?backbone(?:\.name)?=")
_PRETRAINED = re.compile(r"(?:model\.)?backbone\.pretrained=")
_WITH_NORM = ("hf", "timm")  # sources whose backbones have args.norm
_DEVICE = re.compile(r"(?:cpu|cuda|mps|xpu)(?::\d+)?")
_FILES_OF_A_MODEL = ("recipe.yaml", "config.json", "model.safetensors", "model.safetensors.index.json")
_SAID_FOR_CUDA = ("gpu", "nvidia", "0")


def names_a_model(arguments: Arguments) -> bool:
    """Whether one of the ways to name a model was used."""
    return arguments.model is not None or "recipe" in arguments.literals or _has_backbone(arguments)


def start_of(arguments: Arguments) -> str | Mapping[str, Any]:
    """What composing starts from where there is no recipe=: a recipe by name, or nothing but the parts given."""
    return {} if arguments.model is None else arguments.model


def published_overrides(arguments: Arguments) -> list[str]:
    """The overrides, with what features are taken with unless the command line says otherwise: published weights, and
    the norm that the architecture has before or behind its pooling."""
    given = arguments.overrides
    if "recipe" in arguments.literals:
        return given
    backbone = compose_recipe(start_of(arguments), given, config_dir=arguments.config_dir).backbone
    own = [] if any(map(_PRETRAINED.match, given)) else ["backbone.pretrained=true"]
    if backbone.source in _WITH_NORM and "norm" not in backbone.args:
        own.append("backbone.args.norm=embedding")
    return [*given, *own]


def names_onnx_file(arguments: Arguments) -> bool:
    """Whether recipe= is an exported file, which runs without a model being built."""
    return arguments.literals.get("recipe", "").lower().endswith(".onnx")


def start_faults(arguments: Arguments, *, verb: str, does: str) -> list[str]:
    """The first checks of a verb that works with one model: a model is named, nothing of `build` is there, and the
    arguments have values that they may have. `does`: what the verb does with its model."""
    faults = [] if names_a_model(arguments) else [f"no model. {WAYS_TO_NAME_A_MODEL}"]
    if arguments.multirun or arguments.cfg:
        faults.append(f"-m and --cfg belong to `build`; `{verb}` {does}.")
    return faults + literal_faults(arguments)


def literal_faults(arguments: Arguments, own: Collection[str] = ()) -> list[str]:
    """What is wrong with recipe=, device= and the arguments of `cli/values.py` but those in `own`, as far as it shows
    without torch and without a network."""
    literals = arguments.literals
    faults = value_faults(literals, own)
    device = literals.get("device", "cpu")
    if _DEVICE.fullmatch(device) is None:
        hint = "the first GPU is cuda." if device.lower() in _SAID_FOR_CUDA else "use cpu, cuda, cuda:1, mps or xpu."
        faults.append(f"device={device}: no device is called so; {hint}")
    if "recipe" in literals:
        faults += _recipe_faults(literals["recipe"], arguments.config_dir)
    if "weights" in literals and names_onnx_file(arguments):
        faults.append("weights= and an exported file do not go together: its weights are inside.")
    elif "weights" in literals:
        faults += _weights_faults(literals["weights"])
    return faults


def save_faults(literals: Mapping[str, str]) -> list[str]:
    """What is wrong with save= and overwrite=: a folder that holds a model keeps it unless overwrite=true says so."""
    overwrite, save = literals.get("overwrite", "false"), literals.get("save")
    if save is None:
        return []
    if not save:
        return ["save= needs a folder."]
    folder = user_path(save)
    held = [name for name in _FILES_OF_A_MODEL if (folder / name).is_file()] if is_folder(folder) else []
    if held and overwrite == "false":
        return [f"save={save}: holds a model already ({held[0]}). The fix: another folder, or overwrite=true."]
    return []


def _recipe_faults(given: str, config_dir: str | None) -> list[str]:
    """Faults of recipe= that no Hub repository can be meant by."""
    path = Path(given).expanduser()
    if is_address(given):
        return _address_faults("recipe", given)
    try:
        if path.is_dir():
            return []
        if path.is_file():
            if path.suffix.lower() in (".yaml", ".yml"):
                return []
            hint = f" The folder that it lies in is recipe={path.parent}." if path.suffix == ".safetensors" else ""
            if path.suffix.lower() == ".onnx":
                hint = " An exported file is run by `predict` alone."
            return [f"recipe={given}: is a file; a saved folder, a YAML file or a Hub repository is expected.{hint}"]
    except (OSError, ValueError):  # names that no file system takes
        return [f"recipe={given[:200]!r}: is no path and no Hub repository."]
    if given in model_names(config_dir):
        return [f"recipe={given}: there is no such folder; a recipe that ships is model={given}."]
    if not given or "/" not in given:
        return [f"recipe={given}: there is no such folder or file. {_beside(path)}"]
    return []


def _weights_faults(given: str) -> list[str]:
    """Faults of weights= that no Hub repository can be meant by."""
    if is_address(given):
        return _address_faults("weights", given)
    path = user_path(given)
    if path.is_dir() or (path.is_file() and path.suffix.lower() == ".safetensors"):
        return []
    if path.is_file():
        return [f"weights={given}: a .safetensors file is expected; `backbonekit convert` makes one of a pickle."]
    if not given or "/" not in given or given.startswith(("/", ".", "~")):
        return [f"weights={given}: there is no such folder or file. A repository of the Hub is written OWNER/NAME."]
    return []


def _address_faults(key: str, given: str) -> list[str]:
    try:
        read_address(given)
    except StorageError as error:
        return [f"{key}={error}"]
    return []


def _beside(path: Path) -> str:
    folders = [entry.name for entry in path.parent.iterdir() if entry.is_dir()] if path.parent.is_dir() else []
    found = nearest(path.name, folders) if folders else ""
    return found.capitalize() if found.startswith("did") else "A repository of the Hub is written recipe=OWNER/NAME."


@nothing_collected()
def start_model(arguments: Arguments, overrides: Sequence[str]) -> "ComposedModel":
    """The model of recipe= or model= or of the parts given, on the device of device=."""
    seed = int(arguments.literals.get("seed", "0"))
    if "weights" in arguments.literals:
        with waiting("opening the model"):
            model = _filled(arguments, overrides, seed)
    elif "recipe" in arguments.literals:
        where, revision = arguments.literals["recipe"], arguments.literals.get("revision")
        locked = arguments.literals.get("locked") == "true"
        with waiting("opening the model"):
            from backbonekit.assembly.load import load_model

            model = load_model(where, overrides, revision=revision, seed=seed, locked=locked)
    else:
        # The recipe is checked before torch is imported: a mistake is reported in under a second.
        recipe = compose_recipe(start_of(arguments), overrides, config_dir=arguments.config_dir)
        with waiting("building the model"):
            from backbonekit.assembly.build import build_composed

            model = build_composed(recipe, seed=seed)
    from backbonekit.assembly.inference import pick_device

    return model.to(pick_device(arguments.literals.get("device", "cpu")))


def _filled(arguments: Arguments, overrides: Sequence[str], seed: int) -> "ComposedModel":
    """The model with the weights of weights=, which must fit it as a whole."""
    where, revision = arguments.literals["weights"], arguments.literals.get("revision")
    if "recipe" in arguments.literals:
        from backbonekit.assembly.load import build_filled, compose_opened

        recipe = compose_opened(arguments.literals["recipe"], overrides, revision=revision)
        return build_filled(recipe, where, seed=seed)
    recipe = compose_recipe(start_of(arguments), overrides, config_dir=arguments.config_dir)
    from backbonekit.assembly.load import build_filled

    return build_filled(recipe, where, revision=revision, seed=seed)


def _has_backbone(arguments: Arguments) -> bool:
    return any(_BACKBONE.match(word) for word in arguments.overrides)


def weights_note(report: "WeightReport | None") -> str | None:
    """A model with random weights predicts too; the user should know that its predictions mean nothing."""
    if report is None or report.pretrained_share >= 1:
        return None
    if report.pretrained_share == 0:
        return f"all weights are random: train the model before you use its predictions. {PUBLISHED_WEIGHTS}"
    share = 1 - report.pretrained_share
    return f"{share:.1%} of the weights are random: train the model before you use its predictions."
