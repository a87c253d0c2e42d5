"""A dataclass that is also a mapping of its set fields, and a pytree.

Training engines walk outputs in three ways: Lightning sets attributes of dataclasses, accelerate rebuilds a mapping by
`type(output)({...})`, torch.export flattens pytrees. An output has to come through all three as itself.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from functools import wraps
from typing import Any, TypeVar

import torch.utils._pytree as pytree

Output = TypeVar("Output", bound=type)


class FieldMapping(Mapping[str, Any]):
    """Base of predictions and outputs. `out.loss` and `out["loss"]` are the same; a field that is None is no key."""

    def __getitem__(self, key: str) -> Any:
        if key not in self:
            raise KeyError(key)
        return getattr(self, key)

    def __contains__(self, key: object) -> bool:
        return any(item.name == key and getattr(self, item.name) is not None for item in fields(self))  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[str]:
        return iter([item.name for item in fields(self) if getattr(self, item.name) is not None])  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(list(iter(self)))


def register_output(cls: Output) -> Output:
    """Class decorator for a FieldMapping dataclass: makes it a pytree node, with its set fields as children, and lets
    it be rebuilt from a single mapping: `cls({"logits": x})` is `cls(logits=x)`."""
    names = {item.name for item in fields(cls)}
    from_fields = cls.__init__

    @wraps(from_fields)
    def from_fields_or_mapping(self: Any, *values: Any, **named: Any) -> None:
        if len(values) == 1 and not named and type(values[0]) is dict and names.issuperset(values[0]):
            from_fields(self, **values[0])
        else:
            from_fields(self, *values, **named)

    cls.__init__ = from_fields_or_mapping

    def flatten(output: Any) -> tuple[list[Any], list[str]]:
        keys = list(output)
        return [getattr(output, key) for key in keys], keys

    def flatten_with_keys(output: Any) -> tuple[list[tuple[Any, Any]], list[str]]:
        values, keys = flatten(output)
        return [(pytree.GetAttrKey(key), value) for key, value in zip(keys, values, strict=True)], keys

    def unflatten(values: Iterable[Any], keys: list[str]) -> Any:
        return cls(**dict(zip(keys, values, strict=True)))

    pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        flatten_with_keys_fn=flatten_with_keys,
    )
    return cls
