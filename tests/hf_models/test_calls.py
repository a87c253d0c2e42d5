"""The call of whole models: order of arguments, tuples, hidden states, what is refused; outputs made by hand."""

import inspect
from types import SimpleNamespace

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import ContractError
from backbonekit.hf_models.loss_names import named_losses
from backbonekit.hf_models.model_kinds import mirrored_back
from backbonekit.hf_models.model_outputs import BoxModelOutput, DenseModelOutput
from backbonekit.registry.model_names import MODELS
from tests.hf_models import small

KINDS = {
    "boxes": (small.model, (64, 64)),
    "masks": (small.masks, (64, 64)),
    "classes of pixels": (small.dense, (64, 64)),
    "depth": (small.depth, (56, 56)),
    "poses": (small.pose, (64, 48)),
}
kinds = pytest.mark.parametrize("kind", KINDS)


@kinds
def test_a_tuple_in_place_of_an_output(kind) -> None:
    make, size = KINDS[kind]
    made, images = make(), torch.randn(1, 3, *size)
    with torch.no_grad():
        output = made(images)
        values = made(images, return_dict=False)
        made.config.return_dict = False
        again = made(images)
    assert isinstance(values, tuple)
    assert torch.equal(values[0], output[0])
    assert len(again) == len(values) == len(output.to_tuple())
    with pytest.raises(ContractError, match="return_dict is True or False"):
        made(images, return_dict=0)


@pytest.mark.parametrize("kind", ["classes of pixels", "depth", "poses"])
def test_hidden_states_and_attention_are_those_of_the_backbone(kind) -> None:
    make, size = KINDS[kind]
    made, images = make(), torch.randn(1, 3, *size)
    with torch.no_grad():
        plain = made(images)
        output = made(images, output_hidden_states=True, output_attentions=True)
        made.config.output_hidden_states = True
        configured = made(images)
    assert plain.hidden_states is plain.attentions is None
    torch.testing.assert_close(output[0], plain[0])
    assert len(output.hidden_states) == len(configured.hidden_states) == made.model.backbone.built
    assert (output.attentions is None) == (kind == "classes of pixels")  # a convolutional backbone has none
    torch.testing.assert_close(output.hidden_states[-1], configured.hidden_states[-1])
    assert "forward" not in vars(made.model.backbone)


def test_arguments_that_a_detector_does_not_take() -> None:
    made, images = small.model(), torch.randn(1, 3, 64, 64)
    for name in ("decoder_attention_mask", "encoder_outputs", "inputs_embeds", "decoder_inputs_embeds"):
        with pytest.raises(ContractError, match=f"DetrForObjectDetection takes no {name}"):
            made(images, **{name: torch.zeros(1)})
    with pytest.raises(ContractError, match="given by position: name them"):
        made(images, None, [{}])  # labels, as they came third once


def test_predictions_of_earlier_layers_are_returned_or_refused() -> None:
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        kept = small.masks(use_auxiliary_loss=True).train()
        assert kept(images).auxiliary_logits is not None
        assert kept(images, output_auxiliary_logits=False).auxiliary_logits is None
        configured = small.masks(use_auxiliary_loss=True, output_auxiliary_logits=False).train()
        assert configured(images).auxiliary_logits is None
        assert configured(images, output_auxiliary_logits=True).auxiliary_logits is not None
        with pytest.raises(ContractError, match="use_auxiliary_loss=True"):
            small.masks()(images, output_auxiliary_logits=True)
        with pytest.raises(ContractError, match=r"or None in model\.config"):
            small.masks(output_auxiliary_logits=True)(images)


def test_heatmaps_of_mirrored_images() -> None:
    made, images = small.pose(), torch.randn(1, 3, 64, 48)
    with torch.no_grad():
        plain, mirrored = made(images).heatmaps, made(images, None, torch.tensor([[1, 2]])).heatmaps
    assert torch.equal(mirrored[:, 1], plain[:, 2].flip(-1))
    assert torch.equal(mirrored[:, 0], plain[:, 0].flip(-1))
    with pytest.raises(ContractError, match="there are 3 keypoints"):
        mirrored_back(plain, torch.tensor([[0, 3]]))
    with pytest.raises(ContractError, match="dataset_index chooses among the experts"):
        made(images, torch.tensor([0]))


@pytest.mark.parity
@pytest.mark.parametrize("model_type", MODELS)
def test_arguments_come_in_the_order_of_transformers(model_type) -> None:
    transformers = pytest.importorskip("transformers")
    name = MODELS[model_type].architecture
    ours = inspect.signature(getattr(bk, name).forward).parameters.values()
    positional = [one.name for one in ours if one.kind is one.POSITIONAL_OR_KEYWORD]
    theirs = [one for one in inspect.signature(getattr(transformers, name).forward).parameters if one != "kwargs"]
    count = min(len(positional), len(theirs))
    assert positional[:count] == theirs[:count]
    assert count >= 2


def test_outputs_made_from_logits_alone_are_read() -> None:
    logits, boxes = torch.randn(1, 5, 4), torch.rand(1, 5, 4)
    gathered = bk.MaskFormerForInstanceSegmentationOutput(
        class_queries_logits=logits, masks_queries_logits=torch.randn(1, 5, 8, 8)
    )
    assert gathered.feature_maps is None
    assert BoxModelOutput(logits=logits, pred_boxes=boxes)[0] is logits
    assert DenseModelOutput(None, torch.zeros(1, 2, 4, 4)).logits.shape == (1, 2, 4, 4)


def test_losses_have_transformers_names() -> None:
    terms = dict.fromkeys(
        ["class", "box", "giou", "class_0", "box_0", "box_proposals", "box_denoising_1"], torch.zeros(())
    )
    assert list(named_losses("detr", {name: terms[name] for name in ("class", "box", "giou", "box_0")}) or ()) == [
        "loss_ce", "loss_bbox", "loss_giou", "loss_bbox_0",
    ]  # fmt: skip
    assert list(named_losses("deformable_detr", {"box_proposals": torch.zeros(())}) or ()) == ["loss_bbox_enc"]
    assert list(named_losses("rt_detr", terms) or ()) == [
        "loss_vfl", "loss_bbox", "loss_giou", "loss_vfl_aux_0", "loss_bbox_aux_0", "loss_bbox_aux_1", "loss_bbox_dn_1",
    ]  # fmt: skip
    assert named_losses("detr", None) is None


def test_post_processing_reads_any_object_with_the_attributes(tmp_path) -> None:
    small.model().save_pretrained(tmp_path)
    processor = bk.AutoImageProcessor.from_pretrained(tmp_path)
    logits, boxes = torch.randn(1, 5, 4), torch.rand(1, 5, 4)
    given = SimpleNamespace(logits=logits, pred_boxes=boxes)
    (found,) = processor.post_process_object_detection(given, threshold=0.0, target_sizes=[(40, 30)])
    (expected,) = processor.post_process_object_detection(
        {"logits": logits, "pred_boxes": boxes}, threshold=0.0, target_sizes=[(40, 30)]
    )
    assert torch.equal(found["boxes"], expected["boxes"])
    with pytest.raises(ContractError, match="are required; given: SimpleNamespace"):
        processor.post_process_semantic_segmentation(given)
    with pytest.raises(ContractError, match="are required"):
        processor.post_process_object_detection(SimpleNamespace(logits=logits))
