"""Adds up what `make fuzz` wrote: `python -m tests.security.fuzz_report FILE`."""

import json
import sys
from collections import Counter
from pathlib import Path


def main(path: Path) -> int:
    """Prints a line for each kind, the sum, and each failure once. Returns 1 where there was one."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    tallies = [line for line in lines if "cases" in line]
    failures = Counter(f"{line['kind']}: {line['failure']}" for line in lines if "failure" in line)
    total: Counter[str] = Counter()
    for tally in tallies:
        total += Counter({name: count for name, count in tally.items() if isinstance(count, int) and name != "largest"})
        print(_line(tally["kind"], tally))
    longest = max((tally["longest"] for tally in tallies), default=0.0)
    largest = max((tally["largest"] for tally in tallies), default=0)
    print(_line("all", {**Counter(), **dict.fromkeys(_COUNTS, 0), **total, "longest": longest, "largest": largest}))
    for failure, count in failures.most_common():
        print(f"{count:6} x {failure}")
    return int(bool(failures))


_COUNTS = ("cases", "accepted", "refused", "foreign", "long_messages", "slow", "large")


def _line(kind: str, tally: dict[str, float]) -> str:
    counts = ", ".join(f"{tally[name]:,} {name.replace('_', ' ')}" for name in _COUNTS)
    return f"{kind}: {counts}; at most {tally['longest']:.2f} s and {tally['largest'] / 1e6:.0f} MB"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
