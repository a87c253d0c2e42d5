"""`MaskFormerConfig`: the fields of transformers' `config.json`, and the four ways in which a backbone is named."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbonekit.backbones.hf.generic_fields import GENERIC_FIELDS
from backbonekit.errors import ContractError, RecipeError, nearest
from backbonekit.heads.maskformer.checkpoint import MASKFORMER
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
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.weights.repository import open_repository


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
        self.backbone_config = read_config(backbone_config)
        self.backbone = None if backbone is None else str(backbone)
        self.use_timm_backbone = use_timm_backbone
        self.use_pretrained_backbone = use_pretrained_backbone
        self.backbone_kwargs = dict(backbone_kwargs or {})
        self.id2label = class_names(num_labels, id2label, label2id)
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
        self._choice.check()
        self.recipe()  # what is wrong is told here, not when the model is built

    @property
    def num_labels(self) -> int:
        """How many classes, "no object" not counted."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        if value != len(self.id2label):
            self.id2label = class_names(value, None, None)

    @property
    def label2id(self) -> dict[str, int]:
        return {name: number for number, name in self.id2label.items()}

    def recipe(self) -> Recipe:
        """What is built."""
        own = self._choice.own()
        foreign = write_foreign(own, norms_each_map=True)
        mapping = MASKFORMER.recipe({**self._decoded(), "backbone_config": foreign})
        mapping["backbone"] = named = self._choice.apply(mapping["backbone"])
        if own is None and self.backbone is not None:
            chosen = named["out_features"] if "out_features" in named else named["out_indices"]
            mapping["neck"]["num_deepest_levels"] = 0 if chosen == "auto" else len(chosen)
        return recipe_from_mapping(plain_data(mapping), origin="MaskFormerConfig")

    def to_dict(self) -> dict[str, Any]:
        """The content of a `config.json`."""
        written: dict[str, Any] = {"model_type": self.model_type, "architectures": list(MASKFORMER.architectures)}
        for name in _FIELDS:
            if name not in ("num_labels", "label2id"):
                written[name] = getattr(self, name)
        own = self.backbone_config
        written["backbone_config"] = write_foreign(own, norms_each_map=True)
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
            backbone_config=config_of_recipe(
                recipe.backbone,
                freezes_norms=recipe.training.get("freeze", {}).get("norms", False),
                # A pyramid is inserted where nobody chose maps; nobody does again.
                maps_were_chosen=all(part.name == "fpn_pixel_decoder" for part in recipe.neck),
            ),
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
        return {name: value for name, value in self.to_dict().items() if name not in BACKBONE_FIELDS}

    @property
    def _choice(self) -> BackboneChoice:
        return BackboneChoice(
            self.backbone_config,
            self.backbone,
            self.use_timm_backbone,
            self.use_pretrained_backbone,
            self.backbone_kwargs,
        )


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
_DECODER = {
    "num_queries": "num_queries",
    "d_model": "channels",
    "decoder_layers": "num_layers",
    "decoder_attention_heads": "num_heads",
    "decoder_ffn_dim": "feedforward_channels",
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
