"""What makes one vector of a feature map, by name. No torch here."""

from typing import Literal, get_args

# The class token; or over the positions of the map; or the map itself.
Pool = Literal["cls", "mean", "max", "gem", "none"]
POOLS: tuple[str, ...] = get_args(Pool)
