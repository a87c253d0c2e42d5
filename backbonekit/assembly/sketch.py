"""A recipe's model without weights: how it is wired, its parameters and its work, in a second or two."""

from dataclasses import dataclass

import torch

from backbonekit.assembly.build import build_composed
from backbonekit.assembly.describe import Description, describe
from backbonekit.assembly.inference import PHOTOGRAPH, predicted_size, sample_input
from backbonekit.contract.garbage import nothing_collected
from backbonekit.recipe.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Sketch:
    """`recipe`: complete, with all that wiring decided. `description`: of one photograph of 640 x 480 as this recipe
    prepares it; its seconds mean nothing."""

    recipe: Recipe
    description: Description


@nothing_collected()
def sketch(recipe: Recipe) -> Sketch:
    """No weight is read, downloaded or drawn: everything is on the meta device, which has shapes alone. Only a model
    whose shapes depend on what it finds (the regions of Faster R-CNN) runs on noise, with random weights.

    Raises ContractError and RecipeError for parts that do not fit, StorageError for an architecture that is not there.
    """
    model = build_composed(recipe, device=torch.device("meta"))
    height, width = predicted_size(PHOTOGRAPH, model.processor.processing)
    noise = torch.empty(1, recipe.backbone.in_channels, height, width, device="meta")
    try:
        description, _ = describe(model, noise)
    except NotImplementedError:  # torch's word for a shape that depends on values
        model = build_composed(recipe)
        description, _ = describe(model, *sample_input(model))
    return Sketch(model.recipe, description)
