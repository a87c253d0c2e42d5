"""The values that arguments may have, as far as they need no torch and no network."""

from collections.abc import Collection, Mapping, Sequence

from backbonekit.errors import RecipeError

SWITCHES = ("overwrite", "legend", "free_size", "padded", "decode", "card")
_WHOLE = {"batch_size": (1, 10_000), "num_names": (0, 10_000), "seed": (0, None)}


def value_faults(literals: Mapping[str, str], own: Collection[str] = ()) -> list[str]:
    """A message for each argument given that has a wrong value. `own`: those that the verb checks by itself."""
    given = {name: value for name, value in literals.items() if name not in own}
    faults = [
        f"{name}={given[name]}: must be true or false."
        for name in SWITCHES
        if given.get(name, "false") not in ("true", "false")
    ]
    for name, (least, most) in _WHOLE.items():
        text = given.get(name, str(least))
        if not text.isdecimal() or int(text) < least or (most is not None and int(text) > most):
            bounds = f"from {least}" if most is None else f"from {least} to {most:,}"
            faults.append(f"{name}={text}: must be a whole number {bounds}.")
    if given.get("format", "table") not in ("table", "json"):
        faults.append(f"format={given['format']}: must be table or json.")
    if "threshold" in given and not is_share(given["threshold"]):
        faults.append(f"threshold={given['threshold']}: must be a number from 0 to 1.")
    return faults


def without_format(words: Sequence[str]) -> tuple[list[str], bool]:
    """The words of a verb without key=value, without format=, and whether it was json. Raises RecipeError."""
    given = [word for word in words if word.startswith("format=")]
    faults = value_faults(dict(word.split("=", 1) for word in given))
    if faults:
        raise RecipeError(faults)
    return [word for word in words if word not in given], "format=json" in given


def is_share(text: str) -> bool:
    try:
        return 0.0 <= float(text) <= 1.0
    except ValueError:
        return False
