"""How long work is shown on standard error: bars in a terminal, nothing where quiet was asked for. No torch here."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from threading import Event, Thread
from typing import Any

_IS_QUIET: ContextVar[bool] = ContextVar("is_quiet", default=False)
_SOON = 1.0  # seconds; what is done sooner needs no line of its own


@contextmanager
def quiet(is_quiet: bool = True) -> Iterator[None]:
    """Inside, no bar is shown and no note is written: results and errors alone."""
    before = _IS_QUIET.set(is_quiet)
    try:
        yield
    finally:
        _IS_QUIET.reset(before)


def is_quiet() -> bool:
    return _IS_QUIET.get()


def bar(total: int, *, unit: str, title: str | None = None, disable: bool = False) -> Any:
    """A tqdm bar of `total` steps on standard error, which leaves nothing behind; none where standard error is no
    terminal. `unit`: of a step, such as "images"."""
    from tqdm import tqdm

    hidden = True if disable or is_quiet() else None  # None: tqdm looks for a terminal
    return tqdm(total=total, unit=f" {unit}", desc=title, leave=False, disable=hidden, file=sys.stderr)


@contextmanager
def waiting(title: str) -> Iterator[None]:
    """What is done and for how many seconds, for work whose steps cannot be counted. Shown from the first second on."""
    if is_quiet() or not sys.stderr.isatty():
        yield
        return
    from tqdm import tqdm

    ended = Event()

    def show() -> None:
        if ended.wait(_SOON):
            return
        line = tqdm(desc=title, bar_format="{desc} {elapsed}", leave=False, file=sys.stderr)
        while not ended.wait(_SOON):
            line.refresh()
        line.close()

    thread = Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
