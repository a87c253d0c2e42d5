"""The block `packed` of a saved recipe: which weights belong to it, and what wrote them."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from backbonekit.errors import StorageError, WeightsError
from backbonekit.version import VERSION
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
    """`weights`: the sha256 of every weight file. `versions`: of the packages that wrote them.

    `random`: what is as it was drawn, never loaded from a checkpoint nor trained: names of parameters, or `head.*` for
    a whole part, with the origin ("random, seed 0"). `is_trained`: False where that is everything.
    """

    weights: Mapping[str, str]
    versions: Mapping[str, str]
    random: Mapping[str, str] = field(default_factory=dict)
    is_trained: bool = True

    def to_yaml(self) -> str:
        """The block as YAML text, to stand after a recipe."""
        lines = [f"{KEY}:"]
        # JSON's texts are YAML's double-quoted ones.
        lines += [f"  {name}: {json.dumps(number)}" for name, number in self.versions.items()]
        if not self.is_trained:
            lines.append("  trained: false")
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


def manifest_of(folder: Path, weight_files: tuple[str, ...], random: Mapping[str, str], is_trained: bool) -> Manifest:
    """Of files that have just been written."""
    versions = {"backbonekit": VERSION, "torch": str(torch.__version__), "timm": version("timm")}
    return Manifest({name: sha256_of(folder / name) for name in weight_files}, versions, random, is_trained)


def read_manifest(block: Any, *, shown: str) -> Manifest:
    """From the plain data of the block. Raises StorageError for anything that is not one."""
    if not isinstance(block, Mapping) or not isinstance(block.get("weights"), Mapping):
        raise StorageError(f"{shown}: {KEY} must hold the versions and the weights' sha256.")
    known = (*_VERSIONS, "weights", "trained", "random")
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
    return Manifest(dict(weights), versions, dict(random), is_trained)


def _is_table_of_texts(data: Any) -> bool:
    if not isinstance(data, Mapping) or len(data) > _MAX_RANDOM:
        return False
    texts = [text for pair in data.items() for text in pair]
    return all(isinstance(text, str) and len(text) <= _MAX_TEXT and text.isprintable() for text in texts)
