"""The configuration of a whole model: the fields of its `config.json`, read by the dialect of its checkpoints."""

from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.backbones.hf.model_types import family
from backbonekit.contract.features import Level, octave
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.heads.shared_checkpoint.converter import CheckpointConverter
from backbonekit.heads.shared_checkpoint.fields import told_fields
from backbonekit.hf_models.backbone_choice import (
    BACKBONE_FIELDS,
    BackboneChoice,
    BackboneConfig,
    config_of_recipe,
    read_config,
    write_foreign,
)
from backbonekit.hf_models.class_labels import class_names
from backbonekit.hf_models.config_file import FILE, write_config
from backbonekit.hf_models.timm_config import TimmBackboneConfig
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.lookup import resolve
from backbonekit.weights.repository import open_repository

Config = TypeVar("Config", bound="ModelConfig")
_LABELS = ("num_labels", "id2label", "label2id")
# Stands in where a backbone is known by name alone and the dialect knows no default.
_STAND_IN = {"dpt": {"model_type": "dinov2", "out_indices": [3, 6, 9, 12]}}
_DEFAULT_TIMM = {"detr": "resnet50", "deformable_detr": "resnet50"}
# Maps that a model reads where nobody chose any and its dialect wants to be told.
_STRIDES = {"deformable_detr": (8, 16, 32)}


