"""A composed model as one of transformers: built, opened and saved; with one class for each kind of prediction."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from backbonekit.assembly.as_built import check_as_built
from backbonekit.assembly.build import build_composed
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.initial_weights import InitialWeights
from backbonekit.contract.maps import Canvas
from backbonekit.contract.predictions import BoxQueries, MaskQueries, ModelOutput
from backbonekit.contract.targets import Target
from backbonekit.errors import ContractError, WeightsError
from backbonekit.hf_models.config_file import FILE, is_weight_file, write_config
from backbonekit.hf_models.labels import chosen_labels, class_names
from backbonekit.hf_models.model_config import ModelConfig
from backbonekit.hf_models.model_outputs import (
    BoxModelOutput,
    DenseModelOutput,
    DepthModelOutput,
    MaskModelOutput,
    PoseModelOutput,
)
from backbonekit.hub.opening import open_model
from backbonekit.hub.saved_model import RECIPE
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, read_processing, write_processing
from backbonekit.ops.boxes import cxcywh_to_xyxy, image_sizes
from backbonekit.recipe.recipe import plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.model_names import MODELS
from backbonekit.training.freeze import freeze
from backbonekit.weights.repository import open_repository
from backbonekit.weights.untrusted_files import user_path
from backbonekit.weights.weight_report import WeightReport
from backbonekit.weights.write_folder import replacing
from backbonekit.weights.write_tensors import save_tensors

Model = TypeVar("Model", bound="WholeModel")


class WholeModel(nn.Module):
    """Built from its configuration, in eval mode on the CPU. What has no weights to load starts from `seed`.

    `model`: the composed model, with `predict`, `processor`, `recipe`. `config`: what it was built from. What the
    reference freezes in a pretrained backbone is frozen; a backbone that starts at random is trained whole.
    """

    main_input_name = "pixel_values"
    config_class: ClassVar[type[ModelConfig]]

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise ContractError(
                f"{type(self).__name__} is built from a {self.config_class.__name__}, got {type(config).__name__}."
            )
        self.config = config
        recipe = config.recipe()
        self.model: ComposedModel = build_composed(recipe, seed=seed)
        _freeze_as_configured(self.model, config, is_pretrained=bool(recipe.backbone.pretrained))
        self.eval()

    @classmethod
    def from_pretrained(
        cls: type[Model],
        name_or_folder: str | Path,
        *,
        revision: str | None = None,
        num_labels: int | None = None,
        id2label: Mapping[Any, str] | None = None,
        label2id: Mapping[str, int] | None = None,
        ignore_mismatched_sizes: bool = False,
        seed: int = 0,
    ) -> Model:
        """A Hub repository, what the local cache has of it, or a folder, as transformers or `save_pretrained` left it.

        `num_labels`, `id2label`, `label2id`: other classes than the saved ones; class predictors of another size start
        at random from `seed` with `ignore_mismatched_sizes`, and are refused without. Raises ContractError for a model
        of another kind, StorageError, WeightsError.
        """
        repository = open_repository(name_or_folder, revision=revision)
        is_recipe = repository.has(RECIPE)
        if not is_recipe:
            config = cls._config_in(repository.json(FILE), repository.origin)
        opened = open_model(name_or_folder, revision=repository.commit or revision)
        mapping = dict(opened.recipe_mapping)
        if opened.processing is not None and not mapping.get("processing"):
            mapping["processing"] = plain_data(asdict(opened.processing))
        saved = recipe_from_mapping(mapping, origin=opened.origin)
        if is_recipe:
            config = cls.config_class.from_recipe(saved, origin=opened.origin)
        if not (num_labels is None and id2label is None and label2id is None):
            before = config.num_labels
            config.id2label = class_names(num_labels, id2label, label2id)
            if config.num_labels != before and not ignore_mismatched_sizes:
                raise ContractError(
                    f"{opened.origin} has {before} classes, requested are {config.num_labels}, so its class predictor"
                    " does not fit. The fix, which starts the predictor at random: ignore_mismatched_sizes=True."
                )
            head = {name: value for name, value in mapping["head"].items() if name != "num_classes"}
            labels = chosen_labels(list((config.id2label or {}).values()))
            mapping |= {"labels": labels, "head": head if labels else {**head, "num_classes": config.num_labels}}
        recipe = recipe_from_mapping(mapping, origin=opened.origin)
        initial = None if opened.checkpoint is None else InitialWeights(opened.checkpoint, saved, opened.random)
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.model = build_composed(recipe, seed=seed, initial=initial)
        _freeze_as_configured(model.model, config, is_pretrained=True)
        model.config = config
        return model.eval()

    @classmethod
    def _config_in(cls, fields: Mapping[str, Any], origin: str) -> ModelConfig:
        given = fields.get("architectures")
        if not isinstance(given, list) or cls.config_class.architecture not in given:
            named = ", ".join(map(str, given))[:100] if isinstance(given, list) else "nothing"
            raise ContractError(
                f"{origin} says that it is {named}, and no {cls.config_class.architecture}; load_model opens any model."
            )
        return cls.config_class.from_dict(fields)

    @property
    def weight_report(self) -> WeightReport | None:
        """Where every parameter came from."""
        return self.model.weight_report

    def save_pretrained(self, folder: str | Path) -> Path:
        """Writes `config.json`, weights and `preprocessor_config.json` as transformers names them: `from_pretrained`,
        `load_model` and transformers read the folder.

        As in transformers, a model that is in the folder is replaced. Raises ContractError for a model with parts that
        transformers has not; `model.model.save_pretrained` writes it. Raises WeightsError where a module is no longer
        the one that was built.
        """
        content = self.config.of_built(self.model.recipe)
        check_as_built(self.model.state_dict(), self.model.as_built, self.model.recipe)
        try:
            written = self.config.converter().key_map(content).reverse(self.model.state_dict())
        except WeightsError as error:
            raise ContractError(
                f"{type(self).__name__}: transformers has no such model: {error} The fix, which saves it as a recipe: "
                "model.model.save_pretrained(folder)."
            ) from error
        path = user_path(folder)
        with replacing(path, stale=is_weight_file, last=FILE) as temporary:
            write_config(content, temporary)
            # A joined matrix is written as its parts, which must not share memory.
            save_tensors(temporary, {name: tensor.detach().clone().contiguous() for name, tensor in written.items()})
            write_config(self._written_processing(), temporary, name=PREPROCESSOR_CONFIG)
        return path

    def _written_processing(self) -> dict[str, Any]:
        """With the processor that also holds how predictions are read, if it prepares images in the same way."""
        # What concerns targets stands in config.json.
        processing = replace(self.model.processor.processing, ignore_label=None, label_map=None)
        written = write_processing(processing)
        named = {**written, "image_processor_type": f"{MODELS[self.config.model_type].processor}ImageProcessor"}
        return named if read_processing(named, shown=PREPROCESSOR_CONFIG) == processing else written

    def _run(self, pixel_values: Tensor, pixel_mask: Tensor | None, targets: Sequence[Any] | None) -> ModelOutput:
        mask = None if pixel_mask is None else pixel_mask.bool()
        return self.model(pixel_values, mask, None if targets is None else list(targets))


def _freeze_as_configured(model: ComposedModel, config: ModelConfig, *, is_pretrained: bool) -> None:
    """Here a configuration is followed, while that of a recipe is advice."""
    if config.freezes_norms:
        freeze(model, norms=True)
    advice = model.recipe.training.get("freeze", {})
    if advice and is_pretrained:
        freeze(model, **advice)


Images = Float[Tensor, "batch channels height width"]
Mask = Bool[Tensor, "batch height width"] | Int[Tensor, "batch height width"] | None


class BoxModel(WholeModel):
    """Finds objects: a set of boxes, each with a class."""

    def forward(
        self,
        pixel_values: Images,
        pixel_mask: Mask = None,
        labels: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> BoxModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: for each image `class_labels` [objects] and `boxes`
        [objects, 4], centre and size in [0, 1] of the image without its padding."""
        targets: list[Target] | None = None
        if labels is not None:
            _check_count(len(labels), pixel_values)
            canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
            sizes = image_sizes(canvas, pixel_values).expand(len(labels), 2).repeat(1, 2)
            targets = [
                {"labels": one["class_labels"].long(), "boxes": cxcywh_to_xyxy(one["boxes"].to(sizes.dtype)) * size}
                for one, size in zip(labels, sizes, strict=True)
            ]
        out = self._run(pixel_values, pixel_mask, targets)
        prediction: BoxQueries = out.predictions  # type: ignore[assignment]
        earlier = None
        if prediction.auxiliary is not None:
            earlier = tuple(
                {"logits": one.class_logits, "pred_boxes": one.boxes_cxcywh} for one in prediction.auxiliary
            )
        return BoxModelOutput(
            logits=prediction.class_logits,
            pred_boxes=prediction.boxes_cxcywh,
            feature_maps=out.feature_maps,
            loss=out.loss,
            loss_dict=out.losses,
            auxiliary_outputs=earlier,
        )


