import pytest
import torch
import torch.utils._pytree as pytree

from backbonekit.contract.predictions import DenseLogits, MaskQueries, ModelOutput


def output():
    prediction = MaskQueries(torch.zeros(2, 5, 4), torch.zeros(2, 5, 8, 8))
    return ModelOutput((torch.zeros(2, 3, 8, 8),), prediction, torch.tensor(1.0), {"mask": torch.tensor(1.0)})


def test_a_field_that_is_none_is_no_key():
    assert list(DenseLogits(torch.zeros(1))) == ["logits"]
    assert "auxiliary" not in DenseLogits(torch.zeros(1))
    with pytest.raises(KeyError):
        DenseLogits(torch.zeros(1))["auxiliary"]


def test_attribute_and_key_are_the_same():
    out = output()
    assert out["loss"] is out.loss
    assert dict(out)["predictions"] is out.predictions


def test_it_is_rebuilt_from_a_mapping():
    again = ModelOutput(dict(output()))
    assert isinstance(again.predictions, MaskQueries)
    assert again.loss == 1.0


def test_losses_that_look_like_fields_are_not_spread():
    predictions = {"segment": DenseLogits(torch.zeros(1))}
    assert ModelOutput((torch.zeros(1),), predictions).predictions is predictions


def test_pytree_round_trip_keeps_the_types():
    leaves, spec = pytree.tree_flatten(output())
    again = pytree.tree_unflatten([leaf + 1 for leaf in leaves], spec)
    assert isinstance(again.predictions, MaskQueries)
    assert again.loss == 2.0


def test_accelerate_sees_every_tensor():
    operations = pytest.importorskip("accelerate.utils.operations")
    half = operations.recursively_apply(lambda tensor: tensor.half(), output())
    assert isinstance(half.predictions, MaskQueries)
    assert half.predictions.mask_logits.dtype == torch.float16
    assert half.losses["mask"].dtype == torch.float16


def test_lightning_sees_every_tensor():
    apply = pytest.importorskip("lightning_utilities.core.apply_func")
    half = apply.apply_to_collection(output(), torch.Tensor, lambda tensor: tensor.half())
    assert isinstance(half.predictions, MaskQueries)
    assert half.feature_maps[0].dtype == torch.float16
