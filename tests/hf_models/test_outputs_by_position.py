"""Outputs under transformers' names are read by position too, in transformers' order."""

import dataclasses

import pytest
import torch

from backbonekit.hf_models import model_outputs
from backbonekit.hf_models.backbone_mixin import BackboneOutput

OUTPUTS = [
    BackboneOutput,
    *(value for name, value in vars(model_outputs).items() if name.endswith("ModelOutput")),
]


@pytest.mark.parametrize("kind", OUTPUTS, ids=lambda kind: kind.__name__)
def test_every_field_has_a_position(kind):
    assert sorted(kind.order) == sorted(field.name for field in dataclasses.fields(kind))


def test_the_loss_comes_first_and_fields_without_a_value_have_no_position():
    logits, boxes, loss = torch.zeros(1, 2, 3), torch.zeros(1, 2, 4), torch.zeros(())
    output = model_outputs.BoxModelOutput(logits=logits, pred_boxes=boxes, feature_maps=())
    assert output[0] is logits
    assert output[:2] == (logits, boxes)
    assert output.to_tuple() == (logits, boxes, ())
    output.loss = loss
    assert output[0] is loss
    assert output["loss"] is output.loss is loss
    with pytest.raises(IndexError):
        output[9]
    with pytest.raises(KeyError):
        output["loss_dict"]


@pytest.mark.parity
def test_the_order_is_that_of_transformers():
    pytest.importorskip("transformers")
    from transformers.modeling_outputs import BackboneOutput as Theirs, DepthEstimatorOutput, SemanticSegmenterOutput
    from transformers.models.detr.modeling_detr import DetrObjectDetectionOutput
    from transformers.models.maskformer.modeling_maskformer import MaskFormerForInstanceSegmentationOutput
    from transformers.models.vitpose.modeling_vitpose import VitPoseEstimatorOutput

    pairs = [
        (BackboneOutput, Theirs),
        (model_outputs.BoxModelOutput, DetrObjectDetectionOutput),
        (model_outputs.MaskModelOutput, MaskFormerForInstanceSegmentationOutput),
        (model_outputs.DenseModelOutput, SemanticSegmenterOutput),
        (model_outputs.DepthModelOutput, DepthEstimatorOutput),
        (model_outputs.PoseModelOutput, VitPoseEstimatorOutput),
    ]
    for ours, theirs in pairs:
        names = [field.name for field in dataclasses.fields(theirs)]
        shared = [name for name in ours.order if name in names]
        assert shared == [name for name in names if name in shared], ours.__name__
        assert [name for name in ours.order if name not in names] in (
            [],
            ["feature_maps"],
            ["feature_maps", "loss_dict"],
        )
