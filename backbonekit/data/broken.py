"""What is wrong with a data set's files: one message that lists the first faults, or the rest without them."""

from collections.abc import Sequence

from backbonekit.errors import StorageError, bounded

_SHOWN = 20


def refuse(faults: Sequence[str], *, source: str) -> None:
    """Raises StorageError with the number of faults and the first 20, if there is any. `source`: what was read."""
    if not faults:
        return
    count = "1 fault" if len(faults) == 1 else f"{len(faults):,} faults"
    lines = [f"  {number}. {bounded(fault, 300)}" for number, fault in enumerate(faults[:_SHOWN], 1)]
    more = [f"  ... and {len(faults) - _SHOWN:,} more."] if len(faults) > _SHOWN else []
    fix = "The fix: mend or remove these, or data.skip_broken=true, which learns from the rest."
    raise StorageError("\n".join([f"{source}: {count}.", *lines, *more, fix]))
