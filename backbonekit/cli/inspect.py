"""`backbonekit inspect WHERE`: what is in a saved folder, a recipe or a Hub repository, with nothing built."""

import json
from collections import Counter
from collections.abc import Sequence
from math import prod

from backbonekit.cli.text import printable, table
from backbonekit.cli.values import without_format
from backbonekit.contract.plain_text import count
from backbonekit.errors import RecipeError

USAGE = """usage: backbonekit inspect WHERE [format=json]

examples:
  backbonekit inspect runs/m1
  backbonekit inspect facebook/maskformer-swin-tiny-coco format=json

WHERE: a folder that backbonekit or transformers saved, a YAML recipe, or a Hub repository.
Prints the recipe, the number of weights in each part, and which words of a configuration are ignored. Nothing is built
and no weight is read.
"""


def main(words: Sequence[str]) -> int:
    if "-h" in words or "--help" in words:
        print(USAGE)
        return 0
    words, is_json = without_format(words)
    sources = [word.removeprefix("recipe=") for word in words]
    if len(sources) != 1:
        raise RecipeError(f"inspect takes one folder, file or repository; {len(sources)} were given.")
    from backbonekit.hub.opening import open_model
    from backbonekit.recipe.dump import dump_recipe
    from backbonekit.recipe.validate import recipe_from_mapping

    opened = open_model(sources[0])
    recipe = recipe_from_mapping(opened.recipe_mapping)
    parts: Counter[str] = Counter()
    tensors: Counter[str] = Counter()
    if opened.checkpoint is not None:
        for key in opened.checkpoint:
            part = key.split(".", 1)[0]
            parts[part] += prod(opened.checkpoint.shape(key))
            tensors[part] += 1
    notes = [*opened.notes, *recipe.notes]
    if is_json:
        weights = {part: {"tensors": tensors[part], "numbers": parts[part]} for part in parts}
        described = {"origin": opened.origin, "recipe": recipe.to_dict(), "weights": weights, "notes": notes}
        print(json.dumps(described))
        return 0
    print(printable(f"# {opened.origin}\n{dump_recipe(recipe)}"))
    if parts:
        rows = [(part, str(tensors[part]), count(parts[part])) for part in parts]
        print(printable(table(("part", "tensors", "numbers"), rows, right=(1, 2))))
    else:
        print("no weights")
    for note in notes:
        print(printable(f"note: {note}"))
    return 0
