"""A composed model under the name of one of transformers: built, opened and saved as that is."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from backbonekit.assembly.build import build_composed
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.initial_weights import InitialWeights
from backbonekit.contract.predictions import ModelOutput
from backbonekit.errors import ContractError, WeightsError
from backbonekit.hf_models.class_labels import chosen_labels, class_names
from backbonekit.hf_models.config_file import FILE, write_config
from backbonekit.hf_models.model_config import ModelConfig
from backbonekit.hub.opening import open_model
from backbonekit.hub.saved_model import RECIPE
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG, read_processing, write_processing
from backbonekit.recipe.recipe import plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.model_names import MODELS
from backbonekit.training.freeze import freeze
from backbonekit.weights.repository import open_repository
from backbonekit.weights.weight_report import WeightReport
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
        _freeze_as_told(self.model, config, is_pretrained=bool(recipe.backbone.pretrained))
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
        if repository.has(RECIPE):
            raise ContractError(
                f"{repository.origin} was saved as a recipe, which has no {FILE}. The fix: load_model opens it."
            )
        config = cls._config_in(repository.json(FILE), repository.origin)
        opened = open_model(name_or_folder, revision=repository.commit or revision)
        mapping = dict(opened.recipe_mapping)
        if opened.processing is not None:
            mapping["processing"] = plain_data(asdict(opened.processing))
        saved = recipe_from_mapping(mapping, origin=opened.origin)
        if not (num_labels is None and id2label is None and label2id is None):
            before = config.num_labels
            config.id2label = class_names(num_labels, id2label, label2id)
            if config.num_labels != before and not ignore_mismatched_sizes:
                raise ContractError(
                    f"{opened.origin} has {before} classes, asked are {config.num_labels}, so its class predictor does"
                    " not fit. The fix, which starts the predictor at random: ignore_mismatched_sizes=True."
                )
            head = {name: value for name, value in mapping["head"].items() if name != "num_classes"}
            labels = chosen_labels(list(config.id2label.values()))
            mapping |= {"labels": labels, "head": head if labels else {**head, "num_classes": config.num_labels}}
        recipe = recipe_from_mapping(mapping, origin=opened.origin)
        assert opened.checkpoint is not None
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.model = build_composed(recipe, seed=seed, initial=InitialWeights(opened.checkpoint, saved))
        _freeze_as_told(model.model, config, is_pretrained=True)
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

        Raises ContractError for a model with parts that transformers has not; `model.model.save_pretrained` writes it.
        """
        content = self.config.of_built(self.model.recipe)
        try:
            written = self.config.converter().key_map(content).reverse(self.model.state_dict())
        except WeightsError as error:
            raise ContractError(
                f"{type(self).__name__}: transformers has no such model: {error} The fix, which saves it as a recipe: "
                "model.model.save_pretrained(folder)."
            ) from error
        path = Path(folder).expanduser()
        write_config(content, path)
        # A joined matrix is written as its parts, which must not share memory.
        save_tensors(path, {name: tensor.detach().clone().contiguous() for name, tensor in written.items()})
        write_config(self._written_processing(), path, name=PREPROCESSOR_CONFIG)
        return path

    def _written_processing(self) -> dict[str, Any]:
        """With the processor that knows how the predictions are read, where it prepares images in the same way."""
        processing = self.model.processor.processing
        written = write_processing(processing)
        named = {**written, "image_processor_type": f"{MODELS[self.config.model_type].processor}ImageProcessor"}
        return named if read_processing(named, shown=PREPROCESSOR_CONFIG) == processing else written

    def _run(self, pixel_values: Tensor, pixel_mask: Tensor | None, targets: Sequence[Any] | None) -> ModelOutput:
        mask = None if pixel_mask is None else pixel_mask.bool()
        return self.model(pixel_values, mask, None if targets is None else list(targets))


def _freeze_as_told(model: ComposedModel, config: ModelConfig, *, is_pretrained: bool) -> None:
    """Here a configuration is an order, while a recipe's is advice."""
    if config.freezes_norms:
        freeze(model, norms=True)
    advice = model.recipe.training.get("freeze", {})
    if advice and is_pretrained:
        freeze(model, **advice)
