import pytest
import yaml

from backbonekit.contract.labels import Labels
from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.dump import dump_recipe
from backbonekit.recipe.guard import read_yaml
from backbonekit.recipe.recipe import BackboneRecipe, PartRecipe, Recipe
from backbonekit.recipe.validate import recipe_from_mapping


@pytest.mark.parametrize("name", model_names())
def test_round_trip_with_the_same_bytes(name):
    recipe = compose_recipe(name)
    text = dump_recipe(recipe)
    again = recipe_from_mapping(read_yaml(text))
    assert again == recipe
    assert dump_recipe(again) == text
    assert "defaults" not in text
    assert "${" not in text


def test_text_that_looks_like_something_else_stays_text():
    names = ("on", "no", "012", "1:30", "1e5", "true", "null", "~", "", "a: b", "# c", "2024-01-01", "ä", "0x1", "- d")
    recipe = Recipe(BackboneRecipe("timm", "resnet18"), labels=Labels(names))
    text = dump_recipe(recipe)
    assert tuple(read_yaml(text)["labels"]) == names
    assert tuple(yaml.safe_load(text)["labels"]) == names  # YAML 1.1 readers too


def test_small_numbers_stay_numbers():
    recipe = Recipe(BackboneRecipe("timm", "resnet18"), head=PartRecipe("x", {"a": 1e-05, "b": 1e20, "c": 0.1}))
    for read in (read_yaml, yaml.safe_load):
        assert read(dump_recipe(recipe))["head"] == {"name": "x", "a": 1e-05, "b": 1e20, "c": 0.1}


def test_equal_values_are_written_twice():
    shared = (1, 2)
    recipe = Recipe(BackboneRecipe("timm", "resnet18"), head=PartRecipe("x", {"a": shared, "b": shared}))
    assert read_yaml(dump_recipe(recipe))["head"] == {"name": "x", "a": [1, 2], "b": [1, 2]}
