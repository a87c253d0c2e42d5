"""The names of the Hugging Face guide for backbones of timm."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backbonekit.backbones.timm_source import TimmBlueprint, blueprint
from backbonekit.errors import ContractError
from backbonekit.hf_models.backbone_build import build_backbone
from backbonekit.hf_models.backbone_mixin import BackboneMixin
from backbonekit.hf_models.stage_selection import agreed_indices


@dataclass
class TimmBackboneConfig:
    """`backbone`: an architecture of timm, with or without a tag of weights. `num_channels`: of the pictures.

    `out_indices`, `out_features`: maps in timm's numbering (0 is the first of `features_only`); the last when unset.
    `use_pretrained_backbone`: take timm's published weights. `output_stride`: of the deepest map, where the
    architecture can be dilated. `backbone_kwargs`: more arguments of the architecture's constructor. `features_only` is
    always meant, and `freeze_batch_norm_2d` is done by `backbonekit.freeze`.
    """

    backbone: str
    num_channels: int = 3
    features_only: bool = True
    use_pretrained_backbone: bool = False
    out_indices: Sequence[int] | None = None
    out_features: Sequence[str] | None = None
    freeze_batch_norm_2d: bool = False
    output_stride: int | None = None
    revision: str | None = None
    backbone_kwargs: Mapping[str, Any] = field(default_factory=dict)

    model_type = "timm_backbone"

    def __post_init__(self) -> None:
        if not self.features_only:
            raise ContractError("features_only=False is no backbone: a TimmBackbone gives feature maps.")
        if self.freeze_batch_norm_2d:
            raise ContractError(
                "freeze_batch_norm_2d: freeze after building, with backbonekit.freeze(model, norms=True)."
            )

    @property
    def indices_were_set(self) -> bool:
        """Whether somebody chose the maps."""
        return self.out_indices is not None or self.out_features is not None

    def blueprint(self) -> TimmBlueprint:
        """The architecture before it is built: its levels, its processing. Raises RecipeError, ContractError."""
        args = dict(self.backbone_kwargs)
        if self.output_stride is not None:
            args["output_stride"] = self.output_stride
        return blueprint(self.backbone, config=None, revision=self.revision, in_channels=self.num_channels, args=args)

    def chosen(self, plan: TimmBlueprint) -> tuple[int, ...] | None:
        """Positions among the architecture's maps; None when unset."""
        return agreed_indices(self.out_features, self.out_indices, [level.name for level in plan.levels])


class TimmBackbone(BackboneMixin):
    """A timm architecture, its weights random from `seed` unless the configuration wants the published ones."""

    config_class = TimmBackboneConfig

    def __init__(self, config: TimmBackboneConfig, *, seed: int = 0) -> None:
        plan = config.blueprint()
        backbone, report = build_backbone(
            plan,
            config.chosen(plan),
            pretrained=config.use_pretrained_backbone,
            revision=config.revision,
            seed=seed,
        )
        super().__init__(backbone, config, report)

    @classmethod
    def from_pretrained(
        cls,
        name: str,
        *,
        out_indices: Sequence[int] | None = None,
        out_features: Sequence[str] | None = None,
        revision: str | None = None,
        num_channels: int = 3,
        use_pretrained_backbone: bool = True,
        backbone_kwargs: Mapping[str, Any] | None = None,
    ) -> "TimmBackbone":
        """Published weights by timm's name; weights in timm's format by folder or Hub id."""
        return cls(
            TimmBackboneConfig(
                name,
                num_channels=num_channels,
                use_pretrained_backbone=use_pretrained_backbone,
                out_indices=out_indices,
                out_features=out_features,
                revision=revision,
                backbone_kwargs=dict(backbone_kwargs or {}),
            )
        )
