"""Which positions of an image a class token, a position or a query attends to."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.inference import evaluating, on_model
from backbonekit.contract.looking import CLASS, QUERY, Attending, read_attending
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.predictions import BoxQueries, MaskQueries
from backbonekit.contract.processing import Geometry
from backbonekit.errors import ContractError
from backbonekit.image_processing.pixels import ImageLike
from backbonekit.layers.attention_weights import caught_weights
from backbonekit.postprocessing.window import Window, window_of


@dataclass(frozen=True, slots=True)
class Attention:
    """`weights`: float [height, width] on the grid of a map, the mean of all heads. `title`: what attends. `geometry`:
    where the image lies on the canvas. `point`: (x, y) of the position that attends, else None."""

    weights: Tensor
    title: str
    geometry: Geometry
    point: tuple[int, int] | None = None


def attention_of(model: ComposedModel, image: ImageLike, attending: Attending = CLASS) -> Attention:
    """How strongly each position is attended to, in the last layer that has weights for all positions.

    `attending`: `class` for the class token of the backbone; (x, y) for the position of the backbone's map at that
    pixel of the image; `query:7` for a query of a detector or mask model, `query` for the one with the highest score.
    Raises ContractError for a model that has no such attention.
    """
    attending = read_attending(attending) if isinstance(attending, str) else attending
    batch, (geometry,) = model.processor.prepare([image])
    values, mask = on_model(model, batch)
    with evaluating(model), torch.inference_mode():
        if isinstance(attending, str) and attending.startswith(QUERY):
            return _of_query(model, values, mask, geometry, attending)
        return _of_backbone(model, values, geometry, attending)


def _of_backbone(model: ComposedModel, values: Tensor, geometry: Geometry, attending: Attending) -> Attention:
    backbone: Any = model.backbone
    level = backbone.features.levels[-1]
    if attending == CLASS and not (level.prefix_tokens and level.has_class_token):
        raise ContractError(
            f"attention=class: {level.name} has no class token. The fix: attention=x,y for a position; or a plain "
            "vision transformer, such as backbone=dinov2_small."
        )

    def square(weights: Tensor) -> Tensor | None:
        """The mean over the heads of weights [1, heads, tokens, tokens]."""
        return weights[0].mean(dim=0) if weights.ndim == 4 and weights.shape[2] == weights.shape[3] else None

    with caught_weights([backbone], take=square) as caught:
        maps = backbone(values)
    height, width = maps.maps[-1].shape[-2:]
    prefix = level.prefix_tokens
    whole = [weights for weights in caught if len(weights) == prefix + height * width]
    if not whole:
        raise ContractError(
            f"attention={_written(attending)}: {backbone.name} has no layer in which every position attends to every "
            "other one. The fix: a plain vision transformer, such as backbone=dinov2_small."
        )
    if isinstance(attending, str):
        row, title, point = 0, f"class token, {level.name}", None
    else:
        row, point = prefix + _cell(window_of(geometry, (height, width)), attending, width), attending
        title = f"position {attending[0]},{attending[1]}, {level.name}"
    return Attention(whole[-1][row, prefix:].unflatten(0, (height, width)), title, geometry, point)


def _cell(window: Window, point: tuple[int, int], width: int) -> int:
    """The number of the cell, by row then column of a grid of `width`, at (x, y) of the image."""
    x, y = point
    top, bottom, left, right = window.box
    if not (left <= x < right and top <= y < bottom):
        raise ContractError(
            f"attention={x},{y}: the model sees columns {left} to {right - 1} and rows {top} to {bottom - 1}."
        )
    row = int((float(window.rows[y - top]) + 1) / 2 * window.cells[0])
    column = int((float(window.columns[x - left]) + 1) / 2 * window.cells[1])
    return min(row, window.cells[0] - 1) * width + min(column, window.cells[1] - 1)


def _of_query(
    model: ComposedModel, values: Tensor, mask: Tensor | None, geometry: Geometry, attending: str
) -> Attention:
    heads = {name: task.modules(model).head for name, task in model.tasks.items()}
    found = [(name, head) for name, head in heads.items() if head is not None]
    kinds = {name: model.prediction_kind(name) for name, _ in found}
    chosen = [(name, head) for name, head in found if kinds[name] in (BoxQueries, MaskQueries)]
    if not chosen:
        raise ContractError(f"attention={attending}: this model has no queries. The fix: attention=class, or x,y.")
    name, head = chosen[0]

    def rows(weights: Tensor) -> Tensor | None:
        """The mean over the heads of weights [1, heads, queries, keys]."""
        return weights[0].mean(dim=0) if weights.ndim == 4 else None

    with caught_weights([head], take=rows) as caught, _entering(head) as entered:
        predictions = model(values, mask).predictions
    prediction: Any = predictions[name] if name else predictions
    scores = _scores(prediction.class_logits[0], model.scoring(name))
    query = int(attending.partition(":")[2]) if ":" in attending else int(scores.argmax())
    if query >= len(scores):
        raise ContractError(f"attention={attending}: this model has queries 0 to {len(scores) - 1}.")
    sizes = {each.shape[-2] * each.shape[-1]: each.shape[-2:] for each in entered[-1].maps}
    sizes.pop(len(scores), None)  # as many positions as queries: their attention to one another looks the same
    whole = [weights for weights in caught if len(weights) == len(scores) and weights.shape[1] in sizes]
    if not whole:
        raise ContractError(
            f"attention={attending}: the queries of {model.tasks[name].head_name} attend to sampled points, not to "
            "all positions. The fix: a model such as detr_resnet50 or maskformer_resnet50; or attention=x,y."
        )
    weights = whole[-1][query].unflatten(0, sizes[whole[-1].shape[1]])
    return Attention(weights, f"query {query}, score {float(scores[query]):.0%}", geometry)


def _scores(class_logits: Tensor, scoring: str | None) -> Tensor:
    """[queries]: of the best class of each."""
    if scoring == "softmax_with_null":
        return class_logits.softmax(dim=-1)[:, :-1].amax(dim=-1)
    return class_logits.sigmoid().amax(dim=-1)


@contextmanager
def _entering(head: nn.Module) -> Iterator[list[FeatureMaps]]:
    """The maps that enter the head, of each call inside the context."""
    entered: list[FeatureMaps] = []
    handle = head.register_forward_pre_hook(lambda _module, arguments: entered.append(arguments[0]))
    try:
        yield entered
    finally:
        handle.remove()


def _written(attending: Attending) -> str:
    return attending if isinstance(attending, str) else ",".join(map(str, attending))
