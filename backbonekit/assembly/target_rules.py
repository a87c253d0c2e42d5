"""How the processor of a model reads the targets of each of its tasks."""

from collections.abc import Sequence
from dataclasses import replace

from backbonekit.assembly.ignored_label import num_segmented, num_segmented_by
from backbonekit.assembly.wire import Wiring
from backbonekit.contract.ignored_label import ignored_label
from backbonekit.contract.processing import Processing
from backbonekit.contract.targets import TargetReader
from backbonekit.image_processing.target_rules import TargetRules
from backbonekit.recipe.recipe import Recipe


def rules_by_task(
    wiring: Wiring, recipe: Recipe, processing: Processing, readers: Sequence[TargetReader]
) -> dict[str, TargetRules]:
    """By the name of the task; none for a model of one. What a task does not say for itself is the model's."""
    rules: dict[str, TargetRules] = {}
    # A task reads a target alone, in which its keys have no prefix.
    plain = tuple(replace(reader, task="") for reader in readers)
    of_objects = {one.task for one in readers if any("labels" in keys for keys in one.reads)}
    for plan in wiring.tasks:
        if not plan.name:
            continue
        own = plan.recipe.processing
        given = own.get("ignore_label", processing.ignore_label)
        label_map = own.get("label_map", processing.label_map)
        labels = recipe.task_labels(plan.name)
        ids = None if labels is None else labels.category_ids
        everyones = None if recipe.labels is None else recipe.labels.category_ids
        rules[plan.name] = TargetRules(
            ignored_label(given, num_segmented(wiring)),
            label_map,
            plain,
            labels,
            num_checked=num_segmented_by(plan) if given is None else None,
            is_own=bool(own) or (ids not in (None, everyones) and plan.name in of_objects),
        )
    return rules
