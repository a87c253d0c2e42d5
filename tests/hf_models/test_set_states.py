"""Hidden states and attention of detectors and mask models. For equality with transformers see tests/parity."""

from threading import Thread

import pytest
import torch
from torch import nn

from backbonekit.errors import ContractError
from tests.fixed_weights import randomise_weights
from tests.hf_models import small

KINDS = {"boxes": small.model, "masks": small.masks}
LAST = {"boxes": "last_hidden_state", "masks": "transformer_decoder_last_hidden_state"}
STATES = {"boxes": "decoder_hidden_states", "masks": "transformer_decoder_hidden_states"}
WEIGHTS = {"boxes": "cross_attentions", "masks": "attentions"}
kinds = pytest.mark.parametrize("kind", KINDS)


class Wrapped(nn.Module):
    """A part inside another module, as a library for training wraps it."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, *given):
        return self.part(*given)


def has_hooks(model: nn.Module) -> bool:
    return any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


@kinds
def test_the_configuration_decides_what_the_call_leaves_open(kind) -> None:
    model, images = KINDS[kind](), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        plain = model(images)
        model.config.output_hidden_states = model.config.output_attentions = True
        configured = model(images)
        again = model(images, output_hidden_states=False, output_attentions=False)
    assert plain[LAST[kind]].shape == (1, 5, 32)
    assert STATES[kind] not in plain
    assert WEIGHTS[kind] not in plain
    assert len(configured[STATES[kind]]) == 3
    assert len(configured[WEIGHTS[kind]]) == 2
    assert list(again) == list(plain)
    assert not has_hooks(model)
    with pytest.raises(ContractError, match="output_hidden_states is True or False, got 3"):
        model(images, output_hidden_states=3)


@kinds
def test_gradients_flow_through_states_and_attention(kind) -> None:
    model = KINDS[kind]().train()
    output = model(torch.randn(1, 3, 64, 64), output_hidden_states=True, output_attentions=True)
    (output[STATES[kind]][-2].square().sum() + output[WEIGHTS[kind]][0].square().sum()).backward()
    assert model.model.head.layers[0].self_attention.query.weight.grad.any()


@kinds
def test_a_wrapped_decoder_predicts_and_keeps_no_states(kind) -> None:
    model, images = KINDS[kind](), torch.randn(1, 3, 64, 64)
    model.model.head = Wrapped(model.model.head)
    with torch.no_grad():
        output = model(images)
        assert LAST[kind] not in output
        assert output[0].shape == (1, 5, 4)
        with pytest.raises(ContractError, match=r"replaced, wrapped or compiled. The fix: output_hidden_states=False"):
            model(images, output_attentions=True)


@kinds
def test_a_broken_forward_leaves_no_hook_behind(kind) -> None:
    model = KINDS[kind]()
    with pytest.raises(ContractError):
        model(torch.randn(1, 4, 64, 64), output_hidden_states=True, output_attentions=True)
    assert not has_hooks(model)


@kinds
def test_threads_that_share_a_model_each_have_their_own_states(kind) -> None:
    model = randomise_weights(KINDS[kind]()).eval()
    images = [torch.randn(1, 3, 64 + 32 * index, 64) for index in range(2)]
    options = {"output_hidden_states": True, "output_attentions": True}
    outputs: list[list] = [[], []]

    def run(index: int) -> None:
        with torch.no_grad():
            outputs[index] += [model(images[index], **options) for _ in range(6)]

    with torch.no_grad():
        expected = [model(one, **options) for one in images]
    threads = [Thread(target=run, args=(index,)) for index in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index in range(2):
        assert len(outputs[index]) == 6  # no thread stopped at an error
        for output in outputs[index]:
            for field in (LAST[kind], STATES[kind], WEIGHTS[kind]):
                torch.testing.assert_close(output[field], expected[index][field])


def test_threads_that_share_a_model_of_maps_each_have_their_own_states() -> None:
    model = randomise_weights(small.depth()).eval()
    images = [torch.randn(1, 3, 56 + 14 * index, 56) for index in range(3)]
    wanted = [True, True, False]
    outputs: list[list] = [[], [], []]

    def run(index: int) -> None:
        options = {"output_hidden_states": wanted[index], "output_attentions": wanted[index]}
        with torch.no_grad():
            outputs[index] += [model(images[index], **options) for _ in range(6)]

    threads = [Thread(target=run, args=(index,)) for index in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with torch.no_grad():
        for index, found in enumerate(outputs):
            expected = model(images[index], output_hidden_states=True, output_attentions=True)
            assert len(found) == 6
            for output in found:
                torch.testing.assert_close(output.predicted_depth, expected.predicted_depth, rtol=1e-4, atol=1e-5)
                if wanted[index]:
                    torch.testing.assert_close(output.hidden_states, expected.hidden_states)
                    torch.testing.assert_close(output.attentions, expected.attentions)
                else:
                    assert output.hidden_states is output.attentions is None


@kinds
def test_a_compiled_model_predicts_and_keeps_no_states(kind) -> None:
    model, images = KINDS[kind](), torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        expected = model(images)
        compiled = torch.compile(model, fullgraph=True, backend="eager")(images)
        torch.compiler.reset()
        model.model.head.compile(backend="eager")
        in_part = model(images)
    for output in (compiled, in_part):
        assert LAST[kind] not in output
        torch.testing.assert_close(output[0], expected[0])
