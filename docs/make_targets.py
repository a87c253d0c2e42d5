"""Writes the tables of docs/targets.md from the code: `python docs/make_targets.py`. A test fails when one is stale."""

from pathlib import Path
from typing import Any

from backbonekit.contract.target_checks import described
from backbonekit.contract.targets import RECORD_KEYS, TARGET_KEYS
from backbonekit.registry.builtin import BUILTIN
from backbonekit.registry.lookup import resolve

PAGE = Path(__file__).with_name("targets.md")


def keys_table() -> str:
    lines = ["| key | type | shape | unit | values |", "|---|---|---|---|---|"]
    for name, key in TARGET_KEYS.items():
        lines.append(f"| `{name}` | {key.type} | {key.shape} | {key.unit} | {key.values} |")
    records = ", ".join(f"`{name}`" for name in RECORD_KEYS)
    lines.append(f"| {records} | any | any | | where a target came from; read by nothing |")
    return "\n".join(lines) + "\n"


def heads_table() -> str:
    """Each head with its default criterion, and each criterion that no head has by default."""
    lines = ["| head | loss | reads |", "|---|---|---|"]
    used = set()
    for name in sorted(BUILTIN["head"]):
        head: Any = resolve("head", name)
        part = head if head.criterion is None else resolve("criterion", head.criterion)
        used.add(head.criterion)
        loss = f"`{head.criterion}`" if head.criterion else "its own"
        lines.append(f"| `{name}` | {loss} | {described(part.reads)} |")
    for name in sorted(set(BUILTIN["criterion"]) - used):
        part = resolve("criterion", name)
        lines.append(f"| any of its kind | `{name}` | {described(part.reads)} |")
    return "\n".join(lines) + "\n"


def targets_page(text: str) -> str:
    """The page with both tables as they are now."""
    for name, table in (("keys", keys_table()), ("heads", heads_table())):
        start, end = f"<!-- {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(start)
        text = before + start + table + end + rest.partition(end)[2]
    return text


if __name__ == "__main__":
    PAGE.write_text(targets_page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
