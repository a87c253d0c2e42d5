"""engine= and workers=: which machines do the work."""

from collections.abc import Mapping

_MOST_WORKERS = 10_000


def engine_faults(literals: Mapping[str, str]) -> list[str]:
    """What is wrong with engine= and workers=, and with device= beside them."""
    engine, workers = literals.get("engine", "local"), literals.get("workers", "1")
    faults = [] if engine in ("local", "ray") else [f"engine={engine}: must be local or ray."]
    if not (workers.isdecimal() and 0 < int(workers) <= _MOST_WORKERS):
        faults.append(f"workers={workers}: must be a whole number from 1 to {_MOST_WORKERS:,}.")
    if engine == "ray" and "device" in literals:
        faults.append(
            "device= is of one machine; with engine=ray every actor takes a GPU of the cluster where it has any."
        )
    return faults
