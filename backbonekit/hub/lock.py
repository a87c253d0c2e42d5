"""The lock of a saved recipe: whether what is built from it now is, to the bytes, what was saved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from backbonekit.errors import RecipeError, StorageError
from backbonekit.hub.manifest import KEY, Manifest, installed_versions, recipe_digest
from backbonekit.hub.saved_model import RECIPE, is_weights, read_recipe
from backbonekit.recipe.guard import MAX_BYTES
from backbonekit.weights.base_weights import BaseWeights
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.untrusted_files import sha256_of, user_path
from backbonekit.weights.weight_report import WeightReport

# What another version may change in what a model computes.
_MAY_CHANGE = {
    "backbonekit": "parts may compute otherwise (CHANGELOG.md says what changed)",
    "torch": "kernels may add numbers in another order, which changes the last digits, and draw other random weights",
    "timm": "architectures and what they do by default may have changed",
}
_SHOWN = 12  # characters of a hash


@dataclass(frozen=True, slots=True)
class Lock:
    """`where`: the folder, file or repository. `manifest`: as it was saved. `has_weights`: whether the weights lie
    beside the recipe; of a recipe alone they are made again, from what they were made of."""

    where: str
    manifest: Manifest
    has_weights: bool

    def check_built(self, report: WeightReport) -> None:
        """Raises RecipeError where a part's weights, made again, started from something else. Weights that lie beside
        the recipe have their own sha256."""
        if self.has_weights:
            return
        faults = [fault for source in report.sources if source.parameters for fault in self._part(source.part, report)]
        _refuse(self.where, faults)

    def _part(self, part: str, report: WeightReport) -> list[str]:
        recorded, base = self.manifest.random.get(f"{part}.*"), self.manifest.bases.get(part)
        source = next(source for source in report.sources if source.part == part)
        if recorded is not None:
            fix = f" The fix: seed={recorded.rpartition(' ')[2]}." if source.origin.startswith("random") else ""
            return [] if source.origin == recorded else [f"{part}: was {recorded}, is {source.origin}.{fix}"]
        if base is None or base.is_trained:
            return [
                f"{part}: its weights were trained after it was built; they are in the saved folder, not in the recipe."
                " The fix: recipe=FOLDER, with the weights beside."
            ]
        return _base_faults(part, base, source.base)


def read_lock(where: str | Path, overrides: Sequence[str] = (), *, revision: str | None = None) -> Lock:
    """The lock of a saved folder, of its recipe alone, or of a Hub repository.

    Raises RecipeError with every difference that shows before anything is built: overrides, versions, the recipe
    itself, weight files that are missing, new or others. StorageError for what has no lock.
    """
    path = user_path(where)
    is_alone = path.suffix.lower() in (".yaml", ".yml") and path.is_file()
    repository = None if is_alone else open_repository(where, revision=revision)
    if repository is not None and not repository.has(RECIPE):
        raise StorageError(f"{repository.origin} has no {RECIPE}; only what backbonekit saved has a lock.")
    file = path if repository is None else repository.path(RECIPE, limit=MAX_BYTES)
    recipe, manifest = read_recipe(file, shown=str(where))
    if manifest is None:
        raise StorageError(f"{where} has no lock: the block `{KEY}` is written when a model is saved (save=FOLDER).")
    faults = [f"{text}: an override, which changes what was saved. The fix: leave it out." for text in overrides]
    faults += version_differences(manifest)
    if manifest.recipe is None:
        faults.append("the recipe has no hash of its own, from an older backbonekit. The fix: save the model again.")
    elif manifest.recipe != recipe_digest(recipe):
        faults.append(
            f"the recipe was changed after it was saved: its hash is {recipe_digest(recipe)[:_SHOWN]}..., recorded is "
            f"{manifest.recipe[:_SHOWN]}... `backbonekit diff` shows what differs from a copy."
        )
    if repository is not None:
        faults += _file_differences(manifest, repository)
    _refuse(str(where), faults)
    return Lock(str(where), manifest, has_weights=repository is not None)


def version_differences(manifest: Manifest) -> list[str]:
    """A message for each package whose installed version is another than the recorded one."""
    installed = installed_versions()
    return [
        f"{name}: recorded {recorded}, installed {installed[name]}; {_MAY_CHANGE[name]}. The fix: pip install "
        f"{name}=={recorded}."
        for name, recorded in manifest.versions.items()
        if installed[name] != recorded
    ]


def _file_differences(manifest: Manifest, repository: Repository) -> list[str]:
    faults = []
    for name, recorded in manifest.weights.items():
        if not repository.has(name):
            faults.append(f"{name}: missing. The fix: download or copy it again.")
            continue
        found = sha256_of(repository.path(name))
        if found != recorded:
            faults.append(
                f"{name}: its sha256 is {found[:_SHOWN]}..., recorded is {recorded[:_SHOWN]}...; other weights."
            )
    added = sorted(name for name in repository.files if is_weights(name) and name.endswith(".safetensors"))
    faults += [f"{name}: weights that the recipe does not list." for name in added if name not in manifest.weights]
    return faults


def _base_faults(part: str, recorded: BaseWeights, found: BaseWeights | None) -> list[str]:
    if found is None:
        return [f"{part}: was from {recorded.shown}, is not filled from a checkpoint."]
    faults = []
    if found.name != recorded.name:
        faults.append(f"{part}: was from {recorded.shown}, is from {found.shown}.")
    elif found.commit != recorded.commit:
        faults.append(
            f"{part}: was from commit {recorded.commit} of {recorded.name}, is from {found.commit}. The fix: "
            f"backbone.revision: {recorded.commit} in the recipe."
        )
    return faults + _digest_faults(part, recorded.digests(), found.digests())


def _digest_faults(part: str, recorded: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    faults = []
    for name in sorted({*recorded, *found}):
        before, now = recorded.get(name), found.get(name)
        if before != now:
            shown = [f"{digest[:_SHOWN]}..." if digest else "no such file" for digest in (before, now)]
            faults.append(f"{part}: the sha256 of {name} was {shown[0]}, is {shown[1]}.")
    return faults


def _refuse(where: str, faults: Sequence[str]) -> None:
    if faults:
        raise RecipeError([f"{where} would not be what was saved (locked=true): {faults[0]}", *faults[1:]])
