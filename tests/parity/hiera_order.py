"""transformers' HieraBackbone leaves out the ordering of tokens that its HieraModel starts with; here it has it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


@contextmanager
def hiera_as_in_its_whole_model() -> Iterator[None]:
    """Inside, a HieraBackbone of transformers is constructed so that its maps are those of a HieraModel."""
    import transformers

    hiera = transformers.models.hiera.modeling_hiera
    construct = hiera.HieraBackbone.__init__

    def construct_and_order(self: Any, config: Any) -> None:
        construct(self, config)
        schedule = [config.query_stride] * (len(config.depths) - 1)

        def ordered(module: nn.Module, given: Any, embedded: tuple[Tensor, Any, Any]) -> tuple[Tensor, Any, Any]:
            tokens = hiera.unroll(embedded[0], tuple(config.image_size), config.patch_stride, schedule)
            return (tokens, *embedded[1:])

        self.embeddings.register_forward_hook(ordered)

    hiera.HieraBackbone.__init__ = construct_and_order
    try:
        yield
    finally:
        hiera.HieraBackbone.__init__ = construct
