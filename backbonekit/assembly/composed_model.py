"""Parts become one model: images in, feature maps and predictions out, losses beside them when targets are given."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.labels import Labels
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.predictions import ModelOutput, Prediction, Scoring
from backbonekit.contract.targets import Targets
from backbonekit.errors import ContractError
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.recipe.recipe import Recipe

if TYPE_CHECKING:
    from backbonekit.assembly.weight_report import WeightReport


@dataclass(slots=True)
class Chain:
    """One task: necks in order, a head and its criterion, over some of the backbone's maps.

    `levels`: positions among the backbone's maps that enter the first part.
    """

    neck: Iterable[nn.Module]
    head: nn.Module | None
    criterion: nn.Module | None
    levels: Sequence[int]
    loss_weight: float = 1.0

    @property
    def scoring(self) -> Scoring:
        """How the prediction is read: as the criterion has taught the head, where that decides, else as the head
        says."""
        return getattr(self.criterion, "scoring", None) or self.head.scoring  # type: ignore[union-attr]

    def maps(self, maps: FeatureMaps, canvas: Canvas) -> FeatureMaps:
        """From the backbone's maps to what enters the head."""
        tokens = maps.prefix_tokens
        maps = FeatureMaps(
            maps=tuple(maps.maps[position] for position in self.levels),
            extras=maps.extras,
            prefix_tokens=tuple(tokens[position] for position in self.levels) if tokens else (),
        )
        for neck in self.neck:
            maps = neck(maps, canvas)
        return maps

    def losses(self, prediction: Prediction, targets: Targets, canvas: Canvas) -> dict[str, Tensor]:
        """Weighted scalar terms by name: the criterion's, or those that the head's own forward made."""
        terms = (
            (prediction.get("losses") or {}) if self.criterion is None else self.criterion(prediction, targets, canvas)
        )
        return terms if self.loss_weight == 1.0 else {name: term * self.loss_weight for name, term in terms.items()}


