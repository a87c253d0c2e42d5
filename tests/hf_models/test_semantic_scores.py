"""`return_segmentation_scores`: the classes of the pixels with their scores, equal to transformers'."""

import pytest
import torch

from backbonekit.hf_models import AutoImageProcessor
from backbonekit.hf_models.model_outputs import DenseModelOutput, MaskModelOutput

GENERATOR = torch.Generator().manual_seed(0)
DENSE = DenseModelOutput(logits=torch.randn(2, 4, 12, 9, generator=GENERATOR))
MASKS = MaskModelOutput(
    class_queries_logits=torch.randn(2, 7, 5, generator=GENERATOR),
    masks_queries_logits=torch.randn(2, 7, 12, 9, generator=GENERATOR) * 3,
)
KINDS = {"Segformer": DENSE, "DPT": DENSE, "Beit": DENSE, "MaskFormer": MASKS, "Mask2Former": MASKS}


@pytest.mark.parity
@pytest.mark.parametrize("sizes", [None, [(24, 33), (7, 5)]])
@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_transformers(kind, sizes) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = getattr(transformers, f"{kind}ImageProcessorPil")()
    ours = AutoImageProcessor.from_dict({"image_processor_type": f"{kind}ImageProcessor"})
    expected = theirs.post_process_semantic_segmentation(KINDS[kind], sizes, return_segmentation_scores=True)
    given = ours.post_process_semantic_segmentation(KINDS[kind], sizes, return_segmentation_scores=True)
    plain = ours.post_process_semantic_segmentation(KINDS[kind], sizes)
    for one, other, alone in zip(given, expected, plain, strict=True):
        torch.testing.assert_close(one.segmentation_scores, other.segmentation_scores, rtol=1e-5, atol=1e-5)
        assert torch.equal(one.segmentation, other.segmentation)
        assert torch.equal(one["segmentation"], alone)
