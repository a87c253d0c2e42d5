"""How feature maps are coloured, and what attends: the words of `look`. No torch here."""

from typing import Literal

from backbonekit.errors import RecipeError

Basis = Literal["level", "shared"]
BASES: tuple[Basis, ...] = ("level", "shared")
CLASS, QUERY = "class", "query"
Attending = str | tuple[int, int]
"""`class`, `query`, `query:7`, or (x, y) in pixels of an image."""


def read_attending(text: str) -> Attending:
    """`class`, `query`, `query:7`, or (x, y) of `120,80`. Raises RecipeError for anything else."""
    if text in (CLASS, QUERY) or (text.startswith(f"{QUERY}:") and text.partition(":")[2].isdecimal()):
        return text
    words = [word.strip() for word in text.strip("[]()").split(",")]
    if len(words) == 2 and all(map(str.isdecimal, words)):
        return int(words[0]), int(words[1])
    raise RecipeError(
        f"attention={text}: what attends is class, query, query:N (N from 0), or x,y in pixels of the image."
    )
