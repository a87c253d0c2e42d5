"""Checks that the criteria of sets share: masks and boxes are matched one to one, and counted over all processes."""

from collections.abc import Sequence

import pytest
from torch import Tensor

from backbonekit.losses import reduction


def count_in_three_processes(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pretends two other processes, which have 5 and 7 targets. Returns the list of counts that this one sends."""
    counts: list[float] = []

    def all_reduce(count: Tensor) -> None:
        counts.append(count.item())
        count += 5 + 7

    monkeypatch.setattr(reduction.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(reduction.distributed, "get_world_size", lambda: 3)
    monkeypatch.setattr(reduction.distributed, "all_reduce", all_reduce)
    return counts


def assert_one_to_one(rows: Tensor, queries: Tensor, targets: Tensor, *, counts: Sequence[int], most: int) -> None:
    """Every image has as many matches as the smaller side, and none twice, in every layer.

    `rows`, `queries`, `targets`: [layers, matches]. `counts`: targets of each image. `most`: queries of each image.
    """
    assert queries.shape[1] == sum(min(most, count) for count in counts)
    for layer in range(len(queries)):
        for image, count in enumerate(counts):
            of_image = rows[layer] == image
            for index, limit in ((queries, most), (targets, count)):
                used = index[layer][of_image]
                assert len(used.unique()) == len(used) == min(most, count)
                assert not len(used) or used.max() < limit
