"""Times two implementations alternately, so that noise of the machine affects both."""

import ctypes
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass
class Row:
    """`ours` and `theirs`: medians in `unit`. `aim`: the highest ratio that meets the goal."""

    name: str
    ours: float
    theirs: float
    unit: str
    aim: float | None
    repeats: int
    lowest: float = float("nan")
    highest: float = float("nan")

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def keep_freed_memory() -> None:
    """From now on this process keeps what it frees. By default the C library hands large blocks back to the system, and
    it is chance which side of a comparison spends time on new ones (up to a fifth of a training step). Only glibc."""
    if sys.platform == "linux":
        library = ctypes.CDLL(None)
        for parameter in (_TRIM_THRESHOLD, _MMAP_THRESHOLD):
            library.mallopt(parameter, 2**31 - 1)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of malloc.h


def compare(
    name: str, ours: Callable[[], object], theirs: Callable[[], object], *, repeats: int, aim: float | None
) -> Row:
    """Wall-clock medians over alternating calls, after one warm-up each."""
    times: tuple[list[float], list[float]] = ([], [])
    for call in (ours, theirs):
        call()
    for _ in range(repeats):
        for call, kept in zip((ours, theirs), times, strict=True):
            since = time.perf_counter()
            call()
            kept.append((time.perf_counter() - since) * 1e3)
    return row(name, *times, unit="ms", aim=aim)


def compare_commands(name: str, ours: Sequence[str], theirs: Sequence[str], *, repeats: int, aim: float | None) -> Row:
    """The same for whole processes."""
    return compare(name, lambda: _run(ours), lambda: _run(theirs), repeats=repeats, aim=aim)


def figures_of(program: str, *arguments: str) -> dict[str, float]:
    """What a fresh Python process prints as JSON on its last line."""
    return json.loads(_run([sys.executable, "-c", program, *arguments]).strip().splitlines()[-1])


def row(name: str, ours: Sequence[float], theirs: Sequence[float], *, unit: str, aim: float | None) -> Row:
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    return Row(name, statistics.median(ours), statistics.median(theirs), unit, aim, len(ours), min(pairs), max(pairs))


def _run(command: Sequence[str]) -> str:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return done.stdout


def report(rows: Sequence[Row]) -> str:
    """A Markdown table."""
    lines = ["| what | backbonekit | reference | ratio (median) | range | aim |", "|---|---|---|---|---|---|"]
    for item in rows:
        aim = "-" if item.aim is None else f"{item.aim:g}"
        mark = "" if item.aim is None or item.ratio <= item.aim else " (missed)"
        lines.append(
            f"| {item.name} | {item.ours:.4g} {item.unit} | {item.theirs:.4g} {item.unit} | {item.ratio:.2f}{mark} "
            f"| {item.lowest:.2f} to {item.highest:.2f} | {aim} |"
        )
    return "\n".join(lines)
