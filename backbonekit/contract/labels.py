"""The names of the classes, divided into things and stuff. No torch here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Labels:
    """`names`: one for each class, by its number. `things`: the numbers of countable classes (a person, a car); the
    rest is stuff (sky, road), of which a panoptic result has one segment each. None: unknown, all are things."""

    names: tuple[str, ...]
    things: frozenset[int] | None = None

    def name(self, label: int) -> str:
        return self.names[label] if 0 <= label < len(self.names) else str(label)

    @property
    def stuff(self) -> frozenset[int]:
        return frozenset() if self.things is None else frozenset(range(len(self.names))) - self.things
