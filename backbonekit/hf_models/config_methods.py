"""Reading and writing that all configuration classes share, with transformers' names."""

import json
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from backbonekit.hf_models.config_file import FILE, write_config
from backbonekit.hf_models.hub_files import files_of
from backbonekit.postprocessing.writing import write_file
from backbonekit.weights.untrusted_files import read_json, user_path

Config = TypeVar("Config", bound="ConfigMethods")


class ConfigMethods:
    """Base of the configuration classes. `sub_configs`: configurations inside this one with classes of their own.
    `others`: fields that are kept as they were given and change nothing here."""

    others: dict[str, Any]
    sub_configs: ClassVar[Mapping[str, type]] = {}

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`, every field written out."""

    @abstractmethod
    def to_diff_dict(self) -> dict[str, Any]:
        """What `save_pretrained` writes: without the fields of every model that are as by default."""

    @classmethod
    @abstractmethod
    def from_dict(cls: type[Config], fields: Mapping[str, Any], **changes: Any) -> Config:
        """From the content of a `config.json`; `changes` are fields to set otherwise."""

    @classmethod
    def from_pretrained(
        cls: type[Config],
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        subfolder: str = "",
        **changes: Any,
    ) -> Config:
        """From the `config.json` of a Hub repository, the local cache or a folder. `changes`: fields to set otherwise.
        For the other options see `files_of`."""
        with files_of(
            pretrained_model_name_or_path,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            subfolder=subfolder,
        ) as repository:
            return cls.from_dict(repository.json(FILE), **changes)

    def to_json_string(self, use_diff: bool = True) -> str:
        """The content of `config.json` as text. `use_diff`: as `save_pretrained` writes it, else every field."""
        return json.dumps(self.to_diff_dict() if use_diff else self.to_dict(), indent=2, sort_keys=True) + "\n"

    def to_json_file(self, json_file_path: str | Path, use_diff: bool = True) -> None:
        """Writes a file of any name. `use_diff`: as for `to_json_string`. Raises StorageError."""
        write_file(user_path(json_file_path), self.to_json_string(use_diff).encode())

    @classmethod
    def from_json_file(cls: type[Config], json_file: str | Path) -> Config:
        """From a file of any name. Raises StorageError."""
        return cls.from_dict(read_json(user_path(json_file), shown=str(json_file)))

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Writes `config.json` into a folder, which is made if needed. Raises StorageError."""
        write_config(self.to_diff_dict(), save_directory, name=FILE)

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Sets each field of a mapping. Raises RecipeError for an unknown one; those before it are then set."""
        for name, value in config_dict.items():
            setattr(self, name, value)

    def get_text_config(self: Config) -> Config:
        """The configuration itself: there is none about text in it."""
        return self
