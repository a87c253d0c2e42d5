"""The block `packed` of a saved recipe: which weights belong to it, and what wrote them."""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from backbonekit.errors import StorageError, WeightsError
from backbonekit.version import VERSION
from backbonekit.weights.base_weights import BaseWeights
from backbonekit.weights.untrusted_files import sha256_of

KEY = "packed"

_VERSIONS = ("backbonekit", "torch", "timm")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE = re.compile(r"[A-Za-z0-9_][\w.\-]{0,200}\.safetensors", re.ASCII)
_MAX_FILES = 1_000
_MAX_RANDOM = 100_000  # names of parameters
_MAX_TEXT = 500
_MAX_THREADS = 4  # more wait for the disk, or for each other


@dataclass(frozen=True, slots=True)
class Manifest:
    """`weights`: the sha256 of every weight file. `versions`: of the packages that wrote them. `recipe`: the sha256 of
    the recipe, by `recipe_digest`; None in older ones. `bases`: what the weights of a part started from, by part.

    `random`: what is as it was drawn, never loaded from a checkpoint nor trained: names of parameters, or `head.*` for
    a whole part, with the origin ("random, seed 0"). `is_trained`: False where that is everything.
    """

    weights: Mapping[str, str]
    versions: Mapping[str, str]
    random: Mapping[str, str] = field(default_factory=dict)
    is_trained: bool = True
    recipe: str | None = None
    bases: Mapping[str, BaseWeights] = field(default_factory=dict)

    def to_yaml(self) -> str:
        """The block as YAML text, to stand after a recipe."""
        lines = [f"{KEY}:"]
        # JSON's texts are YAML's double-quoted ones.
        lines += [f"  {name}: {json.dumps(number)}" for name, number in self.versions.items()]
        if self.recipe is not None:
            lines.append(f"  recipe: {self.recipe}")
        if not self.is_trained:
            lines.append("  trained: false")
        if self.bases:
            lines += ["  sources:"] + [line for part, base in self.bases.items() for line in _base_lines(part, base)]
        if self.random:
            lines += ["  random:"] + [f"    {json.dumps(name)}: {json.dumps(how)}" for name, how in self.random.items()]
        lines += ["  weights:"] + [f"    {file}: {digest}" for file, digest in self.weights.items()]
        return "\n".join(lines) + "\n"

    def verification(self, files: Mapping[str, Path], *, origin: str) -> "Verification":
        """Compares the contents of these files with the weights that belong to the recipe, beside what the caller does
        next. Raises WeightsError at once where they are other files."""
        for name in sorted({*files, *self.weights}):
            if name not in self.weights:
                raise WeightsError(f"{origin}: the recipe does not list the weights {name!r}; they are not its own.")
            if name not in files:
                raise WeightsError(f"{origin}: the weights {name!r}, which its recipe lists, are missing.")
        return Verification([partial(self._verify, name, files[name], origin) for name in sorted(files)])

    def _verify(self, name: str, path: Path, origin: str) -> None:
        try:
            found = sha256_of(path)
        except OSError as error:
            raise StorageError(f"{origin}: {name} could not be read: {error.strerror}.") from error
        if found != self.weights[name]:
            raise WeightsError(
                f"{origin}: {name} is damaged or was exchanged: its sha256 is {found[:12]}..., in the recipe"
                f" {self.weights[name][:12]}... Download it again, or save the model again if you changed it."
            )


class Verification:
    """Checks of files that run in threads of their own; computing a hash holds no lock of Python's."""

    def __init__(self, checks: Sequence[Callable[[], None]] = ()) -> None:
        self._running: list[Future[None]] = []
        if checks:
            with_threads = ThreadPoolExecutor(min(len(checks), _MAX_THREADS), thread_name_prefix="sha256")
            self._running = [with_threads.submit(check) for check in checks]
            with_threads.shutdown(wait=False)  # it ends with its last check

    def finish(self) -> None:
        """Returns when every file has passed. Raises the error of the first that has not."""
        for check in self._running:
            check.result()

    @contextmanager
    def first(self) -> Iterator[None]:
        """Nothing leaves the block before every file has passed; an error inside is less than an exchanged file."""
        try:
            yield
        finally:
            self.finish()


