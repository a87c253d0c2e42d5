"""docs/old_checkpoints.md: a row for every class on every backbone, a column for every release."""

from tests.old_checkpoints.compare import TOLERANCE, Result
from tests.old_checkpoints.known import reason_for

HEADER = """# Checkpoints that older releases of transformers wrote

`make old-checkpoints` installs these releases beside the project's own packages, saves small models with random weights
under each, as `.safetensors` and as `.bin`, with what the release computes of random images, and opens them here:
whole models with the class of the same name and with `load_model`, backbones with `AutoBackbone`. A `.bin` goes through
`backbonekit convert` first. The command fails when anything is refused or differs without a known reason.

A number: it opens, from both formats, and this is the largest difference of any output, relative to the largest value
of that output. **refused**: it does not open. **differs**: it opens, and the outputs are not those of that release. The
number behind both is that of the note below the table. `-`: the release has no such class.

"""


def page(results: list[Result]) -> str:
    versions = list(dict.fromkeys(result.version for result in results))
    rows: dict[tuple[str, str], dict[str, Result]] = {}
    for result in results:
        rows.setdefault((result.class_name, result.on), {})[result.version] = result
    notes: list[str] = []
    lines = [f"| class | on | {' | '.join(versions)} |", f"|---|---|{'---|' * len(versions)}"]
    for (class_name, on), row in rows.items():
        if all(result.absent for result in row.values()):
            continue
        cells = (cell(row[version], notes) if version in row else "-" for version in versions)
        lines.append(f"| {class_name} | {on} | {' | '.join(cells)} |")
    listed = [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return HEADER + "\n".join([*lines, "", *listed]) + "\n"


def cell(result: Result, notes: list[str]) -> str:
    if result.absent:
        return "-"
    if result.unmade:
        return f"not made [{_number(f'This release cannot make it: {result.unmade}.', notes)}]"
    parts = []
    for message in dict.fromkeys(result.refusals.values()):
        formats = [form for form, one in result.refusals.items() if one == message]
        only = "" if len(formats) == 2 else f" .{formats[0]}"
        parts.append(f"**refused**{only} [{_number(why(result, message), notes)}]")
    differing = [one for one in result.differences.values() if one >= TOLERANCE]
    if differing:
        sizes = ", ".join(f"{size}: {one:.0e}" for size, one in result.differences.items())
        parts.append(f"**differs** [{_number(why(result, ''), notes)}] {sizes}")
    elif result.differences:
        parts.append(f"{max(result.differences.values()):.0e}".replace("0e+00", "0"))
    return ", ".join(parts)


def why(result: Result, message: str) -> str:
    known = reason_for(f"{result.class_name} on {result.on}", result.version, message)
    return known or f"Reason unknown. {message}".strip()


def unexplained(results: list[Result]) -> list[str]:
    """What makes the command fail."""
    found = []
    for result in results:
        messages = [*result.refusals.values()]
        if any(one >= TOLERANCE for one in result.differences.values()):
            messages.append("")
        where = f"{result.class_name} on {result.on}"
        for message in messages:
            if reason_for(where, result.version, message) is None:
                found.append(f"{where}, transformers {result.version}: {message or result.differences}")
    return found


def _number(note: str, notes: list[str]) -> int:
    if note not in notes:
        notes.append(note)
    return notes.index(note) + 1
