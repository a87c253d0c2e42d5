"""Box queries to what transformers' image processors for detection return."""

from collections.abc import Sequence

from torch import Tensor

from backbonekit.contract.predictions import BoxQueries, Scoring
from backbonekit.errors import ContractError
from backbonekit.ops.numerics import upcast_to_float32
from backbonekit.postprocessing.boxes import best_boxes, corners

# How the models that each image processor belongs to score their boxes, and how many of them it looks at (None: as many
# as there are queries). By `image_processor_type` without its ending.
BOX_SCORING: dict[str, tuple[Scoring, int | None]] = {
    "ConditionalDetr": ("sigmoid", 100),
    "DeformableDetr": ("sigmoid", 100),
    "Detr": ("softmax_with_null", None),
    "RTDetr": ("sigmoid", None),
    "RfDetr": ("sigmoid", None),
}


def found_boxes(
    prediction: BoxQueries,
    *,
    scoring: Scoring,
    top_k: int | None,
    threshold: float,
    sizes: Sequence[tuple[int, int]] | None,
) -> list[dict[str, Tensor]]:
    """For each image `scores` float [N], `labels` int64 [N] and `boxes` float [N, 4].

    Boxes are x0 y0 x1 y1 in pixels of `sizes`, (height, width) of each image, or in [0, 1] without; not cut to the
    image. The order is that of transformers: by score where pairs of query and class are chosen (sigmoid), by query
    where each query has its one class.
    """
    if top_k is not None and top_k < 1:
        raise ContractError(f"top_k={top_k}: at least 1 box is looked at.")
    if sizes is not None and len(sizes) != len(prediction.class_logits):
        raise ContractError(
            f"{len(sizes)} target_sizes for {len(prediction.class_logits)} images; give one (height, width) an image."
        )
    scores, labels, queries = best_boxes(prediction, scoring=scoring, top_k=top_k)
    boxes = corners(upcast_to_float32(prediction.boxes_cxcywh))
    results = []
    for index in range(len(scores)):
        kept = scores[index] > threshold
        chosen = queries[index][kept]
        order = chosen.argsort() if scoring != "sigmoid" else slice(None)
        image_boxes = boxes[index][chosen][order]
        if sizes is not None:
            height, width = sizes[index]
            image_boxes = image_boxes * image_boxes.new_tensor([width, height, width, height])
        results.append(
            {"scores": scores[index][kept][order], "labels": labels[index][kept][order], "boxes": image_boxes}
        )
    return results
