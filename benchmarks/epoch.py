"""(m) A whole epoch from JPEG files, data and steps: ours, as `backbonekit train` has it, beside torchvision's
reference scripts and the Trainer of transformers, and how long steps wait for their data.

An epoch is timed from the arrival of its first batch to the end of its last step: these are short, and the start of the
workers, a fraction of a second, would count for more than in one of thousands of batches. Every side has two workers.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.utils.data import dataloader

from benchmarks.epoch_data import write_boxes, write_maps
from benchmarks.epoch_models import fcn, retinanet, rt_detr
from benchmarks.measure import Row, keep_freed_memory, row

IMAGES = 20  # of which four are higher than wide, so that no batch of a loop that groups them is mixed
BATCH = 4
_NAMES = ("retinanet", "fcn", "rt_detr")


@dataclass
class Clock:
    """When batches arrived and steps ended, of one epoch."""

    arrivals: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        return self.steps[-1] - self.arrivals[0]

    @property
    def waiting(self) -> float:
        """Of those seconds, the share in which the loop waited for a batch."""
        return sum(self.waits[1:]) / self.seconds


@contextmanager
def timed() -> Iterator[Clock]:
    """Every loop reads torch's DataLoader and steps one of torch's optimisers, so that one clock is that of all."""
    clock = Clock()
    iterator = dataloader._BaseDataLoaderIter
    given = iterator.__next__

    def read(self: Any) -> Any:
        since = time.perf_counter()
        batch = given(self)
        clock.arrivals.append(time.perf_counter())
        clock.waits.append(clock.arrivals[-1] - since)
        return batch

    hook = register_optimizer_step_post_hook(lambda *_: clock.steps.append(time.perf_counter()))
    iterator.__next__ = read
    try:
        yield clock
    finally:
        iterator.__next__ = given
        hook.remove()


def run(images: int = IMAGES, repeats: int = 2, names: tuple[str, ...] = _NAMES) -> list[Row]:
    assert images >= 2 * BATCH, "a wait is that between two batches"
    keep_freed_memory()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        boxes, maps = write_boxes(Path(folder) / "boxes", images), write_maps(Path(folder) / "maps", images)
        loops = {"retinanet": (retinanet, boxes), "fcn": (fcn, maps), "rt_detr": (rt_detr, boxes)}
        for name in names:
            make, data = loops[name]
            rows += _rows(name, make(data, BATCH), images, repeats)
    return rows


def _rows(name: str, epochs: dict[str, Callable[[], None]], images: int, repeats: int) -> list[Row]:
    """Of loops by name, the first of which is ours; they take turns."""
    clocks: dict[str, list[Clock]] = {loop: [] for loop in epochs}
    for round_ in range(repeats + 1):
        for loop, epoch in epochs.items():
            with timed() as clock:
                epoch()
            assert len(clock.steps) == images // BATCH, f"{loop}: {len(clock.steps)} steps"
            if round_:  # the first one warms up
                clocks[loop].append(clock)
    ours, *others = epochs
    rows = []
    for other in others:
        times = [[clock.seconds / images * 1e3 for clock in clocks[loop]] for loop in (ours, other)]
        rows.append(
            row(f"(m) an epoch of {images} images, {name}: ours / {other}", *times, unit="ms an image", aim=1.0)
        )
        shares = [[100 * clock.waiting for clock in clocks[loop]] for loop in (ours, other)]
        rows.append(row(f"(m) waiting for data, {name}: ours / {other}", *shares, unit="% of the epoch", aim=None))
    worst = statistics.median(100 * clock.waiting for clock in clocks[ours])
    rows.append(row(f"(m) waiting for data, {name}: ours / 5 %", [worst], [5.0], unit="% of the epoch", aim=1.0))
    return rows
