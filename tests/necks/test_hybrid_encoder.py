"""HybridEncoder: the neck's contract, levels that are not twice as large, padding, refusals."""

import pytest
import torch

from backbonekit.contract.features import FeaturePyramid, Level
from backbonekit.contract.maps import Canvas, FeatureMaps
from backbonekit.contract.requirements import Requirement
from backbonekit.errors import ContractError
from backbonekit.necks.hybrid_encoder import HybridEncoder
from backbonekit.ops.unscaled_sine_positions import unscaled_sine_positions
from tests.necks.neck_tester import NeckTester


class HybridEncoderTester(NeckTester):
    part = HybridEncoder

    def test_gradient_reaches_every_parameter(self) -> None:
        """In training a batch norm removes a constant that is added to all positions: here its statistics are fixed."""
        part = self.build()
        maps = self.maps((64, 64), grad=True)
        tensors = self.run(part, maps, (64, 64))
        sum((tensor * torch.randn_like(tensor)).sum() for tensor in tensors).backward()  # type: ignore[union-attr]
        idle = {name for name, one in part.named_parameters() if one.grad is None or not one.grad.any()}
        assert not idle


class TestHybridEncoder(HybridEncoderTester):
    options = {"channels": 16, "num_heads": 2, "feedforward_channels": 24, "expansion": 0.5, "num_blocks": 1}
    golden = (0.141947, 0.306528, 0.280980, 0.163858)


class TestHybridEncoderOfDFINE(HybridEncoderTester):
    options = {
        "channels": 16,
        "num_heads": 2,
        "feedforward_channels": 24,
        "fusion": "elan",
        "num_levels": 2,
        "num_blocks": 2,
    }
    golden = (-0.031718, 0.335647, 0.244167, 0.065581)


class TestHybridEncoderWithoutATransformer(HybridEncoderTester):
    options = {"channels": 16, "num_layers": 0, "num_levels": 4, "num_blocks": 0}
    golden = (0.608953, 0.429914, 1.302560, 0.379950)


def test_requires_as_many_levels_as_it_encodes():
    assert HybridEncoder.needs(None) == Requirement(strides=(8, 16, 32))
    assert HybridEncoder.needs(Requirement(strides=(16, 32), extras=("memory",)), num_levels=2) == Requirement(
        strides=(16, 32), extras=("memory",)
    )


def test_levels_of_any_size_are_resized_to_the_finer_one():
    pyramid = FeaturePyramid((Level("a", 8, 8), Level("b", 8, 14), Level("c", 8, 32)))
    neck = HybridEncoder(pyramid, channels=16, num_heads=2, num_blocks=1).eval()
    maps = FeatureMaps((torch.randn(1, 8, 17, 11), torch.randn(1, 8, 7, 6), torch.randn(1, 8, 5, 2)))
    sizes = [tuple(one.shape[-2:]) for one in neck(maps, Canvas((131, 87))).maps]
    assert sizes == [(17, 11), (7, 6), (5, 2)]


def test_attention_reads_no_padding():
    neck = TestHybridEncoderOfDFINE().build()
    maps = TestHybridEncoderOfDFINE().maps((64, 64), batch=1)
    mask = torch.ones(1, 64, 64, dtype=torch.bool)
    mask[:, :, 32:] = False
    attended = []
    neck.layers[0].register_forward_hook(lambda _, inputs, output: attended.append(output[:, [0, 2]]))
    for noise in (0, 9):
        coarsest = maps.maps[3].clone()
        coarsest[..., 1:] += noise
        neck(FeatureMaps((*maps.maps[:3], coarsest)), Canvas((64, 64), mask))
    torch.testing.assert_close(attended[0], attended[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 18}, r"channels=18; its positions require a multiple of 4, and 16 is the nearest"),
        ({"num_heads": 3}, "num_heads=3 does not divide channels=16"),
        (
            {"num_levels": 5},
            r"requires strides 2, 4, 8, 16, 32; .* so 2 is missing.*backbone.out_indices=auto",
        ),
    ],
)
def test_refuses_options_that_do_not_fit(options, message):
    with pytest.raises(ContractError, match=message):
        HybridEncoder(TestHybridEncoder().pyramid(), **{"channels": 16, **options})


def test_positions_are_rows_then_columns():
    positions = unscaled_sine_positions(torch.zeros(2, 8, 3, 5)).view(3, 5, 4, 2)
    rows, columns = torch.arange(3.0)[:, None], torch.arange(5.0)[None]
    for block, expected in enumerate((rows.sin(), rows.cos(), columns.sin(), columns.cos())):
        torch.testing.assert_close(positions[:, :, block, 0], expected.expand(3, 5))
    torch.testing.assert_close(positions[:, :, 0, 1], (rows / 100).sin().expand(3, 5))
