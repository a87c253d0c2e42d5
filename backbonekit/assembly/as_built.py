"""Whether a model can be saved by its recipe: its modules must be those that the recipe builds."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import cast

from torch import Tensor, nn

from backbonekit.assembly.wire import wire
from backbonekit.errors import ContractError, RecipeError, WeightsError
from backbonekit.recipe.recipe import Recipe
from backbonekit.weights.construct import without_weights
from backbonekit.weights.snapshot import Snapshot, snapshot

_SHOWN = 5
# What wrappers leave in the names of tensors, and how they are taken off again.
_WRAPPERS = {
    "lora_": "merge the adapter first (peft: merge_and_unload() of the model that get_peft_model returned)",
    "base_layer.": "merge the adapter first (peft: merge_and_unload() of the model that get_peft_model returned)",
    "parametrizations.": "torch.nn.utils.parametrize.remove_parametrizations(module, 'weight') first",
    "weight_g": "torch.nn.utils.remove_weight_norm(module) first",
    "weight_orig": "torch.nn.utils.prune.remove or remove_spectral_norm on the module first",
    "_orig_mod.": "compile in place with module.compile(), which wraps nothing",
}


def check_as_built(state_dict: Mapping[str, Tensor], built: Snapshot, recipe: Recipe) -> None:
    """Raises WeightsError with the fix where a module was replaced, wrapped or changed by hand since it was built: the
    recipe would build another one, which these weights do not fit."""
    differences = built.differences(state_dict)
    if not differences:
        return
    shown = "\n".join(f"  {each}" for each in differences[:_SHOWN])
    more = f"\n  ... ({len(differences)} in all)" if len(differences) > _SHOWN else ""
    raise WeightsError(
        f"the model is not what its recipe builds, so what is saved could not be opened again:\n{shown}{more}\n"
        f"The fix: {_fix(state_dict, built, recipe, differences)}."
    )


def _fix(state_dict: Mapping[str, Tensor], built: Snapshot, recipe: Recipe, differences: list[str]) -> str:
    for mark, fix in _WRAPPERS.items():
        if any(mark in name for name in state_dict if name not in built.tensors):
            return fix
    shapes_now = {name: tuple(tensor.shape) for name, tensor in state_dict.items() if name in built.tensors}
    names = [name for name, shape in shapes_now.items() if shape != built.tensors[name][0]]
    if len(names) == len(differences):
        for override, changed in _changes(recipe, [state_dict[name] for name in names]):
            shapes = _shapes_of(changed)
            if all(shapes.get(name) == shapes_now[name] for name in names):
                return f"{override} builds it so (load_model(FOLDER, [{override!r}]) keeps the other weights)"
    return (
        "what a recipe cannot say is a part of its own, registered by bk.register (docs/add_a_part.md); "
        "torch.save(model.state_dict(), FILE) keeps the weights alone"
    )


def _shapes_of(recipe: Recipe) -> dict[str, tuple[int, ...]]:
    """Of the tensors of the backbone and the heads that a recipe builds; none where it cannot be built."""
    shapes: dict[str, tuple[int, ...]] = {}
    try:
        wiring = wire(recipe)
        with without_weights():
            backbone = wiring.blueprint.construct(wiring.selection.out_indices)
            parts = {"backbone": cast(nn.Module, backbone)}
            for plan in wiring.tasks:
                if plan.head is not None:
                    parts[f"head.{plan.name}" if plan.name else "head"] = plan.head.construct()
    except (ContractError, RecipeError):
        return {}
    for path, part in parts.items():
        shapes |= {f"{path}.{name}": shape for name, (shape, _) in snapshot(part).tensors.items()}
    return shapes


def _changes(recipe: Recipe, tensors: list[Tensor]) -> Iterator[tuple[str, Recipe]]:
    """Other numbers of classes and of image channels that tensors of these shapes may come from."""
    counts = sorted({tensor.shape[0] for tensor in tensors if tensor.dim()})
    for task, parts in recipe.tasks.items():
        if parts.head is None or "num_classes" not in parts.head.options:
            continue
        for count in dict.fromkeys(
            [*counts, *(count - 1 for count in counts if count > 1)]
        ):  # one may stand for nothing
            head = replace(parts.head, options={**parts.head.options, "num_classes": count})
            path = f"heads.{task}.head" if task else "head"
            if recipe.heads:
                changed = replace(
                    recipe, heads={**recipe.heads, task: replace(parts, head=head, labels=None)}, labels=None
                )
            else:
                changed = replace(recipe, head=head, labels=None)
            yield f"{path}.num_classes={count}", changed
    for channels in sorted({tensor.shape[1] for tensor in tensors if tensor.dim() == 4}):
        yield (
            f"backbone.in_channels={channels}",
            replace(recipe, backbone=replace(recipe.backbone, in_channels=channels)),
        )
