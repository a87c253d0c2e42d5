"""What `predict` has found: a line for each image, or one JSON document; and the file of results=."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backbonekit.cli.text import printable


class Found:
    """Collects the results of images as they come. `labels`: the names of their classes. `results`: the entries of a
    file or of one document; None where neither is required."""

    def __init__(self, literals: Mapping[str, str], labels: Any) -> None:
        from backbonekit.postprocessing.coco import CocoResults

        self._labels = labels
        self._is_json = literals.get("format") == "json"
        path = literals.get("results")
        self.results = CocoResults(path, labels) if path or self._is_json else None
        self._summaries: list[str] = []

    def add(self, source: Path, size: tuple[int, int], result: Any, position: int) -> None:
        """`size`: the image's (height, width). `position`: of the file among all, from 0."""
        from backbonekit.postprocessing.result_kinds import summarise

        self.tell(source.name, summarise(result, self._labels))
        if self.results is not None:
            self.results.add(source.name, size, result, image_id=position + 1)

    def tell(self, name: str, summary: str) -> None:
        """Of an image that `results` has already."""
        from tqdm import tqdm

        if self._is_json:
            self._summaries.append(summary)
        else:
            tqdm.write(printable(f"{name}: {summary}"), file=sys.stdout)  # above the bar

    def finish(self, failed: Sequence[str]) -> None:
        """`failed`: a message for each image that could not be used."""
        if self.results is not None and self.results.path is not None:
            self.results.write()
        if self._is_json and self.results is not None:
            content = self.results.content()
            pairs = zip(content["images"], self._summaries, strict=True)
            images = [{**image, "summary": summary} for image, summary in pairs]
            print(json.dumps({**content, "images": images, "failed": list(failed)}, allow_nan=False))