class ComposedModel(nn.Module):
    """A backbone and what stands on it. Built by `build_model` and `load_model`, in eval mode.

    Parameters are named `backbone.*`, `neck.N.*`, `head.*`; with several tasks `neck.TASK.N.*` and `head.TASK.*`.
    `recipe`: flat and complete, with the indices that wiring chose and the pyramid that it inserted.
    `weight_report`: where every parameter came from.
    """

    def __init__(
        self, backbone: nn.Module, chains: Mapping[str, Chain], *, recipe: Recipe, processor: ImageProcessor
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.neck: nn.Module
        self.head: nn.Module | None
        self.criterion: nn.Module | None
        self.levels = {task: tuple(chain.levels) for task, chain in chains.items()}
        self.loss_weights = {task: chain.loss_weight for task, chain in chains.items()}
        if tuple(chains) == ("",):
            only = chains[""]
            self.neck, self.head, self.criterion = nn.ModuleList(only.neck), only.head, only.criterion
        else:
            self.neck = nn.ModuleDict({task: nn.ModuleList(chain.neck) for task, chain in chains.items()})
            self.head = nn.ModuleDict({task: chain.head for task, chain in chains.items() if chain.head})
            self.criterion = nn.ModuleDict({task: chain.criterion for task, chain in chains.items() if chain.criterion})
        self.recipe = recipe
        self.processor = processor
        self.weight_report: WeightReport | None = None

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        pixel_mask: Bool[Tensor, "batch height width"] | None = None,
        targets: Targets | None = None,
    ) -> ModelOutput:
        """`pixel_values`: normalised as `processor` does. `pixel_mask`: True where a real pixel is; None: everywhere.

        `targets`: one dict an image (`contract/targets.py`); then `loss` and `losses` are set, in train and eval mode.
        """
        if targets is not None and len(targets) != pixel_values.shape[0]:
            raise ContractError(f"{len(targets)} targets for {pixel_values.shape[0]} images; give one dict an image.")
        canvas = Canvas((pixel_values.shape[-2], pixel_values.shape[-1]), pixel_mask)
        maps = self.backbone(_channels_last(pixel_values))
        feature_maps, extras = maps.maps, {}
        predictions: dict[str, Prediction] = {}
        losses: dict[str, Tensor] = {}
        for task, chain in self.chains().items():
            entering = chain.maps(maps, canvas)
            if chain.head is None:
                feature_maps, extras = entering.maps, entering.extras
                continue
            predictions[task] = prediction = chain.head(entering, canvas, targets)
            if targets is not None:
                prefix = f"{task}." if task else ""
                losses |= {prefix + name: term for name, term in chain.losses(prediction, targets, canvas).items()}
        return ModelOutput(
            feature_maps=feature_maps,
            predictions=predictions.get("") if "" in self.levels else predictions,
            loss=sum(losses.values()) if losses else None,  # type: ignore[arg-type]
            losses=losses or None,
            extras=extras or None,
        )

    def chains(self) -> dict[str, Chain]:
        """The tasks by name; the only one of a model without names is ''."""
        if "" in self.levels:
            return {"": Chain(self.neck, self.head, self.criterion, self.levels[""])}  # type: ignore[arg-type]
        necks: Any = self.neck
        return {
            task: Chain(necks[task], _of(self.head, task), _of(self.criterion, task), levels, self.loss_weights[task])
            for task, levels in self.levels.items()
        }

    @property
    def features(self) -> FeaturePyramid:
        """What `feature_maps` are: the backbone's levels, or without a head those that the last neck gives."""
        neck, is_headless = list(self.neck.children()), "" in self.levels and self.head is None
        return (neck[-1] if is_headless and neck else self.backbone).features  # type: ignore[return-value]

    @property
    def labels(self) -> Labels | None:
        """The names of the classes, or None."""
        return self.recipe.labels

    def predict(
        self,
        images: Any,
        *,
        boxes: Any = None,
        task: str | None = None,
        threshold: float | None = None,
        top_k: int | None = None,
        batch_size: int = 1,
    ) -> list[Any]:
        """Results for images of any kind that the processor reads, each in its image's own pixels.

        `task`: which answer, for heads that can give several (semantic, instance, panoptic). `threshold`: the lowest
        score that is kept. `top_k`: how many classes or masks at most. `boxes`: for top-down pose, the persons of each
        image, [N, 4] xyxy in pixels (of a list of images a list of those); the result of an image is then one
        `KeypointResult` for each box.
        """
        from backbonekit.assembly.predict import predict

        return predict(self, images, boxes=boxes, task=task, threshold=threshold, top_k=top_k, batch_size=batch_size)

    def save_pretrained(self, folder: str | Path) -> Path:
        """Writes recipe, weights, processing and a model card; all or nothing. Returns the folder."""
        from backbonekit.assembly.saving import save_pretrained

        return save_pretrained(self, folder)

    def push_to_hub(self, identifier: str, *, private: bool = False, token: str | None = None) -> str:
        """Uploads what `save_pretrained` writes to a Hub repository, in one commit. Returns the commit's address."""
        from backbonekit.assembly.saving import push_to_hub

        return push_to_hub(self, identifier, private=private, token=token)


def _channels_last(pixel_values: Tensor) -> Tensor:
    """The same images in the memory layout that oneDNN and cuDNN compute in. Convolutions hand it on, so no layer
    converts to it and back. Apple's GPU has misread slices of such maps: https://github.com/pytorch/pytorch/issues/180984
    """
    if pixel_values.device.type not in ("cpu", "cuda"):
        return pixel_values
    return pixel_values.contiguous(memory_format=torch.channels_last)


def _of(parts: Any, task: str) -> nn.Module | None:
    # ModuleDict has no `get`.
    return parts[task] if task in parts else None  # noqa: SIM401
