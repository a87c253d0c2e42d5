"""Things found in overlapping tiles, put together: of those that are one thing, found in two tiles, the best stays."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from backbonekit.contract.results import InstanceResult
from backbonekit.errors import ContractError
from backbonekit.postprocessing.instance import mask_boxes

# Of the smaller one's area. A thing cut by a tile's edge lies inside the whole one, so that a share of their union
# would be small.
SHARED = 0.5
_MOST_MASK_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True)
class _Cutout:
    """A mask without what lies around it, its corner in pixels of the image."""

    left: int
    top: int
    mask: Tensor

    def shared(self, other: "_Cutout") -> float:
        """How much of the smaller one is also in the other."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right = min(self.left + self.mask.shape[1], other.left + other.mask.shape[1])
        bottom = min(self.top + self.mask.shape[0], other.top + other.mask.shape[0])
        if right <= left or bottom <= top:
            return 0.0
        one, two = (
            cut.mask[top - cut.top : bottom - cut.top, left - cut.left : right - cut.left] for cut in (self, other)
        )
        return float((one & two).sum()) / max(1, min(int(self.mask.sum()), int(other.mask.sum())))


@dataclass(slots=True)
class InstanceTiles:
    """What was found so far, in pixels of the image. `tiles`: the number of the tile of each thing."""

    num_tiles: int = 0
    has_masks: bool = False
    tiles: list[Tensor] = field(default_factory=list)
    labels: list[Tensor] = field(default_factory=list)
    scores: list[Tensor] = field(default_factory=list)
    boxes: list[Tensor] = field(default_factory=list)
    cutouts: list[_Cutout] = field(default_factory=list)

    def add(self, left: int, top: int, result: InstanceResult) -> None:
        """The things of the next tile, in its own pixels; its corner is at (left, top)."""
        masks = result.masks
        # A head of masks may find a thing without a single pixel.
        kept = torch.ones(len(result.labels), dtype=torch.bool) if masks is None else masks.flatten(1).any(dim=1)
        self.tiles.append(torch.full((int(kept.sum()),), self.num_tiles))
        self.labels.append(result.labels[kept])
        self.scores.append(result.scores[kept])
        self.boxes.append(result.boxes_xyxy[kept] + torch.tensor([left, top, left, top]))
        if masks is not None:
            self.has_masks = True
            for mask, box in zip(masks[kept], mask_boxes(masks[kept]).long().tolist(), strict=True):
                part = mask[box[1] : box[3], box[0] : box[2]].clone()
                self.cutouts.append(_Cutout(left + box[0], top + box[1], part))
        self.num_tiles += 1

    def merged(self, size: tuple[int, int], top_k: int | None = None) -> InstanceResult:
        """In the pixels of the image of `size` (height, width), best first. Two things of one class from different
        tiles are one where they share at least half of the smaller one: of their masks, or without masks of their
        boxes. `top_k`: how many at most. Raises ContractError for more masks of the whole image than 4 GB."""
        boxes, labels, scores = torch.cat(self.boxes), torch.cat(self.labels), torch.cat(self.scores)
        kept = self._kept(boxes, labels, scores)[:top_k]
        masks = self._masks(size, kept) if self.has_masks else None
        return InstanceResult(labels[kept], scores[kept], boxes[kept], masks)

    def _kept(self, boxes: Tensor, labels: Tensor, scores: Tensor) -> Tensor:
        tiles = torch.cat(self.tiles)
        areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
        is_left = torch.ones(len(scores), dtype=torch.bool)
        kept: list[int] = []
        for best in scores.argsort(descending=True, stable=True).tolist():
            if not is_left[best]:
                continue
            kept.append(best)
            low = torch.maximum(boxes[:, :2], boxes[best, :2])
            high = torch.minimum(boxes[:, 2:], boxes[best, 2:])
            shared = (high - low).clamp(min=0).prod(dim=1)
            same = is_left & (labels == labels[best]) & (tiles != tiles[best]) & (shared > 0)
            if self.has_masks:
                for other in same.nonzero()[:, 0].tolist():
                    same[other] = self.cutouts[best].shared(self.cutouts[other]) >= SHARED
            else:
                same &= shared >= SHARED * torch.minimum(areas, areas[best])
            is_left &= ~same
        return torch.tensor(kept, dtype=torch.int64)

    def _masks(self, size: tuple[int, int], kept: Tensor) -> Tensor:
        num_bytes = len(kept) * size[0] * size[1]
        if num_bytes > _MOST_MASK_BYTES:
            raise ContractError(
                f"{len(kept)} masks of {size[0]} x {size[1]} pixels take {num_bytes / 1e9:.0f} GB. The fix: a higher"
                " threshold=, a top_k=, or parts of the scene one by one."
            )
        whole = torch.zeros((len(kept), *size), dtype=torch.bool)
        for index, position in enumerate(kept.tolist()):
            cut = self.cutouts[position]
            whole[index, cut.top : cut.top + cut.mask.shape[0], cut.left : cut.left + cut.mask.shape[1]] = cut.mask
        return whole
