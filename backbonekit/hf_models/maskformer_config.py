"""`MaskFormerConfig`: the fields of transformers' `config.json`, and the four ways in which a backbone is named."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.dialects.maskformer import MASKFORMER
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.hf_models.auto_backbone import config_of
from backbonekit.hf_models.config_file import FILE, write_config
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.timm_config import TimmBackboneConfig
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.storage.repository import open_repository

BackboneConfig = BackboneConfigMixin | TimmBackboneConfig
_TIMM_PREFIXES = ("timm/", "hf-hub:timm/")
_UNNAMED = 2  # classes, what transformers has where nobody says how many


class MaskFormerConfig:
    """What a MaskFormer is made of. Constructing it reads no file and no network.

    The backbone is one of: `backbone_config`, a configuration of ours or a mapping with a `model_type`; `backbone`, the
    name of a Hub repository or a folder, or with `use_timm_backbone` of a timm architecture, whose published weights
    `use_pretrained_backbone` takes; neither, then transformers' default, a Swin-B. Maps that nobody chose are the four
    that the model needs; `out_indices` or `out_features` in `backbone_config` or `backbone_kwargs` are honoured.
    `backbone_kwargs`: these, `num_channels`, and arguments of the backbone beside `backbone`.

    `fpn_feature_size`, `mask_feature_size`: width of the pixel decoder and of its mask features. `decoder_config`: a
    mapping with DETR's fields: `num_queries`, `d_model`, `decoder_layers`, `decoder_attention_heads`,
    `decoder_ffn_dim`, `dropout`, ... `cross_entropy_weight`, `mask_weight`, `dice_weight`, `no_object_weight`: of the
    loss. `use_auxiliary_loss`: judge every decoder layer. `init_std`, `init_xavier_std`, `output_auxiliary_logits`:
    kept and without effect; weights start by the paper's rule, and auxiliary logits come out where they are computed.

    Raises RecipeError (a ValueError) for unknown fields and values, ContractError (a ValueError) for two ways to say
    one thing.
    """

    model_type = "maskformer"

    def __init__(
        self,
        *,
        backbone_config: BackboneConfig | Mapping[str, Any] | None = None,
        backbone: str | Path | None = None,
        use_timm_backbone: bool = False,
        use_pretrained_backbone: bool = False,
        backbone_kwargs: Mapping[str, Any] | None = None,
        num_labels: int | None = None,
        id2label: Mapping[Any, str] | None = None,
        label2id: Mapping[str, int] | None = None,
        fpn_feature_size: int = 256,
        mask_feature_size: int = 256,
        no_object_weight: float = 0.1,
        use_auxiliary_loss: bool = False,
        decoder_config: Mapping[str, Any] | None = None,
        dice_weight: float = 1.0,
        cross_entropy_weight: float = 1.0,
        mask_weight: float = 20.0,
        init_std: float = 0.02,
        init_xavier_std: float = 1.0,
        output_auxiliary_logits: bool | None = None,
        **others: Any,
    ) -> None:
        _refuse_unknown(others)
        self.backbone_config = _read_config(backbone_config)
        self.backbone = None if backbone is None else str(backbone)
        self.use_timm_backbone = use_timm_backbone
        self.use_pretrained_backbone = use_pretrained_backbone
        self.backbone_kwargs = dict(backbone_kwargs or {})
        self.id2label = _class_names(num_labels, id2label, label2id)
        self.fpn_feature_size = fpn_feature_size
        self.mask_feature_size = mask_feature_size
        self.no_object_weight = no_object_weight
        self.use_auxiliary_loss = use_auxiliary_loss
        self.decoder_config = dict(decoder_config or {})
        self.dice_weight = dice_weight
        self.cross_entropy_weight = cross_entropy_weight
        self.mask_weight = mask_weight
        self.init_std = init_std
        self.init_xavier_std = init_xavier_std
        self.output_auxiliary_logits = output_auxiliary_logits
        _check_backbone(self)
        self.recipe()  # what is wrong is told here, not when the model is built

    @property
    def num_labels(self) -> int:
        """How many classes, "no object" not counted."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        if value != len(self.id2label):
            self.id2label = _class_names(value, None, None)

    @property
    def label2id(self) -> dict[str, int]:
        return {name: number for number, name in self.id2label.items()}

    def recipe(self) -> Recipe:
        """What is built."""
        mapping = MASKFORMER.recipe({**self._decoded(), "backbone_config": _foreign(self._own_backbone())})
        own = self._own_backbone()
        if isinstance(own, TimmBackboneConfig):
            mapping["backbone"]["pretrained"] = own.use_pretrained_backbone
            mapping["backbone"]["revision"] = own.revision
            mapping["backbone"]["args"] |= dict(own.backbone_kwargs)
        elif own is None and self.backbone is not None:
            mapping["backbone"] = named = self._named_backbone()
            chosen = named["out_features"] if "out_features" in named else named["out_indices"]
            mapping["neck"]["deepest"] = 0 if chosen == "auto" else len(chosen)
        return recipe_from_mapping(plain_data(mapping), origin="MaskFormerConfig")

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`."""
        written: dict[str, Any] = {"model_type": self.model_type, "architectures": list(MASKFORMER.architectures)}
        for name in _FIELDS:
            if name not in ("num_labels", "label2id"):
                written[name] = getattr(self, name)
        own = self.backbone_config
        written["backbone_config"] = own if own is None else _foreign(own)
        return plain_data({**written, "id2label": {str(key): name for key, name in self.id2label.items()}})

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> "MaskFormerConfig":
        """From the content of a `config.json`; what says nothing about the model is passed over."""
        known = {name: value for name, value in fields.items() if name in _FIELDS}
        rest = {name: value for name, value in fields.items() if name not in known and name not in _PASSED_OVER}
        nested = known.get("backbone_config")
        if isinstance(nested, Mapping):
            if nested.get("model_type") == "swin":
                # transformers gives MaskFormer all four maps of a Swin, whatever its file says.
                nested = {key: value for key, value in nested.items() if key not in ("out_features", "out_indices")}
            known["backbone_config"] = nested
            known.pop("backbone", None)
            known.pop("use_timm_backbone", None)
            known.pop("use_pretrained_backbone", None)
            known.pop("backbone_kwargs", None)
        return cls(**{name: value for name, value in known.items() if value is not None}, **rest)

    @classmethod
    def from_pretrained(cls, name_or_folder: str | Path, *, revision: str | None = None) -> "MaskFormerConfig":
        """From the `config.json` of a Hub repository, the local cache or a folder."""
        return cls.from_dict(open_repository(name_or_folder, revision=revision).json(FILE))

    @classmethod
    def from_recipe(cls, recipe: Recipe) -> "MaskFormerConfig":
        """Of a model with this head: the configuration that gives the same recipe. Raises ContractError for others.

        An inserted pyramid is left out, since it is inserted again.
        """
        head = recipe.head
        decoder = next((part.options for part in recipe.neck if part.name == "fpn_pixel_decoder"), None)
        if head is None or head.name != "maskformer" or decoder is None:
            name = "none" if head is None else head.name
            raise ContractError(
                f"the model's head is {name}, and no MaskFormer on an fpn_pixel_decoder; load_model opens any model."
            )
        loss = {} if head.criterion is None else head.criterion.options
        count = {} if recipe.labels is not None else {"num_labels": head.options["num_classes"]}
        return cls(
            backbone_config=_config_of_recipe(recipe),
            id2label=None if recipe.labels is None else dict(enumerate(recipe.labels.names)),
            fpn_feature_size=decoder["channels"],
            mask_feature_size=decoder["mask_channels"],
            use_auxiliary_loss=head.options["auxiliary"] != "none",
            decoder_config={theirs: head.options[ours] for theirs, ours in _DECODER.items()},
            **{theirs: loss[ours] for theirs, ours in _LOSS.items() if ours in loss},
            **count,
        )

    def save_pretrained(self, folder: str | Path) -> None:
        """Writes `config.json` into a folder, which is made if needed."""
        write_config(self.to_dict(), folder)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, MaskFormerConfig) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        written = ", ".join(f"{name}={value!r}" for name, value in self.to_dict().items() if value not in (None, {}))
        return f"MaskFormerConfig({written})"

    def _decoded(self) -> dict[str, Any]:
        """The fields that the dialect reads, those of the backbone left out."""
        backbone = ("backbone", "backbone_config", "use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs")
        return {name: value for name, value in self.to_dict().items() if name not in backbone}

    def _own_backbone(self) -> BackboneConfig | None:
        """`backbone_config`, or a timm architecture that is named."""
        if self.backbone is None or not self._is_timm:
            return self.backbone_config
        kwargs = dict(self.backbone_kwargs)
        own = {key: kwargs.pop(key) for key in _TIMM_FIELDS & kwargs.keys()}
        nested = dict(own.pop("backbone_kwargs", {}))
        return TimmBackboneConfig(
            self.backbone,
            **{"use_pretrained_backbone": self.use_pretrained_backbone, **own},
            backbone_kwargs={**nested, **kwargs},
        )

    @property
    def _is_timm(self) -> bool:
        return self.use_timm_backbone or (self.backbone or "").startswith(_TIMM_PREFIXES)

    def _named_backbone(self) -> dict[str, Any]:
        """A Hub repository or folder: its `config.json` is read when the model is built."""
        kwargs = dict(self.backbone_kwargs)
        indices, features = kwargs.pop("out_indices", None), kwargs.pop("out_features", None)
        maps: dict[str, Any] = {"out_indices": "auto"}
        if features is not None:
            maps = {"out_features": list(features)}
        if indices is not None:
            maps = {"out_indices": [indices] if isinstance(indices, int) else list(indices)}
        return {
            "source": "hf",
            "name": self.backbone,
            "config": None,
            "pretrained": self.use_pretrained_backbone,
            "revision": kwargs.pop("revision", None),
            **maps,
            "in_channels": kwargs.pop("num_channels", 3),
            "args": kwargs,
        }


_FIELDS = tuple(
    name
    for name, parameter in inspect.signature(MaskFormerConfig).parameters.items()
    if parameter.kind is not inspect.Parameter.VAR_KEYWORD
)
# What a file may say besides: generic fields, and the second names of fields that are there.
_PASSED_OVER = (GENERIC_FIELDS - set(_FIELDS)) | {
    "hidden_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_queries",
}
_TIMM_FIELDS = {field.name for field in dataclass_fields(TimmBackboneConfig)} - {"backbone"}
_DECODER = {
    "num_queries": "num_queries",
    "d_model": "channels",
    "decoder_layers": "layers",
    "decoder_attention_heads": "heads",
    "decoder_ffn_dim": "feedforward",
    "dropout": "dropout",
    "attention_dropout": "attention_dropout",
    "activation_dropout": "activation_dropout",
    "activation_function": "activation",
}
_LOSS = {
    "cross_entropy_weight": "class_weight",
    "mask_weight": "mask_weight",
    "dice_weight": "dice_weight",
    "no_object_weight": "no_object_weight",
}


def _refuse_unknown(others: Mapping[str, Any]) -> None:
    faults = [f"MaskFormerConfig has no field {name!r}; {nearest(name, _FIELDS)}" for name in others]
    if faults:
        raise RecipeError(faults)


def _check_backbone(config: MaskFormerConfig) -> None:
    if config.backbone_config is not None:
        doubles = {
            "backbone": config.backbone is not None,
            "use_timm_backbone": config.use_timm_backbone,
            "backbone_kwargs": bool(config.backbone_kwargs),
        }
        named = [name for name, is_given in doubles.items() if is_given]
        if named:
            raise ContractError(
                f"backbone_config together with {' and '.join(named)}: two ways to say which backbone; give one."
            )
    if config.backbone is None:
        for name in ("use_timm_backbone", "use_pretrained_backbone", "backbone_kwargs"):
            if getattr(config, name):
                fix = "the name of a timm architecture, a Hub repository or a folder as backbone"
                if name == "use_pretrained_backbone" and isinstance(config.backbone_config, TimmBackboneConfig):
                    fix = "use_pretrained_backbone=True in the TimmBackboneConfig"
                raise ContractError(f"{name} without backbone says nothing about any backbone. The fix: {fix}.")
    elif not config._is_timm and "/" not in config.backbone and not Path(config.backbone).expanduser().is_dir():
        raise ContractError(
            f"backbone={config.backbone!r} is no folder, and Hub repositories are named owner/name. The fix for an"
            " architecture of timm: use_timm_backbone=True."
        )


def _read_config(given: BackboneConfig | Mapping[str, Any] | None) -> BackboneConfig | None:
    if given is None or isinstance(given, BackboneConfigMixin | TimmBackboneConfig):
        return given
    if not isinstance(given, Mapping):
        raise ContractError(
            f"backbone_config is a configuration of backbonekit or a mapping, got {type(given).__name__}. The fix for"
            " one of another library: its to_dict()."
        )
    if given.get("model_type") != TimmBackboneConfig.model_type:
        indices = given.get("out_indices")
        if indices is not None and given.get("out_features") is None:
            # Alone they are somebody's wish; transformers writes both.
            return config_of({**given, "out_indices": None}, out_indices=indices)
        return config_of(given)
    return TimmBackboneConfig.from_dict(given)


def _foreign(config: BackboneConfig | None) -> dict[str, Any] | None:
    """As a nested mapping of a `config.json`, the maps left out where nobody chose them."""
    if config is None:
        return None
    maps: dict[str, Any] = {}
    if isinstance(config, TimmBackboneConfig):
        for key, chosen in (("out_indices", config.out_indices), ("out_features", config.out_features)):
            if chosen is not None:
                maps[key] = [chosen] if isinstance(chosen, int) else list(chosen)
        fields = {"model_type": config.model_type, "backbone": config.backbone, "num_channels": config.num_channels}
        stride: dict[str, Any] = {} if config.output_stride is None else {"output_stride": config.output_stride}
        if config.freeze_batch_norm_2d:
            stride["freeze_batch_norm_2d"] = True
        return {**fields, **stride, **maps}
    fields = {key: value for key, value in config.to_dict().items() if key not in ("out_features", "out_indices")}
    if config.indices_were_set:
        maps = {"out_indices": list(config.selected)}
        if config.model_type == "swin":
            fields["model_type"] = "maskformer-swin"  # what it becomes; with this name its maps are honoured
    return {**fields, **maps}


def _config_of_recipe(recipe: Recipe) -> BackboneConfig:
    backbone = recipe.backbone
    if any(part.name != "fpn_pixel_decoder" for part in recipe.neck):
        # A pyramid was inserted because nobody chose maps; nobody does again.
        backbone = replace(backbone, out_indices=None, out_features=None, out_strides=None)
    if backbone.source == "timm":
        assert backbone.name is not None
        return TimmBackboneConfig(
            backbone.name,
            num_channels=backbone.in_channels,
            out_indices=backbone.out_indices,
            out_features=backbone.out_features,
            freeze_batch_norm_2d=recipe.training.get("freeze", {}).get("norms", False),
            backbone_kwargs=dict(backbone.args),
        )
    if backbone.config is None:
        raise ContractError(f"the backbone {backbone.name} is known by name alone; build the model first.")
    config = config_of({**backbone.config, "num_channels": backbone.in_channels})
    if backbone.out_features is not None:
        config.out_features = backbone.out_features  # pyright: ignore[reportAttributeAccessIssue]
    if backbone.out_indices is not None:
        config.out_indices = backbone.out_indices  # pyright: ignore[reportAttributeAccessIssue]
    return config


def _class_names(
    num_labels: int | None, id2label: Mapping[Any, str] | None, label2id: Mapping[str, int] | None
) -> dict[int, str]:
    """Every class by its number. The three say the same thing; those that are given must agree."""
    if id2label is None and label2id is not None:
        id2label = {number: name for name, number in label2id.items()}
    if id2label is None:
        count = _UNNAMED if num_labels is None else num_labels
        if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= 100_000:
            raise RecipeError(f"num_labels={str(count)[:60]} must be a whole number from 1 to 100,000.")
        return {number: f"LABEL_{number}" for number in range(count)}
    try:
        names = {int(number): name for number, name in id2label.items()}
    except (TypeError, ValueError) as error:
        raise RecipeError("id2label must map the numbers 0, 1, ... to names.") from error
    if num_labels is not None and num_labels != len(names):
        raise ContractError(f"num_labels={num_labels}, but id2label has {len(names)} names; give one of the two.")
    return dict(sorted(names.items()))


def chosen_labels(names: Sequence[str]) -> list[str] | None:
    """The names for a recipe; None where they say nothing (`LABEL_0`)."""
    return None if all(name == f"LABEL_{number}" for number, name in enumerate(names)) else list(names)
