"""What backbones and whole models share with every model of transformers: device, type, sizes, recomputation."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from backbonekit.errors import ContractError


class ModelMethods(nn.Module):
    """Base of the classes with transformers' names. `main_input_name`: the first argument of `forward`.

    `supports_gradient_checkpointing`: True, since blocks of every family can be computed again; an architecture of timm
    that cannot raises ContractError where it is switched on.
    """

    main_input_name = "pixel_values"
    supports_gradient_checkpointing = True
    _recomputes = False

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return _first(self).device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the weights: that of the first one that holds fractions."""
        return _first(self).dtype

    def num_parameters(self, only_trainable: bool = False, exclude_embeddings: bool = False) -> int:
        """How many numbers the parameters hold. `only_trainable`: without frozen ones. `exclude_embeddings`: without
        tables such as those of learned queries."""
        tables = {id(module.weight) for module in self.modules() if isinstance(module, nn.Embedding)}
        return sum(
            parameter.numel()
            for parameter in self.parameters()
            if (parameter.requires_grad or not only_trainable) and not (exclude_embeddings and id(parameter) in tables)
        )

    @property
    def is_gradient_checkpointing(self) -> bool:
        """Whether blocks are computed again in backward."""
        return self._recomputes

    def gradient_checkpointing_enable(
        self,
        gradient_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """In training the backbone's blocks are computed again in backward instead of kept: less memory, more time.

        `gradient_checkpointing_kwargs`: `use_reentrant=False`, which is how it is done, and nothing else. All blocks
        are computed again, and nothing is moved to another device: raises ContractError for other values.
        """
        if every_n_layers != 1 or offload:
            raise ContractError(
                f"every_n_layers={every_n_layers}, offload={offload}: every block is computed again, from inputs that"
                " stay on the device. The fix: leave both out."
            )
        others = {key: value for key, value in (gradient_checkpointing_kwargs or {}).items() if key != "use_reentrant"}
        if others or (gradient_checkpointing_kwargs or {}).get("use_reentrant"):
            raise ContractError(
                f"gradient_checkpointing_kwargs={dict(gradient_checkpointing_kwargs or {})}: blocks are computed again"
                " with use_reentrant=False and default options. The fix: leave the others out."
            )
        self._recompute(True)

    def gradient_checkpointing_disable(self) -> None:
        """Blocks are kept again."""
        self._recompute(False)

    # Later names of the same three.
    @property
    def is_activation_checkpointing(self) -> bool:
        """Whether blocks are computed again in backward."""
        return self._recomputes

    def activation_checkpointing_enable(
        self,
        activation_checkpointing_kwargs: Mapping[str, Any] | None = None,
        every_n_layers: int = 1,
        offload: bool = False,
    ) -> None:
        """See `gradient_checkpointing_enable`."""
        self.gradient_checkpointing_enable(activation_checkpointing_kwargs, every_n_layers, offload)

    def activation_checkpointing_disable(self) -> None:
        """See `gradient_checkpointing_disable`."""
        self._recompute(False)

    def can_generate(self) -> bool:
        """Whether the model writes text: it does not."""
        return False

    def init_weights(self) -> None:
        """Starts every parameter and buffer again: the random numbers of the seed that the model was made with."""
        fresh = self._made_anew()
        tensors = {**dict(fresh.named_parameters()), **dict(fresh.named_buffers())}
        with torch.no_grad():
            for name, tensor in (*self.named_parameters(), *self.named_buffers()):
                tensor.copy_(tensors[name])

    def post_init(self) -> None:
        """Nothing is left to do: a model is ready when it is constructed. Here for classes that call it."""

    @abstractmethod
    def _recompute(self, enabled: bool) -> None:
        """Sets it on the backbone, and `_recomputes`."""

    @abstractmethod
    def _made_anew(self) -> nn.Module:
        """The same model with the random weights of its seed."""


def _first(module: nn.Module) -> Tensor:
    tensors = [*module.parameters(), *module.buffers()]
    return next((tensor for tensor in tensors if tensor.is_floating_point()), tensors[0])
