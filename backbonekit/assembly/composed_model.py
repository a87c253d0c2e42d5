"""Parts become one model: images in, feature maps and predictions out, losses beside them when targets are given."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.assembly.task import (
    SharedNeck,
    Task,
    TaskModules,
    TaskOutput,
    labels_of_results,
    modules_by_kind,
    selected,
)
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.labels import Labels
from backbonekit.contract.maps import Canvas, FeatureMaps, check_pixel_values
from backbonekit.contract.pooling import Pool
from backbonekit.contract.predictions import ModelOutput, Prediction, Scoring
from backbonekit.contract.roles import NormalisesVectors
from backbonekit.contract.signatures import prediction_of
from backbonekit.contract.target_checks import check_targets
from backbonekit.contract.targets import TargetReader, Targets
from backbonekit.errors import ContractError
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.recipe.recipe import Recipe
from backbonekit.registry.lookup import resolve
from backbonekit.weights.snapshot import snapshot
from backbonekit.weights.weight_report import WeightReport

if TYPE_CHECKING:
    from backbonekit.assembly.describe import Description

SavedFormat = Literal["backbonekit", "transformers"]


class ComposedModel(nn.Module):
    """A backbone with its necks and heads. Built by `build_model` and `load_model`, in eval mode.

    Parameters are named `backbone.*`, `neck.N.*`, `head.*`; with several tasks `shared_neck.N.*`, `neck.TASK.N.*` and
    `head.TASK.*`.
    `recipe`: flat and complete, with the indices that wiring chose and the pyramid that it inserted.
    `tasks`: by name, '' for the only one of a model whose tasks have no names.
    `weight_report`: where every parameter came from. `as_built`: what the modules were then, which saving compares.
    """

    def __init__(
        self,
        backbone: nn.Module,
        tasks: Sequence[tuple[Task, TaskModules]],
        *,
        recipe: Recipe,
        processor: ImageProcessor,
        weight_report: WeightReport | None = None,
        shared: SharedNeck | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        shared = shared or SharedNeck(nn.ModuleList())
        self.shared_neck, self.shared_levels, self.shared_inserted = shared
        self.neck: nn.Module
        self.head: nn.Module | None
        self.criterion: nn.Module | None
        self.neck, self.head, self.criterion = modules_by_kind(tasks)
        self.tasks = {task.name: task for task, _ in tasks}
        self.recipe = recipe
        self.processor = processor
        self.weight_report = weight_report
        self.as_built = snapshot(self)

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        pixel_mask: Bool[Tensor, "batch height width"] | None = None,
        targets: Targets | None = None,
    ) -> ModelOutput:
        """`pixel_values`: normalised as `processor` does. `pixel_mask`: True where a real pixel is; None: everywhere.

        `targets`: one dict an image (`contract/targets.py`); then `loss` and `losses` are set, in train and eval mode.
        """
        check_pixel_values(pixel_values)
        if targets is not None:
            check_targets(targets, pixel_values.shape[0], self.target_readers())
        canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
        maps = self.backbone(_channels_last(pixel_values))
        entering = self._shared(maps, canvas)
        outputs = {name: task.run(self, entering, canvas, targets) for name, task in self.tasks.items()}
        return _model_output(maps, outputs)

    def extract(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        pixel_mask: Bool[Tensor, "batch height width"] | None = None,
    ) -> FeatureMaps:
        """`feature_maps` alone, with the class and register tokens of transformers beside them; no head runs."""
        check_pixel_values(pixel_values)
        maps = self.backbone(_channels_last(pixel_values))
        if self.head is not None:
            return maps
        canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
        return self.tasks[""].run(self, self._shared(maps, canvas), canvas, None).maps

    def after_pooling(self, vectors: Float[Tensor, "batch channels"], position: int) -> Float[Tensor, "batch channels"]:
        """Vectors that the map at `position` of `features` was pooled to, normalised where the backbone's architecture
        does so and the backbone was built with that norm (`backbone.args.norm: embedding`)."""
        backbone: Any = self.backbone
        if self.features is not backbone.features and self.features != backbone.features:
            return vectors
        index = backbone.out_indices[position]
        return backbone.after_pooling(vectors, index) if isinstance(backbone, NormalisesVectors) else vectors

    def _shared(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        """What enters the tasks: the backbone's maps, through the necks that all tasks share."""
        if len(self.shared_neck):
            maps = selected(maps, self.shared_levels)
        for neck in self.shared_neck:
            maps = neck(maps, canvas)
        return maps

    @property
    def features(self) -> FeaturePyramid:
        """What `feature_maps` are: the backbone's levels, or without a head those of the last neck."""
        necks = list(self.neck.children()) if self.head is None else []
        return (necks[-1] if necks else self.backbone).features  # type: ignore[return-value]

    def target_readers(self) -> list[TargetReader]:
        """Which target keys each task learns from."""
        readers = [task.reader(self) for task in self.tasks.values()]
        return [reader for reader in readers if reader is not None]

    def scoring(self, task: str = "") -> Scoring | None:
        """How scores are read off a task's prediction; None for a task without a head."""
        return self.tasks[task].scoring(self)

    def prediction_kind(self, task: str = "") -> type[Prediction] | None:
        """The kind of prediction of a task's head, by the recipe; None for a task without a head."""
        head = self.recipe.tasks[task].head
        return None if head is None else prediction_of(resolve("head", head.name))

    @property
    def labels(self) -> Labels | None:
        """The names of the classes, or None; of several tasks, of those that have no other ones."""
        return self.recipe.labels

    def task_labels(self, task: str = "") -> Labels | None:
        """The names of the classes of a task."""
        return self.recipe.task_labels(task)

    def result_labels(self, task: str | None = None) -> Labels | Mapping[str, Labels | None] | None:
        """The names for what `predict(task=task)` returns: of one task, or by task where they differ."""
        predicting = [name for name in self.tasks if self.scoring(name) is not None]
        return labels_of_results({name: self.task_labels(name) for name in predicting}, task)

    @property
    def weights_warning(self) -> str | None:
        """What `draw(..., stamp=...)` is to write over predictions: how many of the weights are random still, neither
        loaded nor trained; None where none are."""
        report = self.weight_report
        return None if report is None else report.since(self.as_built, self).warning

    def rename_classes(self, labels: Labels | None) -> None:
        """Other names for the same classes: results, drawings and what is saved follow."""
        self.recipe = replace(self.recipe, labels=labels)
        self.processor.labels = labels

    def predict(
        self,
        images: Any,
        *,
        boxes: Any = None,
        task: str | None = None,
        threshold: float | None = None,
        top_k: int | None = None,
        batch_size: int | None = None,
        tile: int | None = None,
        overlap: int = 0,
        augment: Sequence[str | float] = (),
    ) -> list[Any]:
        """Results for images of any kind that the processor reads, each in its image's own pixels.

        `task`: how the prediction is read, where there are several ways (semantic, instance, panoptic).
        `threshold`: the lowest score that is kept. `top_k`: how many classes or masks at most. `boxes`: for top-down
        pose, the persons of each image, [N, 4] xyxy in pixels (of a list of images a list of those); the result of an
        image is then one `KeypointResult` for each box. `batch_size`: images in a batch (1); with boxes persons (16).
        `tile`, `overlap`: large images in squares of `tile` pixels that share `overlap` pixels, put together again.
        `augment`: for dense predictions, views to average over, as `["flip", 0.75, 1.25]`.
        """
        from backbonekit.assembly.predict import predict

        return predict(
            self,
            images,
            boxes=boxes,
            task=task,
            threshold=threshold,
            top_k=top_k,
            batch_size=batch_size,
            tile=tile,
            overlap=overlap,
            augment=augment,
        )

    def embed(self, images: Any, *, pool: Pool = "mean", batch_size: int = 32) -> Tensor | list[FeatureMaps]:
        """The features of images of any kind that the processor reads: [images, channels] on the CPU; no head runs.

        `pool`: `mean`, `max` or `gem` over the positions of a map, `cls` for the class token of a transformer, or
        `none` for the maps themselves, see `assembly/embed.py`. Several levels stand side by side. `batch_size`: images
        of one size that run together.
        """
        from backbonekit.assembly.embed import embed

        return embed(self, images, pool=pool, batch_size=batch_size)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        overwrite: bool | None = None,
        format: SavedFormat = "backbonekit",
        max_shard_size: int | str = "5GB",
    ) -> Path:
        """Writes recipe, weights, processing and a model card; all or nothing. Returns the folder.

        `format`: `transformers` writes `config.json` and the weights by transformers' names instead of the recipe, for
        `from_pretrained` of transformers' own class; a model that transformers does not have is a ContractError that
        names every reason. `max_shard_size`: of a weight file, in bytes or as `500MB`; larger ones are cut.
        `overwrite`: whether a model in the folder may be replaced; None: one of the same parts, an older save of this
        one. A LoRA adapter that peft put in is written beside the weights, in peft's files. Raises StorageError, and
        WeightsError where a module is no longer the one that the recipe builds.
        """
        # What saving alone takes is imported here: building a model is the more frequent use.
        from backbonekit.assembly.as_built import check_as_built
        from backbonekit.hub.saving import save_composed
        from backbonekit.postprocessing.results import PREDICTION_KINDS
        from backbonekit.weights.adapters import adapter_of, without_adapter
        from backbonekit.weights.write_tensors import shard_bytes

        if format not in get_args(SavedFormat):
            raise ContractError(f"format={format!r}: must be {' or '.join(get_args(SavedFormat))}.")
        adapter = adapter_of(self)
        state_dict = self.state_dict() if adapter is None else without_adapter(self.state_dict(), adapter)
        check_as_built(state_dict, self.as_built, self.recipe)
        report = self.weight_report
        return save_composed(
            folder,
            recipe=self.recipe,
            weight_report=None if report is None else report.since(self.as_built, self),
            state_dict=state_dict,
            overwrite=overwrite,
            adapter=adapter,
            processing=self.processor.processing,
            pipeline_tags={kind: entry.pipeline_tag for kind, entry in PREDICTION_KINDS.items()},
            max_shard_bytes=shard_bytes(max_shard_size),
            for_transformers=format == "transformers",
        )

    def push_to_hub(
        self,
        identifier: str,
        *,
        private: bool = False,
        token: str | None = None,
        format: SavedFormat = "backbonekit",
        commit_message: str = "Upload model",
        max_shard_size: int | str = "5GB",
    ) -> str:
        """Uploads what `save_pretrained` writes to a Hub repository, in one commit. Returns the commit's address.

        `private`: holds for a repository that is made now. `token`: the stored one where None. A commit of somebody
        else in between is a StorageError, and nothing is uploaded.
        """
        from backbonekit.hub.push import push_contents, push_folder, transformers_contents

        with TemporaryDirectory() as folder:
            saved = self.save_pretrained(Path(folder) / "model", format=format, max_shard_size=max_shard_size)
            if format == "transformers":
                contents = transformers_contents(saved)
                return push_contents(contents, identifier, private=private, token=token, message=commit_message)
            return push_folder(saved, identifier, private=private, token=token, message=commit_message)

    def __repr__(self) -> str:
        """The wiring as a table; nothing is run for it. torch's tree is that of a part: `print(model.head)`."""
        from backbonekit.assembly.wiring_table import title_of, wiring_text

        outlined = self._outline()
        return super().__repr__() if outlined is None else f"{title_of(self.recipe)}\n\n{wiring_text(outlined)}"

    def _repr_html_(self) -> str | None:
        """The wiring as a diagram, which notebooks show; nothing is run for it."""
        from backbonekit.assembly.diagram import diagram_of
        from backbonekit.visualization.diagram_svg import diagram_svg

        outlined = self._outline()
        return None if outlined is None else diagram_svg(diagram_of(outlined))

    def _outline(self) -> "Description | None":
        """None while the model is under construction, and where a part was replaced by a module that publishes no
        features: showing a model must not fail in a debugger."""
        from backbonekit.assembly.describe import outline

        try:
            return outline(self)
        except (AttributeError, KeyError, IndexError, ValueError):
            return None


def _model_output(maps: FeatureMaps, tasks: Mapping[str, TaskOutput]) -> ModelOutput:
    """The feature maps are the backbone's; of a model without a head, those that its last neck returned."""
    losses = {
        f"{name}.{term}" if name else term: loss for name, task in tasks.items() for term, loss in task.losses.items()
    }
    total = sum(losses.values()) if losses else None
    only = tasks.get("")
    if only is not None and only.prediction is None:
        return ModelOutput(feature_maps=only.maps.maps, extras=only.maps.extras or None)
    predictions = {name: task.prediction for name, task in tasks.items() if task.prediction is not None}
    return ModelOutput(
        feature_maps=maps.maps,
        predictions=predictions if only is None else only.prediction,
        loss=total,  # type: ignore[arg-type]
        losses=losses or None,
    )


def _channels_last(pixel_values: Tensor) -> Tensor:
    """The same images in the memory layout that oneDNN and cuDNN compute in. Convolutions keep it, so no layer
    converts to it and back. Apple's GPU has misread slices of such maps: https://github.com/pytorch/pytorch/issues/180984
    """
    if pixel_values.device.type not in ("cpu", "cuda"):
        return pixel_values
    return pixel_values.contiguous(memory_format=torch.channels_last)
