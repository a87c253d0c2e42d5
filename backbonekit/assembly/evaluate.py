"""A model over one split of a data set: every image predicted and measured, broken ones listed."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.inference import evaluating, run
from backbonekit.assembly.measuring import evaluation_of, results_of
from backbonekit.assembly.predict import predict
from backbonekit.contract.datasets import Split
from backbonekit.contract.scores import Scores
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.evaluation import Evaluation

Progress = Callable[[int, int], object]  # (images done, images in all)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """`scores` of all images that could be read; `failed`: a message for each of the others."""

    scores: Scores
    failed: tuple[str, ...] = ()


def evaluate(
    model: ComposedModel,
    split: Split,
    *,
    task: str | None = None,
    batch_size: int = 1,
    progress: Progress | None = None,
) -> Evaluated:
    """The scores of a model on a split.

    `task`: as `measuring.readings_of` has it. `batch_size`: images padded together, which changes the results of some
    models a little. `progress` is called after every batch. Of a model that finds the keypoints of a person, the
    persons are cut out by the boxes of the target, where it has them.

    Raises RecipeError for a model or a task that cannot be measured, StorageError where no image can be read, and
    ContractError where targets and results do not go together.
    """
    if batch_size < 1:
        raise RecipeError(f"batch_size={batch_size}: a batch has at least 1 image.")
    failed: list[str] = []
    evaluation: Evaluation | None = None
    done = 0
    with evaluating(model):
        for batch in _batches(split, batch_size, failed):
            if evaluation is None:
                evaluation = evaluation_of(model, task=task, keys=batch[0][2])
            _measure(model, evaluation, batch, failed, split)
            done = batch[-1][0] + 1
            if progress is not None:
                progress(done, len(split))
    if evaluation is None:
        raise StorageError("\n".join([f"none of the {len(split)} images can be read:", *failed[:20]]))
    return Evaluated(evaluation.compute(), tuple(failed))


_Entry = tuple[int, Any, dict[str, Any]]  # index, image, target


def _batches(split: Split, batch_size: int, failed: list[str]) -> Iterator[list[_Entry]]:
    """Images that can be read, so many at a time; messages on the others are added to `failed`."""
    batch: list[_Entry] = []
    for index in range(len(split)):
        try:
            image, target = split[index]
        except StorageError as error:
            failed.append(_named(error, split, index))
            continue
        batch.append((index, image, target))
        if len(batch) == batch_size:
            yield batch
            batch = []
    if batch:
        yield batch


def _measure(
    model: ComposedModel, evaluation: Evaluation, batch: Sequence[_Entry], failed: list[str], split: Split
) -> None:
    indices, images, targets = zip(*batch, strict=True)
    try:
        results = _results(model, evaluation, images, targets)
    except ContractError as error:  # an image that this processing cannot take; its batch-mates are not to blame
        if len(batch) == 1:
            failed.append(_named(error, split, indices[0]))
            return
        for entry in batch:
            _measure(model, evaluation, [entry], failed, split)
        return
    for index, result, target in zip(indices, results, targets, strict=True):
        try:
            evaluation.update([result], [model.processor.relabelled(target)], [index])
        except ContractError as error:
            raise ContractError(f"{split.name(index)}: {error}") from error


def _results(
    model: ComposedModel, evaluation: Evaluation, images: Sequence[Any], targets: Sequence[dict[str, Any]]
) -> list[Any]:
    if tuple(evaluation.readings.values()) == ("keypoints",) and all("boxes" in target for target in targets):
        (task,) = evaluation.readings
        people = [_persons(target) for target in targets]
        return predict(model, list(images), boxes=people, task=task or None)
    batch, geometries = model.processor.prepare(images)
    return results_of(model, run(model, batch), geometries, evaluation)


def _persons(target: dict[str, Any]) -> torch.Tensor:
    """Boxes [N, 4] of the persons that are no crowd."""
    boxes = torch.as_tensor(target["boxes"])
    return boxes[~torch.as_tensor(target["iscrowd"]).bool()] if "iscrowd" in target else boxes


def _named(error: Exception, split: Split, index: int) -> str:
    name = split.name(index)
    return str(error) if name in str(error) else f"{name}: {error}"
