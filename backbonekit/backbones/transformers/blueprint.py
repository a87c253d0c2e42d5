"""The `transformers` source: any backbone that the library transformers builds, run by that library itself.

This module alone imports that optional library, and only inside functions.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from backbonekit.backbones.blueprint import CONFIG, DescribedBlueprint, own_names
from backbonekit.backbones.pretrained import adapt_stem
from backbonekit.backbones.transformers.backbone import TransformersBackbone
from backbonekit.backbones.transformers.config import TransformersConfig, first_line
from backbonekit.backbones.transformers.levels import Probed, first_dependents, probe
from backbonekit.backbones.transformers.weights import converted
from backbonekit.contract.features import Level
from backbonekit.contract.image_sizes import ImageSizes
from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError, nearest
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.repository import Repository, open_repository

DEFAULT_SIZE = 224  # pixels a side, of architectures whose configuration states none
_MAX_STAGES = 256


def blueprint(
    name: str | None,
    *,
    config: Mapping[str, Any] | None,
    revision: str | None,
    in_channels: int,
    args: Mapping[str, Any],
) -> "TransformersBlueprint":
    """A backbone by Hub id or folder (`name`), or by the content of its `config.json`, or by both.

    `args`: values that replace fields of the configuration. Reads `config.json` alone, and only where `config` is not
    given; code in a repository is never run. Builds the model on the meta device. Raises RecipeError, ContractError,
    StorageError; RecipeError too where transformers is not installed.
    """
    repository = None
    given = config
    if given is None:
        if name is None:
            raise RecipeError("backbone.name or backbone.config is needed: a Hub id, a folder, or a model_type.")
        repository = open_repository(name, revision=revision)
        given = repository.json(CONFIG)
    given = _vision_config(given)
    model_type = given.get("model_type")
    body_class = _body_class(model_type, given, name)
    parsed = _config(model_type, given, strict=config is not None)
    return TransformersBlueprint(name, body_class, parsed, in_channels, parsed.checked_args(args), repository)


class TransformersBlueprint(DescribedBlueprint):
    """A backbone of transformers before it is constructed: see `contract.roles.Blueprint`."""

    source = "transformers"

    def __init__(
        self,
        name: str | None,
        body_class: Any,
        config: TransformersConfig,
        in_channels: int,
        args: dict[str, Any],
        repository: Repository | None,
    ) -> None:
        super().__init__(name, config.model_type, in_channels, repository)
        self.body_class = body_class
        self.architecture = config
        self.args = args
        made = config.make(self._overlay)
        if "num_channels" not in config.own and in_channels != 3:
            raise RecipeError(f"backbone.in_channels: {config.model_type} takes images of 3 channels only.")
        if len(made.stage_names) > _MAX_STAGES:
            raise RecipeError(f"{config.model_type} of {len(made.stage_names)} stages; {_MAX_STAGES} is the limit.")
        self.canvas = _image_size(vars(made).get("image_size"))
        found: Probed = probe(self._body, made.stage_names, in_channels, self.canvas, self.name)
        self.levels: tuple[Level, ...] = found.levels
        self.forbidden = found.forbidden
        self.fixed_size = found.fixed_size
        self.grid = found.grid
        self.device = found.device
        self._num_bytes = found.num_bytes

    @cached_property
    def config(self) -> dict[str, Any]:
        return self.architecture.to_mapping()

    @property
    def _usual_processing(self) -> Processing:
        return Processing(size=self.canvas)

    def image_sizes(self, out_indices: Sequence[int]) -> ImageSizes:
        return ImageSizes(fixed=self.fixed_size)

    def construct(self, out_indices: Sequence[int]) -> TransformersBackbone:
        positions = self._positions(out_indices)
        return TransformersBackbone(
            self._body(positions),
            levels=self.levels,
            out_indices=positions,
            forbidden=self.forbidden,
            stages=first_dependents(self._body, positions, self.in_channels, self.canvas, self.device),
            in_channels=self.in_channels,
            fixed_size=self.fixed_size,
            grid=self.grid,
            name=self.name,
            builder=self._builder,
        ).eval()

    def num_bytes(self, out_indices: Sequence[int]) -> int:
        return self._num_bytes

    def checkpoint(
        self, pretrained: bool | str, revision: str | None, out_indices: Sequence[int] | None = None
    ) -> Checkpoint:
        """Raises RecipeError where the weights' own `config.json` describes another architecture."""
        stored = self._stored(pretrained, revision)
        ours = own_names(stored)
        if ours is not None:
            return ours
        positions = self.default_indices if out_indices is None else self._positions(out_indices)
        # With the checkpoint's own number of channels; `adapt` adapts the stem to ours.
        config = self.architecture.make(self.args, positions)
        with _quiet():
            return converted(stored, self.body_class, config)

    def adapt(self, key: str, tensor: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, str] | None:
        if tensor.numel() == 0 and len(shape) == 1:
            value = 1.0 if key.endswith("weight") else 0.0
            return torch.full(shape, value), "not in the checkpoint: starts as plain normalisation"
        if tensor.ndim == 4 and (tensor.shape[0], self.in_channels, *tensor.shape[2:]) == shape:
            return adapt_stem(tensor, self.in_channels)
        return None

    @property
    def _overlay(self) -> dict[str, Any]:
        """The values that replace fields of the configuration: the arguments and the images' number of channels."""
        channels = {"num_channels": self.in_channels} if "num_channels" in self.architecture.own else {}
        return {**self.args, **channels}

    def _body(self, positions: Sequence[int]) -> nn.Module:
        config = self.architecture.make(self._overlay, positions)
        try:
            return self.body_class(config)
        except ImportError as error:  # Dinat needs natten
            raise RecipeError(f"{self.name} needs another library beside transformers: {first_line(error)}") from error

    @property
    def _builder(self) -> str:
        return f"build_model({{'backbone': {{'source': 'transformers', 'name': {self._identifier!r}}}}}"

    def _described(self, repository: Repository) -> dict[str, Any]:
        return dict(_vision_config(repository.json(CONFIG)))

    def _differences(self, stored: dict[str, Any]) -> list[str]:
        return list(self.architecture.differences(_config(self.model_type, stored, strict=False)))


