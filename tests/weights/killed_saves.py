"""Saves that are killed at each of their file operations. Run as a program of its own: it forks and kills."""

import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

# What Python announces to audit hooks before it does it.
_OPERATIONS = frozenset(
    {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.chmod", "os.utime", "os.truncate"}
)


def folders_after_a_kill(pristine: Path, save: Callable[[Path], Any]) -> Iterator[Path]:
    """Copies of `pristine` into which `save` was killed (SIGKILL) at its first, second, ... file operation. In the last
    one it came to its end."""
    for number in count(1):
        folder = pristine.parent / f"killed-{number}" / "m1"
        shutil.copytree(pristine, folder, symlinks=True)
        child = os.fork()
        if child == 0:
            _kill_at(number)
            save(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        yield folder
        if not os.WIFSIGNALED(status):
            assert os.WEXITSTATUS(status) == 0
            return


def _kill_at(number: int) -> None:
    left = number

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal left
        if event in _OPERATIONS:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