def manifest_of(
    folder: Path,
    weight_files: tuple[str, ...],
    random: Mapping[str, str],
    is_trained: bool,
    recipe: str | None = None,
    bases: Mapping[str, BaseWeights] = MappingProxyType({}),
) -> Manifest:
    """Of files that have just been written."""
    weights = {name: sha256_of(folder / name) for name in weight_files}
    known = {part: replace(base, files=base.digests()) for part, base in bases.items()}
    return Manifest(weights, installed_versions(), random, is_trained, recipe, known)


def installed_versions() -> dict[str, str]:
    """Of the packages that decide what a recipe builds."""
    return {"backbonekit": VERSION, "torch": str(torch.__version__), "timm": version("timm")}


def recipe_digest(recipe: Mapping[str, Any]) -> str:
    """The sha256 of a recipe's values, as they stand in its file: comments and layout do not count."""
    text = json.dumps(recipe, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _base_lines(part: str, base: BaseWeights) -> list[str]:
    lines = [f"    {json.dumps(part)}:"]
    lines += [f"      from: {json.dumps(base.name)}"] if base.name else []
    lines += [f"      commit: {json.dumps(base.commit)}"] if base.commit else []
    lines += ["      trained: true"] if base.is_trained else []
    return [*lines, "      files:", *(f"        {json.dumps(file)}: {digest}" for file, digest in base.files.items())]


def read_manifest(block: Any, *, shown: str) -> Manifest:
    """From the plain data of the block. Raises StorageError for anything that is not one."""
    if not isinstance(block, Mapping) or not isinstance(block.get("weights"), Mapping):
        raise StorageError(f"{shown}: {KEY} must hold the versions and the weights' sha256.")
    known = (*_VERSIONS, "weights", "trained", "random", "recipe", "sources")
    unknown = [key for key in block if key not in known]
    if unknown:
        raise StorageError(f"{shown}: {KEY} holds {str(unknown[0])[:80]!r}; {', '.join(known)} are known.")
    versions = {key: value for key, value in block.items() if key in _VERSIONS}
    is_trained, random = block.get("trained", True), block.get("random", {})
    if not isinstance(is_trained, bool) or not _is_table_of_texts(random):
        raise StorageError(f"{shown}: {KEY} must hold `trained` as true or false, and `random` as texts by name.")
    weights = block["weights"]
    good_versions = all(
        isinstance(value, str) and len(value) < 100 and value.isprintable() for value in versions.values()
    )
    good_weights = len(weights) <= _MAX_FILES and all(
        isinstance(name, str) and _FILE.fullmatch(name) and isinstance(digest, str) and _SHA256.fullmatch(digest)
        for name, digest in weights.items()
    )
    if not good_versions or not good_weights:
        raise StorageError(f"{shown}: {KEY} must hold versions as text, and for each .safetensors file its sha256.")
    recipe = block.get("recipe")
    bases = _read_bases(block.get("sources", {}))
    if bases is None or not (recipe is None or (isinstance(recipe, str) and _SHA256.fullmatch(recipe))):
        raise StorageError(
            f"{shown}: {KEY} must hold `recipe` as a sha256, and `sources` as {{PART: {{from, commit, files}}}}."
        )
    return Manifest(dict(weights), versions, dict(random), is_trained, recipe, bases)


def _read_bases(block: Any) -> dict[str, BaseWeights] | None:
    """What the parts started from; None for anything that does not say so."""
    if not isinstance(block, Mapping) or len(block) > _MAX_FILES:
        return None
    bases = {}
    for part, entry in block.items():
        if not isinstance(entry, Mapping) or set(entry) - {"from", "commit", "trained", "files"}:
            return None
        files, is_trained = entry.get("files"), entry.get("trained", False)
        texts = [part, entry.get("from", ""), entry.get("commit", "")]
        if not isinstance(is_trained, bool) or not isinstance(files, Mapping) or len(files) > _MAX_FILES:
            return None
        texts += [*files, *files.values()]
        if not all(isinstance(text, str) and len(text) <= _MAX_TEXT and text.isprintable() for text in texts):
            return None
        bases[part] = BaseWeights(entry.get("from", ""), entry.get("commit"), dict(files), is_trained)
    return bases


def _is_table_of_texts(data: Any) -> bool:
    if not isinstance(data, Mapping) or len(data) > _MAX_RANDOM:
        return False
    texts = [text for pair in data.items() for text in pair]
    return all(isinstance(text, str) and len(text) <= _MAX_TEXT and text.isprintable() for text in texts)
