"""Base class of blueprints read from a `config.json`: where weights and preprocessing are, and whether they fit."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from backbonekit.backbones.backbone import select_built
from backbonekit.backbones.pretrained import locate, with_channels
from backbonekit.contract.features import Level
from backbonekit.contract.image_sizes import ANY_SIZE, ImageSizes
from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, read_processing
from backbonekit.weights.checkpoint import Checkpoint, open_checkpoint
from backbonekit.weights.repository import Repository, open_repository
from backbonekit.weights.untrusted_files import user_path

CONFIG = "config.json"


class DescribedBlueprint(ABC):
    """A blueprint of a backbone that a `config.json` describes.

    `identifier`: a Hub id or a folder, where the recipe names one. `repository`: where the configuration was read from;
    the weights are then read from the same commit. `levels`: every map, in network order. `forbidden`: positions that
    have a stage name but no feature map.
    """

    levels: tuple[Level, ...]
    forbidden: frozenset[int]

    def __init__(
        self, identifier: str | None, model_type: str, in_channels: int, repository: Repository | None
    ) -> None:
        self.name = identifier or model_type
        self.notes: tuple[str, ...] = ()
        self.described_as: dict[str, Any] = {}
        self.model_type = model_type
        self.in_channels = in_channels
        self.repository = repository
        self._identifier = identifier

    @property
    def processing(self) -> Processing:
        """From `preprocessor_config.json` of the repository where one was opened or is a local folder."""
        return with_channels(self._processing, self.in_channels)

    @property
    def default_indices(self) -> tuple[int, ...]:
        return (len(self.levels) - 1,)

    def image_sizes(self, out_indices: Sequence[int]) -> ImageSizes:
        """Any size, unless an architecture says otherwise."""
        return ANY_SIZE

    @property
    def _processing(self) -> Processing:
        repository = self.repository
        if repository is None and self._identifier is not None and user_path(self._identifier).is_dir():
            repository = open_repository(self._identifier)
        if repository is None or not repository.has(PREPROCESSOR_CONFIG):
            return self._usual_processing
        shown = f"{repository.origin}: {PREPROCESSOR_CONFIG}"
        return read_processing(repository.json(PREPROCESSOR_CONFIG), shown=shown)

    @property
    @abstractmethod
    def _usual_processing(self) -> Processing: ...

    @property
    @abstractmethod
    def _builder(self) -> str:
        """The start of the call that builds it, for messages."""

    @abstractmethod
    def _described(self, repository: Repository) -> dict[str, Any]:
        """The backbone's own configuration in the `config.json` of a repository."""

    @abstractmethod
    def _differences(self, stored: dict[str, Any]) -> list[str]:
        """Fields in which a configuration of this model_type describes another architecture."""

    def _stored(self, pretrained: bool | str, revision: str | None) -> Checkpoint:
        """The weights as stored. Raises RecipeError where their `config.json` describes another architecture."""
        own = self.repository if pretrained is True else None
        where = own or locate(pretrained, revision, self._identifier)
        if isinstance(where, Repository):
            if where.has(CONFIG):
                self._compare(where)
            if pretrained is True:
                self.repository = where
        return open_checkpoint(where)

    def _positions(self, out_indices: Sequence[int]) -> tuple[int, ...]:
        return select_built(
            out_indices,
            self.levels,
            built=len(self.levels),
            forbidden=self.forbidden,
            name=self.name,
            builder=self._builder,
        )

    def _compare(self, repository: Repository) -> None:
        stored = self._described(repository)
        if stored.get("model_type") != self.model_type:
            raise RecipeError(
                f"backbone.config is of model_type {self.model_type}, the weights at {repository.origin} of"
                f" {stored.get('model_type')}. Leave config out to take theirs."
            )
        differences = self._differences(stored)
        if differences:
            raise RecipeError(
                f"backbone.config and the config.json of the weights at {repository.origin} differ in"
                f" {'; '.join(differences)}. Leave config out to take theirs, or pretrained to start at random."
            )


def own_names(checkpoint: Checkpoint) -> Checkpoint | None:
    """The checkpoint, unchanged, where it was saved from a module of this library, else None."""
    for prefix in ("", "backbone."):
        if any(key.startswith(f"{prefix}body.") for key in checkpoint.tensors):
            return checkpoint.under(prefix)
    return None
