"""A dataclass that is also a mapping of its set fields, and a pytree.

Training engines walk outputs in three ways: Lightning sets attributes of dataclasses, accelerate rebuilds a mapping by
`type(output)({...})`, torch.export flattens pytrees. An output has to come through all three as itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, TypeVar

import torch.utils._pytree as pytree

Output = TypeVar("Output", bound=type)


class FieldMapping(Mapping[str, Any]):
    """Base of answers and outputs. `out.loss` and `out["loss"]` are the same; a field that is None is no key.

    A single mapping as the first argument is spread over the fields: `Output({"logits": x})` is `Output(logits=x)`.
    """

    def __post_init__(self) -> None:
        names = [item.name for item in fields(self)]  # type: ignore[arg-type]
        first = getattr(self, names[0])
        if isinstance(first, Mapping) and not isinstance(first, FieldMapping) and set(first) <= set(names):
            for name in names:
                if name in first:
                    setattr(self, name, first[name])
                elif name == names[0]:
                    setattr(self, name, None)

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
    """Class decorator: makes a FieldMapping dataclass a pytree node, with plain `fields` as children."""
    names = [item.name for item in fields(cls)]

    def flatten(output: Any) -> tuple[list[Any], None]:
        return [getattr(output, name) for name in names], None

    def flatten_with_keys(output: Any) -> tuple[list[tuple[Any, Any]], None]:
        return [(pytree.GetAttrKey(name), getattr(output, name)) for name in names], None

    def unflatten(values: Any, _: None) -> Any:
        return cls(**dict(zip(names, values, strict=True)))

    pytree.register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=f"{cls.__module__}.{cls.__qualname__}",
        flatten_with_keys_fn=flatten_with_keys,
    )
    return cls