class MaskModel(WholeModel):
    """Segments images by a set of masks, each with a class."""

    def forward(
        self,
        pixel_values: Images,
        pixel_mask: Mask = None,
        mask_labels: Sequence[Tensor] | None = None,
        class_labels: Sequence[Tensor] | None = None,
    ) -> MaskModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `mask_labels`: for each image [masks, height, width], 1 inside;
        `class_labels`: for each image [masks]."""
        out = self._run(pixel_values, pixel_mask, mask_targets(mask_labels, class_labels))
        prediction: MaskQueries = out.predictions  # type: ignore[assignment]
        return MaskModelOutput(
            class_queries_logits=prediction.class_logits,
            masks_queries_logits=prediction.mask_logits,
            feature_maps=out.feature_maps,
            loss=out.loss,
            loss_dict=out.losses,
            auxiliary_logits=earlier_masks(prediction.auxiliary),
        )


class DenseModel(WholeModel):
    """Predicts a class for every pixel."""

    def forward(
        self, pixel_values: Images, pixel_mask: Mask = None, labels: Int[Tensor, "batch height width"] | None = None
    ) -> DenseModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: the class of each pixel, 255 where unlabelled."""
        targets = None if labels is None else [{"segmentation": one} for one in labels.long()]
        out = self._run(pixel_values, pixel_mask, targets)
        return DenseModelOutput(out.predictions.logits, out.feature_maps, out.loss, out.losses)  # type: ignore[union-attr]


