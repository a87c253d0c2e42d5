"""`MaskFormerForInstanceSegmentation`: a composed model with transformers' names for what goes in and comes out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from backbonekit.assembly.build import build_composed
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.initial_weights import InitialWeights
from backbonekit.contract.mapping import FieldMapping, register_output
from backbonekit.contract.predictions import MaskQueries
from backbonekit.errors import ContractError
from backbonekit.hf_models.class_labels import chosen_labels
from backbonekit.hf_models.maskformer_config import MaskFormerConfig
from backbonekit.hf_models.model_kinds import earlier_masks, mask_targets
from backbonekit.hub.opening import open_model
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.training.freeze import freeze
from backbonekit.weights.weight_report import WeightReport


@register_output
@dataclass(eq=False)
class MaskFormerForInstanceSegmentationOutput(FieldMapping):
    """`class_queries_logits`: [batch, queries, classes + 1], before softmax, the last column "no object".

    `masks_queries_logits`: [batch, queries, height, width], before sigmoid, at a quarter of the input's size.
    `loss`: scalar, with labels only. `auxiliary_logits`: the same two for earlier decoder layers, where they are
    computed. `feature_maps`: the backbone's, fine to coarse.
    """

    class_queries_logits: Tensor
    masks_queries_logits: Tensor
    feature_maps: tuple[Tensor, ...]
    loss: Tensor | None = None
    losses: dict[str, Tensor] | None = None
    auxiliary_logits: tuple[dict[str, Tensor], ...] | None = None


class MaskFormerForInstanceSegmentation(nn.Module):
    """Built from a `MaskFormerConfig`, in eval mode on the CPU. What has no weights to load starts from `seed`.

    `model`: the composed model, with `predict`, `processor`, `recipe`. `config`: what it was built from.
    """

    main_input_name = "pixel_values"

    def __init__(self, config: MaskFormerConfig, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config
        self.model: ComposedModel = build_composed(config.recipe(), seed=seed)
        _freeze_as_configured(self.model)
        self.eval()

    @classmethod
    def from_pretrained(
        cls,
        name_or_folder: str | Path,
        *,
        revision: str | None = None,
        num_labels: int | None = None,
        id2label: Mapping[Any, str] | None = None,
        label2id: Mapping[str, int] | None = None,
        ignore_mismatched_sizes: bool = False,
        seed: int = 0,
    ) -> "MaskFormerForInstanceSegmentation":
        """A Hub repository, what the local cache has of it, or a folder; saved by backbonekit or by transformers.

        `num_labels`, `id2label`, `label2id`: other classes than the saved ones; a class predictor of another size
        starts at random from `seed` with `ignore_mismatched_sizes`, and is refused without. Raises ContractError for
        another model than a MaskFormer.
        """
        opened = open_model(name_or_folder, revision=revision)
        mapping = dict(opened.recipe_mapping)
        if opened.processing is not None and not mapping.get("processing"):
            mapping["processing"] = plain_data(asdict(opened.processing))
        saved = recipe_from_mapping(mapping, origin=opened.origin)
        before = _num_classes(saved)
        if not (num_labels is None and id2label is None and label2id is None):
            names = list(
                MaskFormerConfig(num_labels=num_labels, id2label=id2label, label2id=label2id).id2label.values()
            )
            if len(names) != before and not ignore_mismatched_sizes:
                raise ContractError(
                    f"{opened.origin} has {before} classes, asked are {len(names)}, so its class predictor does not"
                    " fit. The fix, which starts the predictor at random: ignore_mismatched_sizes=True."
                )
            labels = chosen_labels(names)
            mapping |= {"labels": labels, "head": {**mapping["head"], "num_classes": len(names)}}
        recipe = recipe_from_mapping(mapping, origin=opened.origin)
        initial = None if opened.checkpoint is None else InitialWeights(opened.checkpoint, saved)
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.model = build_composed(recipe, seed=seed, initial=initial)
        _freeze_as_configured(model.model)
        model.config = MaskFormerConfig.from_recipe(model.model.recipe)
        return model.eval()

    @property
    def weight_report(self) -> WeightReport | None:
        """Where every parameter came from."""
        return self.model.weight_report

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        pixel_mask: Bool[Tensor, "batch height width"] | Int[Tensor, "batch height width"] | None = None,
        mask_labels: Sequence[Tensor] | None = None,
        class_labels: Sequence[Tensor] | None = None,
    ) -> MaskFormerForInstanceSegmentationOutput:
        """`pixel_mask`: 1 where a real pixel is; attention and loss pass over the rest, which transformers does not.

        `mask_labels`: for each image [masks, height, width], 1 inside; `class_labels`: for each image [masks].
        """
        targets = mask_targets(mask_labels, class_labels)
        out = self.model(pixel_values, None if pixel_mask is None else pixel_mask.bool(), targets)
        prediction: MaskQueries = out.predictions
        return MaskFormerForInstanceSegmentationOutput(
            class_queries_logits=prediction.class_logits,
            masks_queries_logits=prediction.mask_logits,
            feature_maps=out.feature_maps,
            loss=out.loss,
            losses=out.losses,
            auxiliary_logits=earlier_masks(prediction.auxiliary),
        )

    def save_pretrained(self, folder: str | Path) -> Path:
        """Writes recipe, weights, processing and a model card; `from_pretrained` and `load_model` read them."""
        return self.model.save_pretrained(folder)


def _freeze_as_configured(model: ComposedModel) -> None:
    """`freeze_batch_norm_2d` of a TimmBackbone: here a configuration is an order, while a recipe's is advice."""
    if model.recipe.training.get("freeze", {}).get("norms", False):
        freeze(model, norms=True)


def _num_classes(recipe: Recipe) -> int:
    if recipe.head is None or recipe.head.name != "maskformer":
        name = "none" if recipe.head is None else recipe.head.name
        raise ContractError(f"the model's head is {name}, and no MaskFormer; load_model opens any model.")
    return recipe.head.options["num_classes"]
