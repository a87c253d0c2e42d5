"""A composed model as one of transformers: built, opened and saved."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import Tensor, nn

from backbonekit.assembly.as_built import check_as_built
from backbonekit.assembly.build import build_composed
from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.initial_weights import InitialWeights
from backbonekit.assembly.placement import DType, placed
from backbonekit.contract.labels import Labels, gaps_note, names_of_classes
from backbonekit.contract.predictions import ModelOutput
from backbonekit.errors import ContractError, WeightsError
from backbonekit.hf_models.attention_kernels import attention_by
from backbonekit.hf_models.config_file import FILE
from backbonekit.hf_models.hub_files import files_of, located
from backbonekit.hf_models.loaded_weights import (
    fill_from,
    loading_info,
    mismatched_weights,
    missing_weights,
    stored_dtype,
)
from backbonekit.hf_models.loading_options import DeviceMap, one_device, one_dtype, refuse_unsupported
from backbonekit.hf_models.model_config import ModelConfig
from backbonekit.hf_models.model_saving import ModelSaving
from backbonekit.hub.opening import Opened, open_model
from backbonekit.hub.saved_model import RECIPE
from backbonekit.hub.transformers_saving import written_processing
from backbonekit.image_processing.preprocessor_config import PREPROCESSOR_CONFIG
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.training.freeze import freeze
from backbonekit.training.gradient_checkpointing import gradient_checkpointing
from backbonekit.weights.weight_report import WeightReport

Model = TypeVar("Model", bound="WholeModel")


class WholeModel(ModelSaving):
    """Built from its configuration, in eval mode on the CPU. What has no weights to load starts from `seed`.

    `model`: the composed model, with `predict`, `processor`, `recipe`. `config`: what it was built from. What the
    reference freezes in a pretrained backbone is frozen; a backbone that starts at random is trained whole.
    """

    config_class: ClassVar[type[ModelConfig]]

    def __init__(self, config: ModelConfig, *, seed: int = 0) -> None:
        super().__init__()
        if not isinstance(config, self.config_class):
            raise ContractError(
                f"{type(self).__name__} is built from a {self.config_class.__name__}, got {type(config).__name__}."
            )
        self.config = config
        self._seed = seed
        recipe = config.recipe()
        self.model: ComposedModel = build_composed(recipe, seed=seed)
        _freeze_as_configured(self.model, config, is_pretrained=bool(recipe.backbone.pretrained))
        config.attach(self)
        self.eval()

    @classmethod
    def from_pretrained(
        cls: type[Model],
        pretrained_model_name_or_path: str | Path | None,
        *,
        config: ModelConfig | None = None,
        state_dict: Mapping[str, Tensor] | None = None,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        subfolder: str = "",
        num_labels: int | None = None,
        id2label: Mapping[Any, Any] | None = None,
        label2id: Mapping[Any, Any] | None = None,
        ignore_mismatched_sizes: bool = False,
        dtype: DType = None,
        torch_dtype: DType = None,
        device_map: DeviceMap = None,
        output_loading_info: bool = False,
        seed: int = 0,
        **changes: Any,
    ) -> Any:
        """A Hub repository, what the local cache has of it, or a folder, as transformers or `save_pretrained` left it.
        With `output_loading_info` a pair: the model, and which of its weights were not read.

        `num_labels`, `id2label`, `label2id`: other classes than the saved ones. `changes`: other fields of the
        configuration, such as `num_queries`, `attn_implementation`. `config`: all of them at once. Weights that do not
        fit then start at random from `seed` with `ignore_mismatched_sizes`, and are refused without. `state_dict`: the
        weights of `config` by the names of `state_dict()`, in place of a name, which is then None. For the options
        about files see `files_of`; for `dtype` and `device_map` `one_dtype` and `one_device`. Raises ContractError for
        a model of another kind, StorageError, WeightsError.
        """
        refuse_unsupported(changes)
        labels = {"num_labels": num_labels, "id2label": id2label, "label2id": label2id}
        labels = {name: value for name, value in labels.items() if value is not None}
        device, stored, mismatched = one_device(device_map), None, []
        if pretrained_model_name_or_path is None:
            if config is None or state_dict is None:
                raise ContractError(f"{cls.__name__}.from_pretrained needs a name, or else both config and state_dict.")
            model = cls(config.changed(**changes, **labels), seed=seed)
            fill_from(model, state_dict)
        else:
            if state_dict is not None:
                raise ContractError("state_dict together with a name: two sources of weights; give one of the two.")
            with files_of(
                pretrained_model_name_or_path,
                revision=revision,
                cache_dir=cache_dir,
                token=token,
                local_files_only=local_files_only,
                subfolder=subfolder,
            ) as repository:
                where = located(pretrained_model_name_or_path, subfolder)
                opened = open_model(where, revision=repository.commit or revision)
                model = cls._opened(
                    opened,
                    None if repository.has(RECIPE) else repository.json(FILE),
                    config,
                    {**changes, **labels},
                    may_differ=ignore_mismatched_sizes,
                    seed=seed,
                )
            if opened.checkpoint is not None:
                stored = stored_dtype(opened.checkpoint)
                mismatched = mismatched_weights(model.model, opened.checkpoint)
        placed(model, device, one_dtype(dtype, torch_dtype, model.config.dtype, stored))
        info = loading_info(missing_weights(model.model, mismatched), [], mismatched)
        return (model, info) if output_loading_info else model

    @classmethod
    def _opened(
        cls: type[Model],
        opened: Opened,
        content: Mapping[str, Any] | None,
        given: ModelConfig | None,
        changes: Mapping[str, Any],
        *,
        may_differ: bool,
        seed: int,
    ) -> Model:
        """`content`: that of `config.json`; None of a folder that was saved as a recipe."""
        if opened.adapter is not None:
            raise ContractError(
                f"{opened.origin} holds a LoRA adapter, which this class does not put in. The fix: load_model(folder, "
                "merge_adapter=True), saved again."
            )
        mapping = dict(opened.recipe_mapping)
        if opened.processing is not None and not mapping.get("processing"):
            mapping["processing"] = plain_data(asdict(opened.processing))
        saved = recipe_from_mapping(mapping, origin=opened.origin)
        if content is None:
            before = cls.config_class.from_recipe(saved, origin=opened.origin)
        else:
            before = cls._config_in(content, opened.origin)
        config = (before if given is None else given).changed(**changes)
        wanted = config.recipe()
        recipe = replace(_with_changes(saved, before.recipe(), wanted, opened.origin), notes=wanted.notes)
        initial = None if opened.checkpoint is None else InitialWeights(opened.checkpoint, saved, opened.random)
        model = cls.__new__(cls)
        nn.Module.__init__(model)
        model.model = build_composed(recipe, seed=seed, initial=initial)
        if recipe != saved and not may_differ:
            _check_fit(model.model, opened.origin, before, config)
        _freeze_as_configured(model.model, config, is_pretrained=True)
        model.config = config
        model._seed = seed
        config.attach(model)
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

    @property
    def labels(self) -> Labels | None:
        """The names of the classes, or None."""
        return self.model.labels

    def _written(self, state_dict: dict[str, Tensor]) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
        """Raises ContractError for a model with parts that transformers has not, WeightsError where a module is no
        longer the one that was built."""
        self.config.check_unchanged()
        self.follow_labels()
        content = {**self.config.of_built(self.model.recipe), "dtype": str(self.dtype).removeprefix("torch.")}
        inner = {name.removeprefix("model."): tensor for name, tensor in state_dict.items()}
        check_as_built(inner, self.model.as_built, self.model.recipe)
        try:
            written = self.config.converter().weights(content, inner)
        except WeightsError as error:
            raise ContractError(
                f"{type(self).__name__}: transformers has no such model: {error} The fix, which saves it as a recipe: "
                "model.model.save_pretrained(folder)."
            ) from error
        processing = written_processing(self.config.model_type, self.model.processor.processing)
        return {FILE: content, PREPROCESSOR_CONFIG: processing}, written

    def follow_labels(self) -> None:
        """Takes over the names of the classes from the configuration: for predictions, drawings, what is saved."""
        names = names_of_classes(self.config.id2label or {})
        before = self.model.labels
        after = None
        if names is not None:
            after = Labels(tuple(names)) if before is None else replace(before, names=tuple(names))
        self.model.rename_classes(after)
        note = gaps_note(self.config.id2label or {})
        if note is not None and self.weight_report is not None and note not in self.weight_report.notes:
            self.weight_report.notes.append(note)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.config.attach(self)  # a copy of a model has a copy of its configuration

    def _recompute(self, enabled: bool) -> None:
        gradient_checkpointing(self.model, enabled)
        self._recomputes = enabled

    def _made_anew(self) -> nn.Module:
        made = nn.Module()
        recipe = self.model.recipe
        made.model = build_composed(
            replace(recipe, backbone=replace(recipe.backbone, pretrained=False)), seed=self._seed
        )
        return made

    def _run(self, pixel_values: Tensor, pixel_mask: Tensor | None, targets: Sequence[Any] | None) -> ModelOutput:
        mask = None if pixel_mask is None else pixel_mask.bool()
        with attention_by(self.config.attn_implementation):
            return self.model(pixel_values, mask, None if targets is None else list(targets))


def _freeze_as_configured(model: ComposedModel, config: ModelConfig, *, is_pretrained: bool) -> None:
    """Here a configuration is followed, while that of a recipe is advice."""
    if config.freezes_norms:
        freeze(model, norms=True)
    advice = model.recipe.training.get("freeze", {})
    if advice and is_pretrained:
        freeze(model, **advice)


def _with_changes(saved: Recipe, before: Recipe, wanted: Recipe, origin: str) -> Recipe:
    """The saved recipe with what differs between the recipes of two configurations."""
    changed = [item.name for item in fields(Recipe) if getattr(before, item.name) != getattr(wanted, item.name)]
    if "backbone" in changed:
        raise ContractError(
            f"{origin} has another backbone than the requested configuration. The fix: load_model, with overrides of"
            " the backbone; or the class itself, which starts every weight at random."
        )
    return replace(saved, **{name: getattr(wanted, name) for name in changed})


def _check_fit(model: ComposedModel, origin: str, before: ModelConfig, wanted: ModelConfig) -> None:
    """Raises ContractError where other options left saved weights without use, or weights at random."""
    report = model.weight_report
    assert report is not None
    fresh = [f"{one.part}.{name}" for one in report.sources for name in one.fresh]
    if not fresh and not any(source.unused for source in report.sources):
        return
    fix = "The fix, which starts it at random: ignore_mismatched_sizes=True."
    if before.num_labels != wanted.num_labels:
        raise ContractError(
            f"{origin} has {before.num_labels} classes, requested are {wanted.num_labels}, so its class predictor does"
            f" not fit. {fix}"
        )
    what = f"{', '.join(fresh[:5])} ({len(fresh)} in all) would start at random" if fresh else "saved weights are left"
    raise ContractError(f"{origin} does not fit the requested configuration: {what}. {fix}")
