"""Runs a table of attacks in this process, one after the other, and measures each.

`python -m tests.security.tried.harness MODULE FOLDER`: the module holds `ATTACKS`, by name: functions that are given a
folder of their own and return the action; and `prepare`, which is called first. Prints a line of JSON for each: the
error's class, or "accepted"; the length of its message; seconds of the processor's time in this thread; bytes that the
memory grew.
"""

import importlib
import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.security.memory import peak, reset_peak

Attack = Callable[[Path], Any]
LONGEST = 20  # seconds, after which an attack is stopped


class Hang(BaseException):
    """Not an Exception, which the code under attack may catch."""


def main(module: str, folder: Path) -> None:
    table = importlib.import_module(f"tests.security.tried.{module}")
    table.prepare()
    attacks: dict[str, Attack] = table.ATTACKS
    signal.signal(signal.SIGALRM, _stop)
    for number, (name, attack) in enumerate(attacks.items()):
        own = folder / str(number)
        own.mkdir()
        print(json.dumps({"name": name, **_measured(attack, own)}), flush=True)


def _measured(attack: Attack, folder: Path) -> dict[str, Any]:
    action = attack(folder)
    resident, since = reset_peak(), time.thread_time()
    signal.alarm(LONGEST)
    message = ""
    try:
        action()
        outcome = "accepted"
    except Hang:
        outcome = "hang"
    except Exception as error:
        outcome, message = type(error).__name__, str(error)
    finally:
        signal.alarm(0)
    return {
        "outcome": outcome,
        "message": message[:200],
        "length": len(message),
        "seconds": time.thread_time() - since,
        "grown": max(peak() - resident, 0),
    }


def _stop(*_: object) -> None:
    raise Hang


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
