"""Many small records in one block of memory.

A list of a million dicts is copied, page by page, into every worker of a loader, since reading an object changes its
reference count; one block of bytes is shared.
"""

import marshal
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np


class PackedRecords(Sequence[Any]):
    """A sequence of plain data (numbers, text, lists, dicts), unpacked when it is indexed."""

    def __init__(self, records: Iterable[Any]) -> None:
        pieces = [marshal.dumps(record) for record in records]
        self._ends = np.cumsum([0, *map(len, pieces)], dtype=np.int64)
        self._bytes = np.frombuffer(b"".join(pieces), dtype=np.uint8)

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, index: Any) -> Any:
        start, end = self._ends[index : index + 2]
        # marshal is unsafe for bytes of others; these were packed above.
        return marshal.loads(self._bytes[start:end].tobytes())  # noqa: S302
