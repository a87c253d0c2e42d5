"""The options of `forward` that a configuration sets where the call does not."""

from backbonekit.errors import ContractError


def decided(name: str, given: bool | None, configured: bool) -> bool:
    """None means as configured. Raises ContractError for what is neither True nor False."""
    if given is None:
        return configured
    if not isinstance(given, bool):
        raise ContractError(f"{name} is True or False, got {str(given)[:60]}.")
    return given


def refuse(model: object, **given: object) -> None:
    """Raises ContractError for arguments of transformers' class that this model does not take, unless they are None."""
    named = [name for name, value in given.items() if value is not None]
    if named:
        raise ContractError(
            f"{type(model).__name__} takes no {' and no '.join(named)}. The fix for labels or a mask that were given by"
            " position: name them."
        )
