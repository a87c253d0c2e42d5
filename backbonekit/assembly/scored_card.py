"""Scores in the model card of a saved folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backbonekit.contract.scores import Scores
from backbonekit.errors import StorageError
from backbonekit.hub.card_scores import with_scores
from backbonekit.postprocessing.writing import write_file

CARD = "README.md"


def write_scores(folder: Path, scores: Scores, *, data: Mapping[str, Any], split: str) -> None:
    """Replaces the card in the folder by one with these scores. `data`: the settings of the data set, which is named by
    the last part of its `root`, or by its format. Raises StorageError where there is no card of a saved model."""
    card = folder / CARD
    try:
        text = card.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{card} cannot be read: {error}.") from error
    root, data_format = data.get("root"), str(data.get("name", "data"))  # no name: of a source that Python was given
    name = Path(str(root)).expanduser().resolve().name if root else data_format
    write_file(card, with_scores(text, scores, data=name, data_format=data_format, split=split).encode())
