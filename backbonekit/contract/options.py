"""Types of a part's options. The signature is the schema: bounds stand in the annotation, so every size has one."""

from dataclasses import dataclass
from typing import Annotated, Literal


@dataclass(frozen=True, slots=True)
class Range:
    """Inclusive bounds of a number."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Length:
    """Inclusive bound of the length of a list; without it a list of options has at most 256 values."""

    most: int


Channels = Annotated[int, Range(1, 16_384)]  # above the widest published backbone (ViT-22B: 6,144)
Count = Annotated[int, Range(0, 100_000)]
Queries = Annotated[int, Range(1, 10_000)]
Layers = Annotated[int, Range(0, 200)]
Classes = Annotated[int, Range(1, 100_000)]  # ImageNet-21k has 21,841
Heads = Annotated[int, Range(1, 1_024)]
Probability = Annotated[float, Range(0.0, 1.0)]
Weight = Annotated[float, Range(0.0, 1e6)]
Stride = Annotated[int, Range(1, 1_024)]
Norm = Literal["batch", "group", "layer", "none"]
Side = Annotated[int, Range(1, 256)]  # cells or positions along a side
Dilation = Annotated[int, Range(1, 1_024)]
# The label of a pixel that belongs to no class. Maps are resized as float32, which holds whole numbers up to here.
IgnoreLabel = Annotated[int, Range(-16_777_215, 16_777_215)]
# A weight for each class.
ClassWeights = Annotated[tuple[Weight, ...], Length(100_000)]
