"""An experiment as frozen data: a recipe, and what it is trained on and how. No torch here."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from backbonekit.contract.labels import Labels
from backbonekit.errors import RecipeError
from backbonekit.recipe.experiment_settings import Optimisation, TrainerSettings
from backbonekit.recipe.part_options import takes_classes
from backbonekit.recipe.recipe import PartRecipe, Recipe, plain_data

Augmentation = str | tuple[Mapping[str, Any], ...] | None
AUTO = "auto"
# Stands in a recipe for a number of classes that the data decides, until `with_labels`; nothing is built with it.
UNDECIDED = 100_000


@dataclass(frozen=True, slots=True)
class Experiment:
    """A recipe with its training.

    `data`: a data format by `name`, with its options. `augmentation`: None, "paper", or steps by `name`, with theirs.
    `classes_from_data`: the number of classes and their names come from the data; until `with_labels` the recipe has
    no valid number. `notes`: messages on what composing decided, no part of the experiment itself.
    """

    model: Recipe
    data: Mapping[str, Any] | None = None
    augmentation: Augmentation = None
    optimisation: Optimisation = field(default_factory=Optimisation)
    trainer: TrainerSettings = field(default_factory=TrainerSettings)
    classes_from_data: bool = False
    notes: tuple[str, ...] = ()

    def with_labels(self, labels: Labels | None) -> "Experiment":
        """The same with the classes of the data, by which a model is built. `labels`: of the data; None where its
        format has no classes.

        Raises RecipeError where the model has other classes than the data.
        """
        if not any(_takes_classes(task.head) for task in self.model.tasks.values()):
            return replace(self, classes_from_data=False)
        if labels is None:
            if self.classes_from_data:
                raise RecipeError(
                    "head.num_classes is auto, and this data names no classes. The fix: head.num_classes=NUMBER."
                )
            return self
        if self.classes_from_data:
            return replace(self, model=_with_classes(self.model, labels), classes_from_data=False)
        _check_same(self.model, labels)
        model = self.model
        if len(model.tasks) == 1 and (model.labels is None or model.labels.category_ids is None):
            # The names that the recipe has stay; the ids are needed to write results for this data.
            names = labels.names if model.labels is None else model.labels.names
            things = labels.things if model.labels is None else model.labels.things
            model = replace(model, labels=Labels(names, things, labels.category_ids))
        return replace(self, model=model)

    def to_dict(self) -> dict[str, Any]:
        """Flat, complete, plain: what is saved and shared."""
        model = self.model.to_dict()
        if self.classes_from_data:
            model["labels"] = None
            heads = [task["head"] for task in model.get("heads", {}).values()] or [model.get("head")]
            for head in heads:
                if head is not None and "num_classes" in head:
                    head["num_classes"] = AUTO
        return {
            "model": model,
            "data": plain_data(self.data),
            "augmentation": plain_data(self.augmentation),
            "optimisation": plain_data(asdict(self.optimisation)),
            "trainer": plain_data(asdict(self.trainer)),
        }


def _takes_classes(head: PartRecipe | None) -> bool:
    return head is not None and takes_classes(head.name) and "num_classes" in head.options


def _with_classes(model: Recipe, labels: Labels) -> Recipe:
    """The recipe with these classes in each of its heads that has any."""

    def counted(head: PartRecipe | None) -> PartRecipe | None:
        if head is None or not _takes_classes(head):
            return head
        return replace(head, options={**head.options, "num_classes": len(labels.names)})

    if not model.heads:
        return replace(model, head=counted(model.head), labels=labels)
    heads = {name: replace(task, head=counted(task.head)) for name, task in model.heads.items()}
    return replace(model, heads=heads, labels=labels)


def _check_same(model: Recipe, labels: Labels) -> None:
    counts = [task.head.options["num_classes"] for task in model.tasks.values() if _takes_classes(task.head)]  # type: ignore[union-attr]
    if len(labels.names) not in counts:
        raise RecipeError(
            f"head.num_classes is {counts[0]}, and the data has {len(labels.names)} classes ({_listed(labels.names)})."
            f" The fix: head.num_classes=auto, which takes those of the data, or the data that the model is for."
        )
    own = model.labels
    if own is not None and len(model.tasks) == 1:
        differing = [
            f"{index} is {mine!r} in the recipe and {theirs!r} in the data"
            for index, (mine, theirs) in enumerate(zip(own.names, labels.names, strict=True))
            if mine != theirs
        ]
        if differing:
            raise RecipeError(
                f"labels: class {'; '.join(differing[:5])}{', ...' if len(differing) > 5 else ''}. The fix:"
                " head.num_classes=auto, which takes the names of the data, or labels with the same names in the same"
                " order."
            )


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
