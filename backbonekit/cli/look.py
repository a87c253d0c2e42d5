"""`backbonekit look`: an image beside what a backbone sees in it."""

import json
import re
from collections.abc import Sequence

from backbonekit.cli.arguments import Arguments, help_text, import_parts, parse_arguments
from backbonekit.cli.images import image_faults, read_bands
from backbonekit.cli.start import (
    published_overrides,
    start_faults,
    start_model,
    start_of,
)
from backbonekit.cli.text import printable
from backbonekit.contract.looking import BASES, read_attending
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.compose import compose_recipe
from backbonekit.weights.untrusted_files import user_path

KNOWN = ("recipe", "revision", "image", "output", "basis", "attention", "bands", "format", "device", "seed")
USAGE = """usage: backbonekit look backbone=NAME image=FILE output=FILE.png [key=value ...]

examples:
  backbonekit look backbone=dinov2_small image=cat.jpg output=look.png
  backbonekit look backbone=dinov2_small image=cat.jpg output=look.png basis=shared
  backbonekit look backbone=timm/convnext_tiny.fb_in1k 'backbone.out_indices=[1,3]' image=cat.jpg output=look.png
  backbonekit look backbone=dinov2_small image=cat.jpg output=look.png attention=class
  backbonekit look recipe=facebook/detr-resnet-50 image=cat.jpg output=look.png attention=query

Draws the image beside each level's features: red, green and blue are the first three principal components. A backbone
has its published weights unless backbone.pretrained says otherwise, and shows a map of each stride, or four of a single
stride, unless backbone.out_indices names others; a saved recipe shows those that its own parts read. Any key of the
recipe can be set, as in `build`. Other arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes; they win over shipped ones of the same name
  --import MODULE   load a module that registers parts of your own
  -q, --quiet       no notes and no progress: results and errors alone
"""
_CHOOSES_MAPS = re.compile(r"(?:model\.)?backbone\.out_")


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    _check(arguments)
    import_parts(arguments.imports)
    literals = arguments.literals
    has_own_maps = _has_own_maps(arguments)
    from backbonekit.assembly.look import look, show_every_level
    from backbonekit.postprocessing.writing import image_format, write_image

    output, image = user_path(literals["output"]), user_path(literals["image"])
    image_format(output)
    model = start_model(arguments, published_overrides(arguments))
    if not has_own_maps and "attention" not in literals:
        show_every_level(model)
    drawn = look(
        model,
        image,
        basis=literals.get("basis", "level"),  # type: ignore[arg-type] - checked
        attending=read_attending(literals["attention"]) if "attention" in literals else None,
        bands=read_bands(literals["bands"]) if "bands" in literals else None,
        title=printable(image.name),
    )
    write_image(output, drawn)
    if literals.get("format") == "json":
        print(json.dumps({"output": literals["output"], "width": drawn.width, "height": drawn.height}))
    else:
        print(printable(f"{literals['output']}: {drawn.width} x {drawn.height} pixels"))
    return 0


def _has_own_maps(arguments: Arguments) -> bool:
    """Whether the maps are chosen: by name or index, or by the parts that read them."""
    if "recipe" in arguments.literals or any(map(_CHOOSES_MAPS.match, arguments.overrides)):
        return True
    recipe = compose_recipe(start_of(arguments), arguments.overrides, config_dir=arguments.config_dir)
    chosen = (recipe.backbone.out_indices, recipe.backbone.out_features, recipe.backbone.out_strides)
    return bool(recipe.head or recipe.heads or recipe.neck) or any(each not in (None, "auto") for each in chosen)


def _check(arguments: Arguments) -> None:
    """Raises RecipeError with every fault that shows before torch is imported."""
    literals = arguments.literals
    faults = start_faults(arguments, verb="look", does="runs one model")
    of_image = image_faults(literals.get("image"))
    faults += of_image
    if not of_image and user_path(literals["image"]).is_dir():
        faults.append(f"image={literals['image']}: is a folder; `look` draws one image.")
    if not literals.get("output"):
        faults.append("no output: give output=FILE.png.")
    elif literals.get("image") and user_path(literals["output"]).resolve() == user_path(literals["image"]).resolve():
        faults.append(f"output={literals['output']}: is the image given; choose another path.")
    if literals.get("basis", "level") not in BASES:
        faults.append(f"basis={literals['basis']}: no basis is called so; {nearest(literals['basis'], BASES)}")
    if "attention" in literals:
        try:
            read_attending(literals["attention"])
        except RecipeError as error:
            faults += error.faults
    if "attention" in literals and "basis" in literals:
        faults.append("basis= is of the maps' colours; attention= draws no maps.")
    if "bands" in literals and read_bands(literals["bands"]) is None:
        faults.append(f"bands={literals['bands']}: one or three numbers from 0 with commas, as bands=3,2,1.")
    if faults:
        raise RecipeError(faults)