class DepthModel(WholeModel):
    """Predicts a depth for every pixel."""

    def forward(
        self, pixel_values: Images, pixel_mask: Mask = None, labels: Float[Tensor, "batch height width"] | None = None
    ) -> DepthModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: depth, 0 or NaN where unknown; transformers trains no
        depth."""
        targets = None if labels is None else [{"depth": one} for one in labels]
        out = self._run(pixel_values, pixel_mask, targets)
        return DepthModelOutput(out.predictions.depth, out.feature_maps, out.loss, out.losses)  # type: ignore[union-attr]


class PoseModel(WholeModel):
    """Finds the keypoints of the one person in an image."""

    def forward(
        self, pixel_values: Images, pixel_mask: Mask = None, labels: Float[Tensor, "batch keypoints 3"] | None = None
    ) -> PoseModelOutput:
        """`pixel_mask`: 1 where a real pixel is. `labels`: x, y in pixels of the input and visibility (0: unlabelled)
        of each keypoint; transformers trains no poses."""
        targets = None if labels is None else [{"keypoints": one[None]} for one in labels]
        out = self._run(pixel_values, pixel_mask, targets)
        return PoseModelOutput(out.predictions.heatmaps, out.feature_maps, out.loss, out.losses)  # type: ignore[union-attr]


def mask_targets(mask_labels: Sequence[Tensor] | None, class_labels: Sequence[Tensor] | None) -> list[Target] | None:
    """Targets of the contract. Raises ContractError where one of the two is missing, or of other images."""
    if mask_labels is None and class_labels is None:
        return None
    if mask_labels is None or class_labels is None or len(mask_labels) != len(class_labels):
        given = [0 if labels is None else len(labels) for labels in (mask_labels, class_labels)]
        raise ContractError(
            f"mask_labels of {given[0]} images and class_labels of {given[1]}; a loss requires both for every image."
        )
    return [
        {"labels": classes.long(), "masks": masks != 0}
        for masks, classes in zip(mask_labels, class_labels, strict=True)
    ]


def earlier_masks(auxiliary: tuple[MaskQueries, ...] | None) -> tuple[dict[str, Tensor], ...] | None:
    """Predictions of earlier decoder layers under transformers' names."""
    if auxiliary is None:
        return None
    return tuple(
        {"class_queries_logits": layer.class_logits, "masks_queries_logits": layer.mask_logits} for layer in auxiliary
    )


def _check_count(given: int, pixel_values: Tensor) -> None:
    if given != len(pixel_values):
        raise ContractError(f"labels of {given} images for a batch of {len(pixel_values)}; give one for each image.")
