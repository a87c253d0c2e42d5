"""How an input that somebody else wrote is tried: one of our four errors with a short message may come of it, within
2 seconds of the processor's time and 500 MB, and nothing else.

`make fuzz` tries many (FUZZ_EXAMPLES) and goes on after a failure: FUZZ_LOG then holds a line of JSON for each input
that failed and for each kind a line of counts, which `python -m tests.security.fuzz_report FILE` adds up. An input that
once failed is kept in `fuzz_seeds.json` and tried again by every test run.
"""

import json
import os
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings, strategies as st

from backbonekit.errors import MAX_MESSAGE, ContractError, RecipeError, StorageError, WeightsError
from tests.security.fuzz_actions import action_of
from tests.security.memory import peak, reset_peak

Result = TypeVar("Result")

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "25"))
LOG = os.environ.get("FUZZ_LOG")
MAX_SECONDS = 2.0
MAX_GROWTH = 500 * 10**6  # bytes
OURS = (RecipeError, ContractError, WeightsError, StorageError)


def fuzz(examples: int = EXAMPLES) -> settings:
    return settings(
        max_examples=max(examples, 1),
        deadline=None,
        suppress_health_check=list(HealthCheck),
        derandomize=LOG is None,  # the tests of every day are the same ones each time
        database=None,
    )


def tries(kind: str, draw: Callable[[Callable[[Any], Any]], Any], examples: int = EXAMPLES) -> None:
    """Tries that many inputs of a kind. `draw`: makes one, from what hypothesis draws."""
    tally, action = Tally(kind), action_of(kind)

    @fuzz(examples)
    @given(data=st.data())
    def try_all(data: st.DataObject) -> None:
        content = draw(data.draw)
        tally.try_one(content, lambda: action(content))

    try_all()
    tally.finish()


class Tally:
    """What came of the inputs of one kind."""

    def __init__(self, kind: str) -> None:
        self.counts: dict[str, Any] = {
            **{"kind": kind, "cases": 0, "accepted": 0, "refused": 0, "foreign": 0, "long_messages": 0},
            **{"slow": 0, "large": 0, "longest": 0.0, "largest": 0},
        }

    def try_one(self, given: Any, action: Callable[[], Result]) -> Result | None:
        """What `action` returns, or None where it raises one of our errors. Where FUZZ_LOG is set, a failure is written
        there and not raised."""
        if LOG is None:
            return ours_alone(action)
        failure, result = "", None
        resident, since = reset_peak(), time.thread_time()
        try:
            result = action()
            self.counts["accepted"] += 1
        except OURS as error:
            self.counts["refused"] += 1
            if len(str(error)) > MAX_MESSAGE:
                self.counts["long_messages"] += 1
                failure = "a long message"
        except Exception as error:
            self.counts["foreign"] += 1
            last = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__} in {last.filename}:{last.lineno}: {str(error)[:200]}"
        seconds, growth = time.thread_time() - since, max(peak() - resident, 0)
        self.counts["cases"] += 1
        self.counts["longest"] = max(self.counts["longest"], seconds)
        self.counts["largest"] = max(self.counts["largest"], growth)
        if seconds > MAX_SECONDS:
            self.counts["slow"] += 1
            failure += f" {seconds:.1f} seconds"
        if growth > MAX_GROWTH:
            self.counts["large"] += 1
            failure += f" {growth / 1e6:.0f} MB"
        if failure:
            _write({"kind": self.counts["kind"], "failure": failure.strip(), "given": given})
        return result

    def finish(self) -> None:
        """Writes the counts. Raises AssertionError where an input failed."""
        if LOG is not None:
            _write(self.counts)
        failed = {name: self.counts[name] for name in ("foreign", "long_messages", "slow", "large")}
        assert not any(failed.values()), f"{self.counts['kind']}: {failed}; see {LOG}"


def ours_alone(action: Callable[[], Result]) -> Result | None:
    """What `action` returns, or None where it raises one of our errors with a short message."""
    message = ""
    try:
        return action()
    except OURS as error:
        message = str(error)
    assert len(message) <= MAX_MESSAGE
    return None


def _write(line: dict[str, Any]) -> None:
    assert LOG is not None
    with Path(LOG).open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, default=repr) + "\n")
