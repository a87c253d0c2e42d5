"""The ways in which a model's configuration names its backbone, and what each of them becomes."""

from collections.abc import Mapping
from dataclasses import dataclass, fields as dataclass_fields, replace
from typing import Any

from backbonekit.errors import ContractError
from backbonekit.hf_models.auto_backbone import config_of
from backbonekit.hf_models.config_mixin import BackboneConfigMixin
from backbonekit.hf_models.selectable_config import MAPS
from backbonekit.hf_models.timm_config import TimmBackboneConfig
from backbonekit.recipe.recipe import BackboneRecipe
from backbonekit.weights.untrusted_files import user_path

BackboneConfig = BackboneConfigMixin | TimmBackboneConfig
_TIMM_PREFIXES = ("timm/", "hf-hub:timm/")
_TIMM_FIELDS = {field.name for field in dataclass_fields(TimmBackboneConfig)} - {"backbone"} | {*MAPS}


@dataclass(frozen=True, slots=True)
class BackboneChoice:
    """The five fields. `config`: a configuration; or `name`: a Hub repository, a folder, or of timm an architecture;
    or neither. `kwargs`: arguments beside `name`."""

    config: BackboneConfig | None
    name: str | None
    use_timm: bool
    use_pretrained: bool
    kwargs: Mapping[str, Any]

    @property
    def is_timm(self) -> bool:
        return self.use_timm or (self.name or "").startswith(_TIMM_PREFIXES)

    def check(self) -> None:
        """Raises ContractError for two ways to say one thing, and for a part of one."""
        if self.config is not None:
            doubles = {
                "backbone": self.name is not None,
                "use_timm_backbone": self.use_timm,
                "backbone_kwargs": bool(self.kwargs),
            }
            named = [name for name, is_given in doubles.items() if is_given]
            if named:
                raise ContractError(
                    f"backbone_config together with {' and '.join(named)}: two ways to say which backbone; give one."
                )
        if self.name is None:
            parts = {
                "use_timm_backbone": self.use_timm,
                "use_pretrained_backbone": self.use_pretrained,
                "backbone_kwargs": self.kwargs,
            }
            for part, value in parts.items():
                if value:
                    fix = "the name of a timm architecture, a Hub repository or a folder as backbone"
                    if part == "use_pretrained_backbone" and isinstance(self.config, TimmBackboneConfig):
                        fix = "use_pretrained_backbone=True in the TimmBackboneConfig"
                    raise ContractError(f"{part} without backbone says nothing about any backbone. The fix: {fix}.")
        elif not self.is_timm and "/" not in self.name and not user_path(self.name).is_dir():
            raise ContractError(
                f"backbone={self.name!r} is no folder, and Hub repositories are named owner/name. The fix for an"
                " architecture of timm: use_timm_backbone=True."
            )

    def own(self) -> BackboneConfig | None:
        """The configuration, that of a timm architecture which is named among them; None for other names."""
        if self.name is None or not self.is_timm:
            return self.config
        kwargs = dict(self.kwargs)
        own = {key: kwargs.pop(key) for key in _TIMM_FIELDS & kwargs.keys()}
        if "in_chans" in kwargs:  # timm's word for it, as releases before 5 write it
            own["num_channels"] = kwargs.pop("in_chans")
        nested = dict(own.pop("backbone_kwargs", {}))
        return TimmBackboneConfig(
            self.name,
            **{"use_pretrained_backbone": self.use_pretrained, **own},
            backbone_kwargs={**nested, **kwargs},
        )

    def apply(self, backbone: dict[str, Any]) -> dict[str, Any]:
        """The `backbone` of a recipe, `backbone` being what the converter made of `own` (or of the default): a Hub
        repository or folder replaces it, one of timm adds its weights and arguments."""
        own = self.own()
        if isinstance(own, TimmBackboneConfig):
            return {
                **backbone,
                "pretrained": own.use_pretrained_backbone,
                "revision": own.revision,
                "args": {**backbone["args"], **own.backbone_kwargs},
            }
        return self._named() if own is None and self.name is not None else backbone

    def _named(self) -> dict[str, Any]:
        """Its `config.json` is read when the model is built."""
        kwargs = dict(self.kwargs)
        indices, features = kwargs.pop("out_indices", None), kwargs.pop("out_features", None)
        maps: dict[str, Any] = {"out_indices": "auto"}
        if features is not None:
            maps = {"out_features": list(features)}
        if indices is not None:
            maps = {"out_indices": [indices] if isinstance(indices, int) else list(indices)}
        return {
            "source": "hf",
            "name": self.name,
            "config": None,
            "pretrained": self.use_pretrained,
            "revision": kwargs.pop("revision", None),
            **maps,
            "in_channels": kwargs.pop("num_channels", 3),
            "args": kwargs,
        }


def read_config(given: BackboneConfig | Mapping[str, Any] | None) -> BackboneConfig | None:
    """`given`: a configuration, or the content of a `config.json`. Raises ContractError, RecipeError."""
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
            # Alone they were chosen; transformers writes both.
            return config_of({**given, "out_indices": None}, out_indices=indices)
        return config_of(given)
    return TimmBackboneConfig.from_dict(given)


def written_backbone_config(config: BackboneConfig | None, *, norms_each_map: bool = False) -> dict[str, Any] | None:
    """As a nested mapping of a `config.json`, the maps left out unless they were chosen. `norms_each_map`: of a Swin,
    as in MaskFormer."""
    if config is None:
        return None
    maps: dict[str, Any] = {}
    if isinstance(config, TimmBackboneConfig):
        for key, chosen in (("out_indices", config.given_indices), ("out_features", config.given_features)):
            if chosen is not None:
                maps[key] = [chosen] if isinstance(chosen, int) else list(chosen)
        fields = {"model_type": config.model_type, "backbone": config.backbone, "num_channels": config.num_channels}
        stride: dict[str, Any] = {} if config.output_stride is None else {"output_stride": config.output_stride}
        if config.freeze_batch_norm_2d:
            stride["freeze_batch_norm_2d"] = True
        return {**fields, **stride, **maps}
    fields = config.architecture().to_mapping()
    if config.indices_were_set:
        maps = {"out_indices": list(config.selected)}
        if config.model_type == "swin" and norms_each_map:
            fields["model_type"] = "maskformer-swin"  # what it becomes; with this name its maps are honoured
    return {**fields, **maps}


def config_of_recipe(backbone: BackboneRecipe, *, freezes_norms: bool, maps_were_chosen: bool = True) -> BackboneConfig:
    """The configuration of a recipe's backbone. `maps_were_chosen`: whether it says which maps.

    Raises ContractError for a backbone that nothing but its name is known of."""
    if not maps_were_chosen:
        backbone = replace(backbone, out_indices=None, out_features=None, out_strides=None)
    if backbone.source == "timm":
        assert backbone.name is not None
        return TimmBackboneConfig(
            backbone.name,
            num_channels=backbone.in_channels,
            out_indices=backbone.out_indices,
            out_features=backbone.out_features,
            freeze_batch_norm_2d=freezes_norms,
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
