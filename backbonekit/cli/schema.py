"""`backbonekit schema [KIND]`: the JSON Schema of the YAML files that people write, for their editors."""

import json
import sys
from collections.abc import Sequence

from backbonekit.cli.arguments import import_parts, parse_arguments
from backbonekit.cli.messages import write_error
from backbonekit.cli.text import printable
from backbonekit.cli.values import without_format
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.json_schema import FILES, json_schema, modeline, schema_text
from backbonekit.weights.untrusted_files import user_path

ALL = "all"
KNOWN = ("output",)
USAGE = """usage: backbonekit schema [KIND] [output=FILE] [format=json]

examples:
  backbonekit schema                       of a recipe, on standard output
  backbonekit schema experiment            of an experiment
  backbonekit schema head output=head.json
  backbonekit schema all output=schema     one file for each kind, in a folder
  backbonekit schema all output=schema --config-dir configs --import my_project.heads

KIND: recipe (default), experiment, or a part or section that has files of its own: backbone, neck, head, data,
optimisation, trainer. The parts of installed packages are included, with their options.
An editor with the YAML language server (in VS Code the extension YAML of Red Hat) then completes names and options,
shows what an option does, and marks mistakes, in a file with this comment in its head:

  {modeline}

  output=FILE         where to write it; a folder for `all`
  format=json         of what was written, with output=; a schema itself is JSON
  --config-dir DIR    a folder whose recipes and parts are offered by name too
  --import MODULE     load a module that registers parts of your own

exit codes: 0 done, 1 a part of an installed package could not be imported: its options are left open
"""


def main(words: Sequence[str]) -> int:
    words, is_json = without_format(words)
    kinds, others = _split(words)
    arguments = parse_arguments(others, KNOWN)
    if arguments.help:
        print(USAGE.format(modeline=modeline("schema/recipe.json")), end="")
        return 0
    if arguments.model is not None or arguments.overrides:
        raise RecipeError("schema takes a kind of file, output= and --config-dir alone.")
    if len(kinds) > 1:
        raise RecipeError(f"{len(kinds)} kinds were given ({', '.join(kinds)}); give one, or all.")
    kind = kinds[0] if kinds else "recipe"
    output = arguments.literals.get("output")
    if (kind == ALL and not output) or output == "":
        raise RecipeError(f"output= needs a path, as output=schema{'' if kind == ALL else f'/{kind}.json'}.")
    import_parts(arguments.imports)
    from backbonekit.postprocessing.writing import write_file

    faults: list[str] = []
    written: list[str] = []
    for file in FILES if kind == ALL else (kind,):
        schema, found = json_schema(file, config_dir=arguments.config_dir)
        faults += found
        if output is None:
            sys.stdout.write(schema_text(schema))
        else:
            path = user_path(output) / f"{file}.json" if kind == ALL else user_path(output)
            write_file(path, schema_text(schema).encode())
            written.append(str(path))
    if output is not None:
        lines = [printable(f"written to {path}") for path in written]
        print(json.dumps({"written": written}) if is_json else "\n".join(lines))
    for fault in dict.fromkeys(faults):
        write_error(fault)
    return 1 if faults else 0


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The kinds of file, and the other words."""
    kinds, others = [], []
    for before, word in zip(("", *words), words, strict=False):
        is_plain = not word.startswith("-") and "=" not in word
        is_value = before.startswith("-") and "=" not in before  # --config-dir DIR
        (kinds if is_plain and not is_value else others).append(word)
    for kind in kinds:
        if kind not in (*FILES, ALL):
            raise RecipeError(f"there is no kind of file {kind!r}; {nearest(kind, [*FILES, ALL])}")
    return kinds, others
