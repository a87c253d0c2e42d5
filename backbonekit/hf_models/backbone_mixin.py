"""The base of the backbone classes: their construction, their attributes, and a call that returns `feature_maps`."""

import enum
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from jaxtyping import Bool, Float
from torch import Tensor

from backbonekit.assembly.embed import embed
from backbonekit.backbones.backbone import BackboneModule
from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.hf.blueprint import HFBlueprint
from backbonekit.backbones.timm.backbone import TimmBackbone
from backbonekit.backbones.timm.blueprint import TimmBlueprint
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.mapping import register_output
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.pooling import Pool
from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, WeightsError
from backbonekit.hf_models.attention_kernels import attention_by
from backbonekit.hf_models.call_options import decided
from backbonekit.hf_models.inner_states import run_with_states
from backbonekit.hf_models.map_selection import agreed_indices
from backbonekit.hf_models.model_outputs import OrderedOutput
from backbonekit.hf_models.model_saving import ModelSaving
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.weights.budget import within_memory
from backbonekit.weights.fill import FillReport, construct_filled
from backbonekit.weights.private_random import seeded
from backbonekit.weights.snapshot import snapshot


@register_output
@dataclass(eq=False)
class BackboneOutput(OrderedOutput):
    """`feature_maps`: one for each of `out_indices`, fine to coarse, each [batch, channels, height, width].

    `hidden_states`, with `output_hidden_states=True`: what the stem and every stage leave behind, before any
    normalisation of maps, in the layout of transformers: [batch, channels, height, width] for convolutional families,
    `swin`, `pvt_v2`, `vitdet` and timm, [batch, tokens, channels] for the others, class token and registers first,
    Hiera's in the order in which its units attend. Stages behind the deepest one that was built are not among them:
    build with the last stage among `out_indices` to get all.

    `attentions`, with `output_attentions=True`: [batch, heads, queries, keys], rows of sum 1, one for each block of a
    plain ViT and one for each stage, its last block's, of `swin`, `maskformer-swin`, `swinv2` and `hiera`. Attention in
    windows has windows instead of images, [batch * windows, ...], or, in `hiera`, [batch, heads, units, queries,
    keys]. None for the families for which transformers returns none: the convolutional ones and `pvt_v2`.
    """

    order = ("feature_maps", "hidden_states", "attentions")

    feature_maps: tuple[Tensor, ...]
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


def build_backbone(
    blueprint: HFBlueprint | TimmBlueprint,
    out_indices: Sequence[int] | None,
    *,
    pretrained: bool | str = False,
    revision: str | None = None,
    seed: int = 0,
) -> tuple[StagedBackbone | TimmBackbone, FillReport | None]:
    """`out_indices`: None is the architecture's last stage. `seed`: of random weights; the global random state
    is left alone. The report is None for random weights. Raises ContractError, WeightsError, StorageError.
    """
    indices = blueprint.default_indices if out_indices is None else tuple(out_indices)
    num_bytes = blueprint.num_bytes(indices)
    if not pretrained:
        with within_memory(num_bytes), seeded(seed):
            return blueprint.construct(indices), None
    checkpoint = blueprint.checkpoint(pretrained, revision, indices)
    with within_memory(num_bytes):
        return construct_filled(lambda: blueprint.construct(indices), checkpoint, seed=seed, adapt=blueprint.adapt)


class BackboneType(enum.Enum):
    """Whose architecture a backbone is."""

    TIMM = "timm"
    TRANSFORMERS = "transformers"


