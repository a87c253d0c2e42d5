"""A progress bar on standard error; silent when nobody watches."""

import sys
import time
from types import TracebackType
from typing import TextIO

_WIDTH = 24


class Progress:
    """`with Progress(total) as progress: progress.advance()`. Off when standard error is not a terminal, or for a
    single step. `say` prints a line on standard output without breaking the bar."""

    def __init__(self, total: int, *, stream: TextIO | None = None) -> None:
        self.total = total
        self.done = 0
        self._stream = sys.stderr if stream is None else stream
        self._shown = total > 1 and self._stream.isatty()
        self._since = time.monotonic()

    def __enter__(self) -> "Progress":
        self._draw()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._clear()

    def advance(self) -> None:
        self.done += 1
        self._draw()

    def say(self, text: str) -> None:
        self._clear()
        print(text, flush=self._shown)
        self._draw()

    def _draw(self) -> None:
        if not self._shown:
            return
        filled = _WIDTH * self.done // max(self.total, 1)
        elapsed = time.monotonic() - self._since
        left = f", {_clock(elapsed / self.done * (self.total - self.done))} left" if self.done else ""
        self._stream.write(f"\r\x1b[2K[{'#' * filled}{'.' * (_WIDTH - filled)}] {self.done}/{self.total}{left}")
        self._stream.flush()

    def _clear(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
