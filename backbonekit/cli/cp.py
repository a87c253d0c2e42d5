"""`backbonekit cp NAME FILE`: a recipe written out flat, with all options and what they do, to be edited."""

import json
from collections.abc import Sequence
from pathlib import Path

from backbonekit.cli.arguments import LITERALS, Arguments, import_parts, parse_arguments
from backbonekit.cli.commented import commented
from backbonekit.cli.listing import header
from backbonekit.cli.messages import note
from backbonekit.cli.recipes import start_from
from backbonekit.cli.text import printable
from backbonekit.cli.values import value_faults
from backbonekit.errors import RecipeError
from backbonekit.recipe.compose import SUFFIXES, compose_recipe
from backbonekit.recipe.config_roots import GROUP, find, is_file, is_folder, roots_for
from backbonekit.recipe.json_schema import modeline, shipped_schema
from backbonekit.weights.untrusted_files import user_path

KNOWN = ("overwrite", "format")
USAGE = """usage: backbonekit cp NAME FILE [key=value ...] [overwrite=true]

examples:
  backbonekit cp maskformer_resnet50 configs/model/mine.yaml
  backbonekit cp maskformer_resnet50 mine.yaml backbone=swin_tiny head.num_classes=7
  backbonekit build model=mine.yaml

NAME: a shipped recipe or one of --config-dir; also a YAML file, a saved folder or a Hub repository, whose recipe is
written without its weights. FILE: a .yaml file, or a folder for NAME.yaml. The file holds every option, with a comment
that says what it does, which values it takes, and its default; an editor with the YAML language server completes and
checks it. Overrides are written into it. Other arguments:
"""


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN, takes_names=True)
    if arguments.help:
        print(USAGE + "\n".join(f"  {name + '=':<18}{LITERALS[name]}" for name in KNOWN))
        return 0
    if len(arguments.names) != 2:
        told = f"cp takes a recipe and a file, `cp NAME FILE`; {len(arguments.names)} words were given."
        raise RecipeError([*value_faults(arguments.literals), told])
    name, given = arguments.names
    import_parts(arguments.imports)
    file = _target(name, given)
    _check(arguments, file)
    recipe = compose_recipe(
        start_from(name, config_dir=arguments.config_dir), arguments.overrides, config_dir=arguments.config_dir
    )
    title = [
        *_header(name, arguments.config_dir),
        f"# Copied from {' '.join([name, *arguments.overrides])}.",
        f"# try: python -m backbonekit.build model={file}",
        modeline(shipped_schema()),
    ]
    from backbonekit.postprocessing.writing import write_file

    write_file(file, commented(recipe, title=title).encode())
    for text in recipe.notes:
        note(text)
    is_json = arguments.literals.get("format") == "json"
    print(json.dumps({"written": str(file)}) if is_json else printable(f"written to {file}"))
    return 0


def _target(name: str, given: str) -> Path:
    path = user_path(given)
    return path / f"{Path(name).stem}.yaml" if is_folder(path) else path


def _check(arguments: Arguments, file: Path) -> None:
    faults = value_faults(arguments.literals)
    if arguments.model is not None:
        faults.append(f"model={arguments.model}: cp takes the name alone, `cp {arguments.model} FILE`.")
    if file.suffix not in SUFFIXES:
        faults.append(f"{str(file)!r}: a recipe is a .yaml file; did you mean {str(file.with_suffix('.yaml'))!r}?")
    elif is_file(file) and arguments.literals.get("overwrite") != "true":
        faults.append(f"{str(file)!r} is there already. The fix: another file, or overwrite=true.")
    if faults:
        raise RecipeError(faults)


def _header(name: str, config_dir: str | None) -> list[str]:
    """The comment at the top of the file that a name stands for, without its command and its modeline."""
    try:
        file = Path(name) if is_file(name) else find(roots_for(config_dir), f"{GROUP}/{name}")
    except RecipeError:  # a folder or a repository
        return []
    text = "" if file is None else header(file)
    return [f"# {text}"] if text else []