def _vision_config(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The vision tower's configuration within that of a model of images and text (TIPSv2), else the same."""
    vision = given.get("vision_config")
    if given.get("model_type") == "tipsv2":
        return {"model_type": "tipsv2_vision_model", **(vision if isinstance(vision, Mapping) else {})}
    return given


def _library() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise RecipeError(
            "source: transformers needs the library transformers, which is not installed:"
            " pip install 'backbonekit[transformers]'."
        ) from error
    return transformers


def _body_class(model_type: Any, given: Mapping[str, Any], name: str | None) -> Any:
    """The class that transformers has for the backbone of a model type."""
    library = _library()
    from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING, MODEL_FOR_BACKBONE_MAPPING_NAMES

    known = [each for each in MODEL_FOR_BACKBONE_MAPPING_NAMES if each != "timm_backbone"]
    if model_type == "timm_backbone":
        raise RecipeError("A timm_backbone of transformers is one of timm: use source: timm and its name.")
    if not isinstance(model_type, str):
        raise RecipeError(f"backbone.config has no model_type; {nearest('', known)}")
    if model_type not in known:
        if isinstance(given.get("backbone_config"), Mapping):
            raise RecipeError(
                f"{name} is a whole model ({model_type}) and no backbone: open it with load_model, or use its"
                " backbone_config as backbone.config."
            )
        raise RecipeError(
            f"transformers {library.__version__} has no backbone of model_type {model_type!r};"
            f" {nearest(model_type, known)}"
        )
    return MODEL_FOR_BACKBONE_MAPPING[library.CONFIG_MAPPING[model_type]]


def _config(model_type: Any, given: Mapping[str, Any], *, strict: bool) -> TransformersConfig:
    library = _library()
    return TransformersConfig(
        model_type, library.CONFIG_MAPPING[model_type], library.PreTrainedConfig, given, strict=strict
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """A context without the loading report and progress bar of transformers; this library reports what was loaded."""
    from transformers.utils import logging as its_logging

    logger = logging.getLogger("transformers")
    level, bars = logger.level, its_logging.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    its_logging.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            its_logging.enable_progress_bar()


def _image_size(image_size: Any) -> tuple[int, int]:
    if isinstance(image_size, int):
        return image_size, image_size
    if isinstance(image_size, Sequence) and len(image_size) == 2:
        return int(image_size[0]), int(image_size[1])
    return DEFAULT_SIZE, DEFAULT_SIZE
