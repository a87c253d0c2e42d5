"""The configuration of a whole model: the fields of its `config.json`, and how its backbone is named."""

import copy
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields as dataclass_fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.backbones.hf.model_types import family
from backbonekit.contract.features import Level, octave
from backbonekit.contract.labels import gaps_note
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.heads.shared_checkpoint.converter import CheckpointConverter
from backbonekit.heads.shared_checkpoint.fields import BACKBONE_FIELDS, ModelFields
from backbonekit.hf_models.backbone_choice import (
    BackboneChoice,
    BackboneConfig,
    config_of_recipe,
    read_config,
    written_backbone_config,
)
from backbonekit.hf_models.built_config import BuiltConfig
from backbonekit.hf_models.common_fields import SECOND_NAMES, CommonFields, readable_common_fields
from backbonekit.hf_models.config_file import FILE, refuses_unknown_fields
from backbonekit.hf_models.config_methods import ConfigMethods
from backbonekit.hf_models.id2label import class_names
from backbonekit.hf_models.timm_config import TimmBackboneConfig
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.lookup import resolve

Config = TypeVar("Config", bound="ModelConfig")
ConfigClass = TypeVar("ConfigClass", bound="type[ModelConfig]")
_RGB = 3
_LABELS = ("num_labels", "id2label", "label2id")


def model_config(cls: ConfigClass) -> ConfigClass:
    """Class decorator of the configuration of a model: unknown fields are refused by name."""
    return refuses_unknown_fields(
        second_names={**SECOND_NAMES, **cls.second_names},
        ignored={"model_type", *cls.ignored},
        kept=GENERIC_FIELDS - {"model_type"},
    )(cls)