class BackboneMixin(ModelSaving):
    """A backbone with the attributes of the Hugging Face guide.

    `config`: what it was built from. `backbone`: the built backbone. `weights`: where its weights came from; None when
    they are random. `as_built`: what the modules were then, which saving compares. Setting `out_indices` or
    `out_features` selects among the built stages. `backbone_type`: an enumeration with the values `timm` and
    `transformers`.
    """

    backbone_type: BackboneType

    def __init__(
        self,
        backbone: StagedBackbone | TimmBackbone | None = None,
        config: Any = None,
        weights: FillReport | None = None,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(backbone, BackboneModule):
            raise ContractError(
                f"{type(self).__name__}: BackboneMixin is the base of backbonekit's own backbone classes, which wrap a"
                " built backbone. The fix for a backbone of your own: register it with timm"
                " (timm.models.register_model) and build TimmBackbone(TimmBackboneConfig(NAME))."
            )
        self.backbone = backbone
        self.config = config
        self.weights = weights
        self.as_built = snapshot(backbone)
        self._seed = seed
        config.attach(self)
        self.eval()

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.config.attach(self)  # a copy of a model has a copy of its configuration

    def check_as_built(self) -> None:
        """Raises WeightsError where a module was changed by hand since it was built, so that what is saved by its
        configuration could not be opened again."""
        differences = self.as_built.differences(self.backbone.state_dict())
        if differences:
            raise WeightsError(
                f"{type(self).__name__} is not what its configuration builds: {'; '.join(differences[:3])}. The fix: "
                "merge adapters and remove parametrizations first, or torch.save(backbone.state_dict(), FILE)."
            )

    def _described(self, config: Any) -> dict[str, Any]:
        """The content of the `config.json` beside the weights."""
        own = {"architectures": [type(self).__name__], "dtype": str(self.dtype).removeprefix("torch.")}
        return {**config.to_diff_dict(), **own}

    @property
    def stage_names(self) -> list[str]:
        """Every stage of the architecture, built or not."""
        return list(self.backbone.stage_names)

    @property
    def features(self) -> FeaturePyramid:
        """The levels that the backbone returns."""
        return self.backbone.features

    @property
    @abstractmethod
    def processing(self) -> Processing:
        """What its weights expect of an image: as the repository says that they came from, else the family's usual."""

    @cached_property
    def processor(self) -> ImageProcessor:
        """Prepares images for it."""
        return ImageProcessor(self.processing)

    def extract(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        pixel_mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> FeatureMaps:
        """The maps, with the class and register tokens of transformers beside them."""
        with attention_by(self.config.attn_implementation):
            return self.backbone(pixel_values)

    def after_pooling(self, vectors: Float[Tensor, "batch channels"], position: int) -> Float[Tensor, "batch channels"]:
        """Vectors that a map was pooled to, normalised where the architecture does so and the backbone was built with
        that norm (`backbone_kwargs={"norm": "embedding"}`)."""
        return self.backbone.after_pooling(vectors, self.backbone.out_indices[position])

    def embed(self, images: Any, *, pool: Pool = "mean", batch_size: int = 32) -> Tensor | list[FeatureMaps]:
        """The features of images, as `ComposedModel.embed` returns them: [images, channels] on the CPU.

        `pool`: `mean`, `max` or `gem` over the positions of a map, `cls` for the class token of a transformer, or
        `none` for the maps and all prefix tokens. `batch_size`: images of one size that run together.
        """
        return embed(self, images, pool=pool, batch_size=batch_size)

    @property
    def out_indices(self) -> list[int]:
        return list(self.backbone.out_indices)

    @out_indices.setter
    def out_indices(self, value: int | Sequence[int]) -> None:
        self.backbone.out_indices = agreed_indices(None, value, self.stage_names)  # type: ignore[assignment]

    @property
    def out_features(self) -> list[str]:
        return list(self.backbone.features.names)

    @out_features.setter
    def out_features(self, value: Sequence[str]) -> None:
        self.backbone.out_indices = agreed_indices(value, None, self.stage_names)  # type: ignore[assignment]

    @property
    def channels(self) -> list[int]:
        """Channels of each map that the backbone returns."""
        return list(self.backbone.features.channels)

    @property
    def strides(self) -> list[float]:
        """Nominal stride of each map that the backbone returns."""
        return list(self.backbone.features.strides)

    @property
    def num_features(self) -> list[int]:
        """Channels of every stage of the architecture."""
        return [level.channels for level in self.backbone.levels]

    @property
    def out_feature_channels(self) -> dict[str, int]:
        """Channels of every stage, by name."""
        return dict(zip(self.stage_names, self.num_features, strict=True))

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> BackboneOutput | tuple[Any, ...]:
        """The maps, and what else is requested; None means as configured.

        `output_hidden_states`: of the stem and of every stage that was built, whatever `out_indices` are set to.
        `output_attentions`: attention is then computed step by step, so that its weights can be read, and no block is
        computed again in backward. `return_dict=False`: a tuple of what would be there. See `BackboneOutput`.
        Raises ContractError for weights of attention that cannot be had.
        """
        states = decided("output_hidden_states", output_hidden_states, self.config.output_hidden_states)
        attentions = decided("output_attentions", output_attentions, self.config.output_attentions)
        with attention_by(self.config.attn_implementation):
            maps, inner = run_with_states(self.backbone, pixel_values, states=states, attentions=attentions)
        # As transformers lays them out, for whoever takes `.view` of them.
        out = BackboneOutput(
            feature_maps=tuple(each.contiguous() for each in maps.maps),
            hidden_states=inner.hidden_states,
            attentions=inner.attentions,
        )
        if decided("return_dict", return_dict, self.config.return_dict):
            return out
        return tuple(out.values())

    def _recompute(self, enabled: bool) -> None:
        self.backbone.set_gradient_checkpointing(enabled)
        self._recomputes = enabled
