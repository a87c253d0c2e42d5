"""What wiring works on: the parts of each task before they are built."""

from dataclasses import dataclass
from typing import Any

from torch import nn

from backbonekit.assembly.level_selection import Demand
from backbonekit.contract.features import FeaturePyramid
from backbonekit.contract.requirements import Requirement
from backbonekit.contract.signatures import pick
from backbonekit.recipe.recipe import TaskRecipe


@dataclass(slots=True)
class PartPlan:
    """A neck or head about to be built: its class, its options, and the features that it receives and publishes.

    `num_bytes`: of its parameters and buffers.
    """

    kind: str
    name: str
    part: type
    options: dict[str, Any]
    receives: FeaturePyramid
    publishes: FeaturePyramid | None = None
    inserted: bool = False
    num_bytes: int = 0

    @property
    def shown(self) -> str:
        return f"{self.kind} {self.name}"

    def construct(self) -> nn.Module:
        return self.part(self.receives, **self.options)


@dataclass(slots=True)
class TaskPlan:
    """One task about to be built: its necks in order and its head.

    `recipe`: the data that it is planned from. `levels`: positions among the maps that enter the first part, which are
    the backbone's, or those of the necks that all tasks share. These are planned as a task without a head, whose last
    neck has to return what the tasks require (`wanted`).
    """

    name: str
    recipe: TaskRecipe
    necks: list[PartPlan]
    head: PartPlan | None
    levels: tuple[int, ...] = ()
    wanted: Requirement | None = None

    @property
    def parts(self) -> list[PartPlan]:
        """Necks and head, in the order in which they run."""
        return self.necks if self.head is None else [*self.necks, self.head]

    @property
    def inserted(self) -> tuple[int, ...]:
        """Positions of the necks that wiring put in."""
        return tuple(position for position, neck in enumerate(self.necks) if neck.inserted)

    @property
    def of_task(self) -> str:
        """' of task NAME', for messages; '' where tasks have no names."""
        return f" of task {self.name}" if self.name else ""

    @property
    def path(self) -> str:
        """Before the keys of its recipe: 'heads.NAME.' or ''."""
        return f"heads.{self.name}." if self.name else ""

    def demand(self) -> Demand:
        """What the parts, from the head back to the first, require of what is before them."""
        requirement = self.wanted
        for part in reversed(self.parts):
            needs = part.part.needs  # type: ignore[attr-defined]
            requirement = needs(requirement, **pick(part.options, needs))
        consumer = f"{self.parts[0].shown}{self.of_task}" if self.parts else ""
        return Demand(requirement, consumer, has_head=self.head is not None or self.wanted is not None)