@dataclass(kw_only=True, eq=False, repr=False)
class ModelConfig(BuiltConfig, ModelFields, ConfigMethods, CommonFields):
    """What a model is made of. Constructing it reads no file and no network.

    The backbone is one of: `backbone_config`, a configuration of ours or a mapping with a `model_type`; `backbone`, the
    name of a Hub repository or a folder, or with `use_timm_backbone` of a timm architecture, whose published weights
    `use_pretrained_backbone` takes; neither, then transformers' default. Maps that are not chosen are those that the
    model needs. `backbone_kwargs`: `out_indices` or `out_features`, `num_channels`, and arguments of the backbone
    beside `backbone`. Classes: `num_labels`, `id2label` or `label2id`. For the fields that every model has see
    `CommonFields`; `others` are those of transformers that say nothing about this model, kept as they were given.

    `id2label` is kept exactly as it was given.

    After a model was built from it, names of the same number of classes may change, and the model follows; a change of
    what decided the model is a ContractError. Without a backbone `backbone_config` is transformers' default, and its
    fields can be set.

    Class attributes: `model_type`, `architecture`: as a `config.json` has them. `default_timm`: the architecture of
    timm without a name. `stand_in`: a backbone's description, used for one that is only named.
    `default_strides`: of the maps that are read where none are chosen, for a converter that requires them.
    `norms_each_map`: a Swin has a norm for each map, as in MaskFormer. `notes`: which words of a `config.json` were
    ignored, where it was read from one; the weight report repeats them.

    Raises RecipeError (a ValueError) for unknown fields and values, ContractError (a ValueError) for two ways to say
    one thing.
    """

    model_type: ClassVar[str]
    architecture: ClassVar[str]
    default_timm: ClassVar[str | None] = None
    stand_in: ClassVar[Mapping[str, Any] | None] = None
    default_strides: ClassVar[tuple[int, ...] | None] = None
    norms_each_map: ClassVar[bool] = False
    notes: ClassVar[tuple[str, ...]] = ()
    _is_complete: ClassVar[bool] = False
    _default_backbone: ClassVar[Any] = None  # of an object: its backbone_config, if none was given

    backbone_config: BackboneConfig | Mapping[str, Any] | None = None
    backbone: str | Path | None = None
    use_timm_backbone: bool | None = False
    use_pretrained_backbone: bool | None = False
    backbone_kwargs: Mapping[str, Any] | None = None
    num_labels: int | None = None
    id2label: Mapping[Any, Any] | None = None
    label2id: Mapping[Any, Any] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "others", {})
        self.backbone = None if self.backbone is None else str(self.backbone)
        self.use_timm_backbone = bool(self.use_timm_backbone)
        self.use_pretrained_backbone = bool(self.use_pretrained_backbone)
        self.backbone_kwargs = dict(self.backbone_kwargs or {})
        if self.backbone is None and self.backbone_config is None and self.use_timm_backbone:
            self.backbone = self.default_timm
        self._set_labels(class_names(self.num_labels, self.id2label, self.label2id))
        self.architectures = [self.architecture] if self.architectures is None else self.architectures
        faults = self.common_faults()
        if faults:
            raise RecipeError(faults)
        object.__setattr__(self, "_is_complete", True)
        self._choice.check()
        recipe = self.recipe()  # faults are raised here, not when the model is built
        if self.backbone is None and self.backbone_config is None:
            self._set_default_backbone(recipe)

    def _set_default_backbone(self, recipe: Recipe) -> None:
        """The configuration that `recipe`, made without one, has; None where none says the same."""
        for maps_were_chosen in (False, True):
            own = config_of_recipe(recipe.backbone, freezes_norms=False, maps_were_chosen=maps_were_chosen)
            object.__setattr__(self, "backbone_config", own)
            object.__setattr__(self, "_default_backbone", own)
            with suppress(RecipeError):  # some models need maps to be chosen
                if self.recipe() == recipe:
                    return
        object.__setattr__(self, "backbone_config", None)
        object.__setattr__(self, "_default_backbone", None)

    def __getattr__(self, name: str) -> Any:
        known = [item.name for item in dataclass_fields(self)]
        second_names = {**SECOND_NAMES, **self.second_names}
        if name in second_names:
            return getattr(self, second_names[name])
        if not name.startswith("_") and name in vars(self).get("others", {}):
            return self.others[name]
        raise AttributeError(f"{type(self).__name__} has no field {name!r}; {nearest(name, known)}")

    def __setattr__(self, name: str, value: Any) -> None:
        name = {**SECOND_NAMES, **self.second_names}.get(name, name)
        known = [item.name for item in dataclass_fields(self)]
        if name not in known and name in self.others:
            self.others[name] = value
            return
        if name not in known:
            raise RecipeError(f"{type(self).__name__} has no field {name!r}; {nearest(name, known)}")
        if name == "backbone_config":
            value = read_config(value)
        if self._is_complete:
            value = self.checked_common(name, value)
        if name in _LABELS and self._is_complete:
            self._rename(name, value)
            return
        before = dict(vars(self))
        is_default = self._is_complete and self.backbone_config is self._default_backbone
        if is_default and name in BACKBONE_FIELDS[1:] and value:
            object.__setattr__(self, "backbone_config", None)  # another one is named now
        object.__setattr__(self, name, value)
        if self._models and not self._describes_its_models():
            vars(self).update(before)
            raise self.refusal(name, value)

    def _decisive(self) -> Any:
        return {**self.recipe().to_dict(), "labels": self.num_labels, "freezes_norms": self.freezes_norms}

    def _describes_its_models(self) -> bool:
        try:
            return self._decisive() == self._built
        except (RecipeError, ContractError):
            return False

    def attach(self, model: Any) -> None:
        """From now on this is the configuration of `model`, and so is its backbone's."""
        super().attach(model)
        if self._own_config is not None:
            self._own_config.attach(model)

    def _rename(self, field: str, value: Any) -> None:
        """Other classes, by one of the three fields that say which; models that were built follow their names."""
        if field == "num_labels" and value == self.num_labels:
            return
        names = class_names(**{**dict.fromkeys(_LABELS), field: value})
        if self._models and len(names) != self.num_labels:
            raise self.refusal(field, value)
        self._set_labels(names)
        for model in self._models:
            model.follow_labels()

    def _set_labels(self, names: dict[int, Any]) -> None:
        object.__setattr__(self, "id2label", names)
        object.__setattr__(self, "num_labels", len(names))
        object.__setattr__(self, "label2id", {name: number for number, name in names.items()})

    @property
    def freezes_norms(self) -> bool:
        """Whether a backbone of timm does so (`freeze_batch_norm_2d`)."""
        own = self._choice.own()
        return isinstance(own, TimmBackboneConfig) and own.freeze_batch_norm_2d

    @classmethod
    def converter(cls) -> CheckpointConverter:
        """What reads such a `config.json`."""
        return resolve("checkpoint", cls.architecture)

    def recipe(self) -> Recipe:
        """What is built."""
        self._check_channels()
        choice = self._choice
        own = choice.own()
        nested = written_backbone_config(own, norms_each_map=self.norms_each_map)
        if own is None and choice.name is not None:
            nested = None if self.stand_in is None else dict(self.stand_in)
        elif own is not None and not own.indices_were_set and self.default_strides is not None:
            nested = {**(nested or {}), "out_indices": _maps_of(own, self.default_strides)}
        described = {**self._rest(), "backbone_config": nested, "id2label": self._numbered_names()}
        if isinstance(own, TimmBackboneConfig) and self._rest().get("dilation") is True:
            nested = described["backbone_config"] = {**(nested or {}), "output_stride": 16}
        try:
            mapping = self.converter().recipe({"model_type": self.model_type, **described})
        except RecipeError as error:
            name = type(self).__name__
            raise RecipeError(
                [f"{name}: {fault.partition('config.json: ')[2] or fault}" for fault in error.faults]
            ) from None
        mapping["backbone"] = choice.apply(mapping["backbone"])
        if own is None and choice.name is not None:
            self._fit_named_backbone(mapping)
        recipe = recipe_from_mapping(plain_data(mapping), origin=type(self).__name__)
        note = gaps_note(self.id2label or {})
        gaps = () if note is None else (note,)
        return replace(recipe, notes=(*recipe.notes, *self.notes, *self._nested_notes(own), *gaps))

    def _nested_notes(self, backbone: BackboneConfig | None) -> tuple[str, ...]:
        """Of the mappings inside it and of its backbone's configuration."""
        return (*self.converter().notes(self._rest()), *(() if backbone is None else backbone.notes))

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`, every field written out."""
        return {**self.common_values(), **self._written()}

    def to_diff_dict(self) -> dict[str, Any]:
        """What `save_pretrained` writes: without the fields of every model that are as by default."""
        return {**self.common_values(only_set=True), **self._written()}

    def _written(self) -> dict[str, Any]:
        return plain_data(
            {
                "model_type": self.model_type,
                "architectures": [self.architecture],
                **self._rest(),
                **self.others,
                **{name: vars(self)[name] for name in BACKBONE_FIELDS},
                "backbone_config": written_backbone_config(self._own_config, norms_each_map=self.norms_each_map),
                "id2label": self._numbered_names(),
            }
        )

    @classmethod
    def from_dict(cls: type[Config], fields: Mapping[str, Any], **changes: Any) -> Config:
        """From the content of a `config.json`; generic fields are passed over, and words that nobody reads are listed
        in `notes`. `changes`: fields to set otherwise. Raises RecipeError for the file of another model, and for an
        unknown change."""
        if fields.get("model_type", cls.model_type) != cls.model_type:
            raise RecipeError(f"{cls.__name__}: this is the config.json of a {str(fields['model_type'])[:60]!r}.")
        known = {name: value for name, value in fields.items() if value is not None}
        if "backbone_config" in known:  # the others say what it was made of
            known = {name: value for name, value in known.items() if name not in BACKBONE_FIELDS[1:]}
        if "id2label" in known:
            known = {name: value for name, value in known.items() if name not in ("label2id", "num_labels")}
        passed_over = (
            GENERIC_FIELDS - {item.name for item in dataclass_fields(cls)} | CommonFields.__dataclass_fields__.keys()
        )
        passed_over = {*passed_over, *cls.unknown_words(fields)}
        given = {name: value for name, value in known.items() if name not in passed_over}
        config = cls(**{**given, **readable_common_fields(fields), **changes})
        object.__setattr__(config, "notes", cls.notes_on(fields, FILE))
        return config

    def changed(self: Config, **changes: Any) -> Config:
        """The same object without changes, else a copy with other values. Raises RecipeError for an unknown field."""
        if not changes:
            return self
        made = copy.deepcopy(self)
        made.update(changes)
        made.recipe()  # faults are raised here
        return made

    def of_built(self, recipe: Recipe) -> dict[str, Any]:
        """The content of the `config.json` of a model that was built from this: the backbone written in full, `recipe`
        being the model's own."""
        own = config_of_recipe(recipe.backbone, freezes_norms=self.freezes_norms)
        backbone = written_backbone_config(own, norms_each_map=self.norms_each_map)
        left_out = {name: value for name, value in self.to_diff_dict().items() if name not in BACKBONE_FIELDS}
        return {**left_out, "backbone_config": backbone}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ModelConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        written = ", ".join(
            f"{name}={value!r}" for name, value in self.to_diff_dict().items() if value not in (None, {})
        )
        return f"{type(self).__name__}({written})"

    @classmethod
    def from_recipe(cls: type[Config], recipe: Recipe, *, origin: str) -> Config:
        """Of a model that was saved as a recipe. Raises ContractError where the class does not read recipes."""
        raise ContractError(f"{origin} was saved as a recipe, which has no {FILE}. The fix: load_model opens it.")

    def _fit_named_backbone(self, mapping: dict[str, Any]) -> None:
        """Changes a recipe whose backbone is known by name alone. A class overrides it where options depend on it."""

    @property
    def _own_config(self) -> BackboneConfig | None:
        assert not isinstance(self.backbone_config, Mapping)  # read when it was set
        return self.backbone_config

    @property
    def _choice(self) -> BackboneChoice:
        return BackboneChoice(
            self._own_config,
            None if self.backbone is None else str(self.backbone),
            bool(self.use_timm_backbone),
            bool(self.use_pretrained_backbone),
            self._named_kwargs,
        )

    @property
    def _named_kwargs(self) -> dict[str, Any]:
        """Arguments beside `backbone`; `num_channels` of the images may stand in a field of its own."""
        kwargs = dict(self.backbone_kwargs or {})
        if self.backbone is not None and vars(self).get("num_channels", _RGB) != _RGB:
            kwargs.setdefault("num_channels", vars(self)["num_channels"])
        return kwargs

    def _check_channels(self) -> None:
        """Raises ContractError where the images have other channels than the backbone."""
        own, channels = self._own_config, vars(self).get("num_channels", _RGB)
        if own is None or channels == _RGB:
            return
        if own is self._default_backbone:
            own.num_channels = channels  # type: ignore[attr-defined]
        elif own.num_channels != channels:  # type: ignore[attr-defined]
            raise ContractError(
                f"num_channels={channels}, but backbone_config.num_channels={own.num_channels}. The fix: set it in the"  # type: ignore[attr-defined]
                " backbone_config."
            )

    def _rest(self) -> dict[str, Any]:
        """All fields without those of the backbone, of the classes and of every model."""
        apart = (*BACKBONE_FIELDS, *_LABELS, *CommonFields.__dataclass_fields__)
        return {item.name: getattr(self, item.name) for item in dataclass_fields(self) if item.name not in apart}

    def _numbered_names(self) -> dict[str, Any]:
        return {str(number): name for number, name in (self.id2label or {}).items()}


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