class ModelConfig:
    """What a model is made of. Constructing it reads no file and no network.

    `fields`: those of transformers' class, by name; what is left out has its default, and can be asked for as an
    attribute. The backbone is one of: `backbone_config`, a configuration of ours or a mapping with a `model_type`;
    `backbone`, the name of a Hub repository or a folder, or with `use_timm_backbone` of a timm architecture, whose
    published weights `use_pretrained_backbone` takes; neither, then transformers' default. Maps that nobody chose are
    those that the model needs. `backbone_kwargs`: `out_indices` or `out_features`, `num_channels`, and arguments of
    the backbone beside `backbone`. Classes: `num_labels`, `id2label` or `label2id`.

    Raises RecipeError (a ValueError) for unknown fields and values, ContractError (a ValueError) for two ways to say
    one thing.
    """

    model_type: ClassVar[str]
    architecture: ClassVar[str]

    backbone_config: BackboneConfig | None
    backbone: str | None
    use_timm_backbone: bool
    use_pretrained_backbone: bool
    backbone_kwargs: dict[str, Any]
    id2label: dict[int, str]

    def __init__(self, **fields: Any) -> None:
        backbone = fields.pop("backbone", None)
        own: dict[str, Any] = {
            "backbone_config": read_config(fields.pop("backbone_config", None)),
            "backbone": None if backbone is None else str(backbone),
            "use_timm_backbone": bool(fields.pop("use_timm_backbone", None)),
            "use_pretrained_backbone": bool(fields.pop("use_pretrained_backbone", None)),
            "backbone_kwargs": dict(fields.pop("backbone_kwargs", None) or {}),
            "id2label": class_names(*(fields.pop(name, None) for name in _LABELS)),
        }
        if backbone is None and own["backbone_config"] is None and own["use_timm_backbone"]:
            own["backbone"] = _DEFAULT_TIMM.get(self.model_type)
        for name, value in {**own, **fields}.items():
            object.__setattr__(self, name, value)
        self._choice.check()
        self.recipe()  # what is wrong is told here, not when the model is built

    def __getattr__(self, name: str) -> Any:
        defaults = {} if name.startswith("_") else _defaults(self.architecture)
        if name not in defaults:
            raise AttributeError(f"{type(self).__name__} has no field {name!r}; {nearest(name, defaults)}")
        return defaults[name]

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "backbone_config":
            value = read_config(value)
        elif name in ("num_labels", "label2id"):
            name, value = "id2label", class_names(**{**dict.fromkeys(_LABELS), name: value})
        elif not (name in vars(self) or name in _defaults(self.architecture)):
            raise RecipeError(f"{type(self).__name__} has no field {name!r}; {nearest(name, self._known())}")
        object.__setattr__(self, name, value)

    @property
    def num_labels(self) -> int:
        """How many classes; "no object" is none of them."""
        return len(self.id2label)

    @property
    def label2id(self) -> dict[str, int]:
        return {name: number for number, name in self.id2label.items()}

    @property
    def freezes_norms(self) -> bool:
        """Whether a backbone of timm is told to (`freeze_batch_norm_2d`)."""
        own = self._choice.own()
        return isinstance(own, TimmBackboneConfig) and own.freeze_batch_norm_2d

    @classmethod
    def converter(cls) -> CheckpointConverter:
        """What reads such a `config.json`."""
        return resolve("checkpoint", cls.architecture)

    def recipe(self) -> Recipe:
        """What is built."""
        choice = self._choice
        own = choice.own()
        nested = write_foreign(own)
        if own is None and choice.name is not None:
            nested = _STAND_IN.get(self.model_type)
        elif own is not None and not own.indices_were_set and self.model_type in _STRIDES:
            nested = {**(nested or {}), "out_indices": _maps_of(own, _STRIDES[self.model_type])}
        said = {**self._rest(), "backbone_config": nested, "id2label": self._numbered_names()}
        if isinstance(own, TimmBackboneConfig) and self._rest().get("dilation") is True:
            nested = said["backbone_config"] = {**(nested or {}), "output_stride": 16}
        try:
            mapping = self.converter().recipe({"model_type": self.model_type, **said})
        except RecipeError as error:
            name = type(self).__name__
            raise RecipeError(
                [f"{name}: {fault.partition('config.json: ')[2] or fault}" for fault in error.faults]
            ) from None
        mapping["backbone"] = choice.apply(mapping["backbone"])
        return recipe_from_mapping(plain_data(mapping), origin=type(self).__name__)

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`."""
        return plain_data(
            {
                "model_type": self.model_type,
                "architectures": [self.architecture],
                **self._rest(),
                **{name: vars(self)[name] for name in BACKBONE_FIELDS},
                "backbone_config": write_foreign(self.backbone_config),
                "id2label": self._numbered_names(),
            }
        )

    @classmethod
    def from_dict(cls: type[Config], fields: Mapping[str, Any]) -> Config:
        """From the content of a `config.json`; what says nothing about the model is passed over. Raises RecipeError for
        that of another model."""
        if fields.get("model_type", cls.model_type) != cls.model_type:
            raise RecipeError(f"{cls.__name__}: this is the config.json of a {str(fields['model_type'])[:60]!r}.")
        known = {name: value for name, value in fields.items() if value is not None}
        if "backbone_config" in known:  # the others say what it was made of
            known = {name: value for name, value in known.items() if name not in BACKBONE_FIELDS[1:]}
        if "id2label" in known:
            known = {name: value for name, value in known.items() if name not in ("label2id", "num_labels")}
        passed_over = GENERIC_FIELDS - set(_LABELS)
        return cls(**{name: value for name, value in known.items() if name not in passed_over})

    @classmethod
    def from_pretrained(cls: type[Config], name_or_folder: str | Path, *, revision: str | None = None) -> Config:
        """From the `config.json` of a Hub repository, the local cache or a folder."""
        return cls.from_dict(open_repository(name_or_folder, revision=revision).json(FILE))

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` into a folder, which is made if needed."""
        write_config(self.to_dict(), folder)

    def of_built(self, recipe: Recipe) -> dict[str, Any]:
        """The content of the `config.json` of a model that was built from this: the backbone said in full, `recipe`
        being the model's own."""
        backbone = write_foreign(config_of_recipe(recipe.backbone, freezes_norms=self.freezes_norms))
        left_out = {name: value for name, value in self.to_dict().items() if name not in BACKBONE_FIELDS}
        return {**left_out, "backbone_config": backbone}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        written = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items() if value not in (None, {}))
        return f"{type(self).__name__}({written})"

    @property
    def _choice(self) -> BackboneChoice:
        return BackboneChoice(
            self.backbone_config,
            self.backbone,
            self.use_timm_backbone,
            self.use_pretrained_backbone,
            self.backbone_kwargs,
        )

    def _rest(self) -> dict[str, Any]:
        """The fields that were given, without those of the backbone and of the classes."""
        return {name: value for name, value in vars(self).items() if name not in (*BACKBONE_FIELDS, *_LABELS)}

    def _numbered_names(self) -> dict[str, str]:
        return {str(number): name for number, name in self.id2label.items()}

    @classmethod
    def _known(cls) -> list[str]:
        return [*_defaults(cls.architecture), *BACKBONE_FIELDS, *_LABELS]


@cache
def _defaults(architecture: str) -> dict[str, Any]:
    """The fields that the dialect reads, and what they are where a file says nothing."""
    # A DPT must say its backbone; its other fields are read all the same.
    with told_fields() as told, suppress(RecipeError, ContractError):
        resolve("checkpoint", architecture).recipe({})
    return {name: default for name, default in told.items() if name not in BACKBONE_FIELDS}


def _maps_of(config: BackboneConfig, strides: tuple[int, ...]) -> list[int]:
    """The last map of each stride; of a backbone that lacks one, its last map alone."""
    levels: tuple[Level, ...]
    if isinstance(config, TimmBackboneConfig):
        levels = tuple(config.blueprint().levels)
    else:
        levels = tuple(family(config.model_type).levels(config))
    by_octave = {octave(level.stride): index for index, level in enumerate(levels)}
    found = [by_octave.get(octave(stride)) for stride in strides]
    return [len(levels) - 1] if None in found else [index for index in found if index is not None]
