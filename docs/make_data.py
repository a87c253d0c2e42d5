"""Writes the table of augmentations in docs/data.md from the option table."""

import json
import re
from pathlib import Path

from backbonekit.registry.lookup import names
from backbonekit.registry.table import options, summary

PAGE = Path(__file__).with_name("data.md")
HEADER = "| step | what it does | options and their defaults |\n|---|---|---|\n"


def data_page(text: str) -> str:
    """The page with its table as the code has it."""
    rows = "".join(
        f"| `{name}` | {summary('augmentation', name)} | {_options(name)} |\n" for name in names("augmentation")
    )
    return re.sub(
        r"<!-- augmentations -->\n.*?<!-- end -->",
        lambda _: f"<!-- augmentations -->\n{HEADER}{rows}<!-- end -->",
        text,
        flags=re.DOTALL,
    )


def _options(name: str) -> str:
    found = options("augmentation", name) or {}
    return ", ".join(f"`{option}` {json.dumps(entry['default'])}" for option, entry in found.items())


if __name__ == "__main__":
    PAGE.write_text(data_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
