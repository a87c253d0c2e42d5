"""SegFormer as transformers saves it opens, on a PVT v2 with its epsilon, and predicts the same."""

import pytest
import torch

import backbonekit as bk
from backbonekit.errors import RecipeError
from backbonekit.heads.segformer.checkpoint import SEGFORMER
from backbonekit.weights.checkpoint import open_checkpoint
from backbonekit.weights.repository import open_repository
from tests.fixed_weights import randomise_weights
from tests.parity.detection_example import assert_near

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.parity
SMALL = {
    "hidden_sizes": [8, 16, 24, 32],
    "depths": [1, 2, 1, 1],
    "num_attention_heads": [1, 2, 3, 4],
    "decoder_hidden_size": 16,
}


@pytest.mark.parametrize("size", [(64, 96), (131, 87)])
def test_predictions_and_loss(tmp_path, size):
    torch.manual_seed(0)
    config = transformers.SegformerConfig(**SMALL, id2label={0: "sky", 1: "person", 2: "road"})
    theirs = randomise_weights(transformers.SegformerForSemanticSegmentation(config)).eval()
    theirs.save_pretrained(tmp_path)
    ours = bk.load_model(tmp_path)
    assert ours.labels.names == ("sky", "person", "road")
    images = torch.randn(2, 3, *size)
    labels = torch.randint(0, 3, (2, *size))
    labels[:, :9] = 255
    with torch.no_grad():
        out = ours(images, targets=[{"segmentation": one} for one in labels])
        expected = theirs(images, labels=labels)
    assert_near(out.predictions.logits, expected.logits)
    assert_near(out.loss, expected.loss)


def test_names_in_memory_are_read_too(tmp_path):
    theirs = transformers.SegformerForSemanticSegmentation(transformers.SegformerConfig(**SMALL))
    theirs.save_pretrained(tmp_path)
    config = theirs.config.to_dict()
    on_disk = SEGFORMER.key_map(config).translate(open_checkpoint(open_repository(tmp_path)))
    from safetensors.torch import save_file

    memory = tmp_path / "memory"
    memory.mkdir()
    save_file({name: one.contiguous() for name, one in theirs.state_dict().items()}, memory / "model.safetensors")
    in_memory = SEGFORMER.key_map(config).translate(open_checkpoint(open_repository(memory)))
    assert in_memory.tensors.keys() == on_disk.tensors.keys()
    for name in on_disk.tensors:
        torch.testing.assert_close(in_memory.tensor(name), on_disk.tensor(name))


def test_what_has_no_counterpart():
    config = {**SMALL, "model_type": "segformer", "reshape_last_stage": False, "num_encoder_blocks": 3}
    with pytest.raises(RecipeError) as caught:
        SEGFORMER.recipe(config)
    assert "reshape_last_stage=False is not supported" in str(caught.value)
    assert "num_encoder_blocks=3 is not supported" in str(caught.value)
