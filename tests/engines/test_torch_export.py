"""torch.export of a model without a wrapper, saved to a file and loaded: outputs keep their types."""

import io

import pytest
import torch
import torch.utils._pytree as pytree

from backbonekit.contract.predictions import ModelOutput
from tests.engines.models import RECIPES, SIZE, model_of


@pytest.mark.parametrize("name", RECIPES)
def test_a_program_returns_what_the_model_returns(name):
    model, file = model_of(name), io.BytesIO()
    inputs = torch.randn(2, 3, *SIZE), torch.ones(2, *SIZE, dtype=torch.bool)
    batch = torch.export.Dim("batch", min=1, max=32)
    torch.export.save(torch.export.export(model, inputs, dynamic_shapes=({0: batch}, {0: batch})), file)
    file.seek(0)
    program = torch.export.load(file).module()
    for count in (1, 5):
        pixel_values = torch.randn(count, 3, *SIZE)
        mask = torch.ones(count, *SIZE, dtype=torch.bool)
        mask[0, 40:] = False
        with torch.no_grad():
            given, expected = program(pixel_values, mask), model(pixel_values, mask)
        assert type(given) is ModelOutput
        assert pytree.tree_structure(given) == pytree.tree_structure(expected)
        for one, other in zip(pytree.tree_leaves(given), pytree.tree_leaves(expected), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
