"""A model prepared by accelerate's Accelerator, in mixed precision."""

import pytest
import torch
from torch.utils.data import DataLoader

from backbonekit.contract.predictions import ModelOutput
from tests.engines.models import RECIPES, model_of, sample

accelerate = pytest.importorskip("accelerate")


@pytest.fixture
def accelerator():
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    yield accelerate.Accelerator(cpu=True, mixed_precision="bf16")
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)


@pytest.mark.parametrize("name", RECIPES)
def test_trains_in_mixed_precision(name, accelerator):
    model = model_of(name).train()
    loader = DataLoader([sample(index) for index in range(6)], batch_size=3, collate_fn=model.processor.collate)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    prepared, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    before = {key: parameter.clone() for key, parameter in model.named_parameters()}
    for batch in loader:
        output = prepared(**batch)
        assert type(output) is ModelOutput
        # Computed in bfloat16, returned in float32.
        assert output.feature_maps[0].dtype == torch.float32
        assert torch.equal(output.feature_maps[0], output.feature_maps[0].bfloat16().float())
        assert output.loss.dtype == torch.float32
        assert output.loss.isfinite()
        accelerator.backward(output.loss)
        accelerator.clip_grad_norm_(model.parameters(), 0.1)
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        optimizer.zero_grad()
    moved = [key for key, parameter in model.named_parameters() if not torch.equal(parameter, before[key])]
    assert len(moved) > len(before) * 0.9
    gathered = accelerator.gather_for_metrics(output)
    assert type(gathered) is ModelOutput
    assert type(gathered.predictions) is type(output.predictions)
    unwrapped = accelerator.unwrap_model(prepared)
    assert unwrapped is model
    with torch.no_grad():
        assert unwrapped(batch["pixel_values"]).feature_maps[0].isfinite().all()


def test_saves_and_loads_its_state(accelerator, tmp_path):
    model = model_of("maskformer")
    prepared = accelerator.prepare(model)
    accelerator.save_state(tmp_path)
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    accelerator.load_state(tmp_path)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in model.state_dict().items())
    assert prepared is not None
