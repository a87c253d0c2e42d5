"""A model as transformers has it: the `config.json` of its recipe, or the reasons why there is none."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from backbonekit.errors import ContractError, RecipeError
from backbonekit.heads.shared_checkpoint.converter import CheckpointConverter
from backbonekit.recipe.recipe import PartRecipe, Recipe, plain_data
from backbonekit.recipe.validate import recipe_from_mapping
from backbonekit.registry.lookup import names, resolve

# Options that change no prediction, only training.
_OF_TRAINING = frozenset(
    {
        *("dropout", "attention_dropout", "activation_dropout", "auxiliary"),
        *("num_denoising_queries", "label_noise", "box_noise"),
    }
)
_FIX = "The fix, which saves it as it is: save_pretrained(folder), which bk.load_model opens."


@dataclass(frozen=True, slots=True)
class TransformersForm:
    """`config`: the content of `config.json`. `converter`: what reads it, and writes the weights' names. `notes`: what
    it has no field for and no prediction depends on, such as a loss."""

    config: dict[str, Any]
    converter: CheckpointConverter
    notes: tuple[str, ...] = ()

    @property
    def architecture(self) -> str:
        """transformers' class."""
        return self.config["architectures"][0]


def transformers_form(recipe: Recipe) -> TransformersForm:
    """Of a flat and complete recipe, as a built model has it. Raises ContractError with every part and option that
    transformers has not."""
    if recipe.heads:
        raise ContractError(f"transformers has no model with several tasks ({', '.join(recipe.heads)}). {_FIX}")
    if recipe.head is None:
        raise ContractError(
            "a model without a head is a backbone, and this one may have necks. The fix, which saves a backbone as"
            f" transformers does: bk.AutoBackbone. {_FIX}"
        )
    converter = _converter(recipe.head.name)
    complete = _with_criterion(recipe)
    try:
        config = converter.config(complete.to_dict())
        again = recipe_from_mapping(plain_data(converter.recipe(config)), origin="config.json")
        again_config = converter.config(_with_criterion(replace(again, processing=complete.processing)).to_dict())
    except RecipeError as error:
        raise _refusal(recipe.head.name, list(error.faults)) from error
    wrong, notes = list(_backbone_differences(config, again_config)), []
    for path, before, after in _options(complete, again):
        is_training = path.startswith("head.criterion") or path.rpartition(".")[2] in _OF_TRAINING
        message = f"{path}={_shown(before)}: transformers has {_shown(after)} there, and no field for it."
        (notes if is_training else wrong).append(message)
    if recipe.backbone.source == "timm":  # of the source hf they are fields of the configuration
        dropped = {key: value for key, value in recipe.backbone.args.items() if key not in again.backbone.args}
        notes += [
            f"backbone.args.{key}={_shown(value)}: transformers builds the backbone without it."
            for key, value in dropped.items()
            if key != "norm"
        ]
    if wrong:
        raise _refusal(recipe.head.name, wrong)
    return TransformersForm(config, converter, tuple(notes))


def _converter(head: str) -> CheckpointConverter:
    found: dict[str, CheckpointConverter] = {}
    for architecture in names("checkpoint"):
        converter: CheckpointConverter = resolve("checkpoint", architecture)
        found[converter.head] = converter
    if head not in found:
        raise ContractError(
            f"transformers has no model with the head {head}; it has some with {', '.join(sorted(found))}. {_FIX}"
        )
    return found[head]


def _with_criterion(recipe: Recipe) -> Recipe:
    """The default criterion written out with its options."""
    head = recipe.head
    assert head is not None
    if head.criterion is not None:
        return recipe
    default = resolve("head", head.name).criterion
    if default is None:
        return recipe
    written = recipe.to_dict()
    written["head"] = {**written["head"], "criterion": {"name": default}}
    completed = recipe_from_mapping(written).head
    assert completed is not None
    return replace(recipe, head=replace(head, criterion=completed.criterion))


def _backbone_differences(config: Mapping[str, Any], again: Mapping[str, Any]) -> Iterator[str]:
    before, after = config.get("backbone_config", config), again.get("backbone_config", again)
    for name in {**before, **after}:
        if before.get(name) != after.get(name):
            yield (
                f"backbone: {name}={_shown(before.get(name))} would be read as {_shown(after.get(name))} from"
                " config.json."
            )


def _options(before: Recipe, after: Recipe) -> Iterator[tuple[str, Any, Any]]:
    """The options that differ, with their paths. What is null is chosen by wiring, and decided by the weights."""
    assert before.head is not None
    assert after.head is not None
    parts: list[tuple[str, PartRecipe, PartRecipe]] = [("head", before.head, after.head)]
    for index, (one, other) in enumerate(zip(before.neck, after.neck, strict=True)):
        parts.append(("neck" if len(before.neck) == 1 else f"neck[{index}]", one, other))
    count = len(before.backbone.out_indices or ())
    for path, one, other in parts:
        for name, value in one.options.items():
            given = other.options.get(name)
            if value is None or plain_data(value) == plain_data(given):
                continue
            if name == "num_deepest_levels" and {value or count, given or count} == {count}:
                continue  # as many as there are
            yield f"{path}.{name}", value, given
    one, other = before.head.criterion, after.head.criterion
    if one is not None:
        others = {} if other is None or other.name != one.name else other.options
        if not others:
            yield "head.criterion.name", one.name, None if other is None else other.name
        for name in others:
            if one.options[name] != others[name]:
                yield f"head.criterion.{name}", one.options[name], others[name]


def _refusal(head: str, reasons: list[str]) -> ContractError:
    listed = "".join(f"\n  {reason}" for reason in dict.fromkeys(reasons))
    return ContractError(f"transformers has no such model with the head {head}:{listed}\n{_FIX}")


def _shown(value: Any) -> str:
    return repr(plain_data(value))[:80]
