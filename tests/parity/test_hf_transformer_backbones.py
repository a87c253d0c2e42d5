"""What single transformer families do otherwise than all the others, against transformers."""

from pathlib import Path

import pytest
import torch

from backbonekit.backbones.hf.blueprint import blueprint
from backbonekit.weights.construct import without_weights
from backbonekit.weights.fill import fill

transformers = pytest.importorskip("transformers")

from tests.fixed_weights import randomise_weights  # noqa: E402
from tests.parity.test_hf_backbones import assert_same, every_index, load, oracle_config  # noqa: E402

pytestmark = pytest.mark.parity


def test_dinov3_disturbs_coordinates_in_training_as_transformers_does(tmp_path: Path) -> None:
    config = oracle_config("dinov3-vit", pos_embed_shift=0.3, pos_embed_jitter=1.5, pos_embed_rescale=2.0)
    config.out_indices = every_index(config)
    theirs = randomise_weights(transformers.DINOv3ViTBackbone(config)).eval()
    theirs.save_pretrained(tmp_path)
    ours, _, _ = load(tmp_path, every_index(config))
    pixel_values = torch.randn(2, 3, 64, 80)
    still = ours(pixel_values).maps
    maps = []
    for model in (ours.train(), theirs.train()):
        torch.manual_seed(3)
        out = model(pixel_values)
        maps.append(out.maps if model is ours else out.feature_maps)
    assert_same(maps[0], maps[1], 1e-4)
    assert (maps[0][-1] - still[-1]).abs().max() > 0.01


def test_hiera_is_transformers_whole_model_and_not_its_backbone(tmp_path: Path) -> None:
    config = oracle_config("hiera")
    config.out_indices = every_index(config)
    whole = randomise_weights(transformers.HieraModel(config)).eval()
    whole.save_pretrained(tmp_path)
    ours, _, _ = load(tmp_path, every_index(config), norm="none")
    pixel_values = torch.randn(2, 3, *config.image_size)
    with torch.no_grad():
        expected = whole(pixel_values, output_hidden_states=True).reshaped_hidden_states
        maps = ours(pixel_values).maps
        assert_same(maps, tuple(each.permute(0, 3, 1, 2) for each in expected), 1e-4)
        backbone = transformers.HieraBackbone.from_pretrained(tmp_path, out_indices=[1]).eval()
        normed, _, _ = load(tmp_path, [1])
        given, theirs = normed(pixel_values).maps[0], backbone(pixel_values).feature_maps[0]
    # It attends and pools across the image; when this fails, transformers orders the tokens.
    assert (given - theirs).abs().max() > 0.1 * theirs.abs().max()


def test_the_backbone_of_a_pose_model_is_read(tmp_path: Path) -> None:
    config = oracle_config("vitpose")
    config.out_indices = every_index(config)
    whole = transformers.VitPoseForPoseEstimation(transformers.VitPoseConfig(backbone_config=config))
    randomise_weights(whole).eval().save_pretrained(tmp_path)
    source = blueprint(None, config=config.to_dict(), revision=None, in_channels=3, args={})
    with without_weights():
        ours = source.construct(every_index(config))
    fill(ours, source.checkpoint(str(tmp_path / "model.safetensors"), None, every_index(config)))
    pixel_values = torch.randn(2, 3, *config.image_size)
    with torch.no_grad():
        assert_same(ours(pixel_values).maps, whole.backbone(pixel_values).feature_maps, 1e-4)
