"""The Hugging Face face of a backbone: its attributes, and a call that returns `feature_maps`."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.timm.backbone import TimmBackbone
from backbonekit.errors import ContractError
from backbonekit.hf_models.backbone_output import BackboneOutput
from backbonekit.hf_models.stage_selection import agreed_indices
from backbonekit.weights.fill import FillReport


class BackboneMixin(nn.Module):
    """A backbone with the attributes of the Hugging Face guide.

    `config`: what it was built from. `backbone`: the built backbone. `weights`: where its weights came from; None when
    they are random. Setting `out_indices` or `out_features` selects among the built stages.
    """

    main_input_name = "pixel_values"

    def __init__(self, backbone: StagedBackbone | TimmBackbone, config: Any, weights: FillReport | None = None) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.weights = weights
        self.eval()

    @property
    def stage_names(self) -> list[str]:
        """Every stage of the architecture, built or not."""
        return list(self.backbone.stage_names)

    @property
    def out_indices(self) -> list[int]:
        return list(self.backbone.out_indices)

    @out_indices.setter
    def out_indices(self, value: int | Sequence[int]) -> None:
        self.backbone.out_indices = agreed_indices(None, value, self.stage_names)  # type: ignore[assignment]

    @property
    def out_features(self) -> list[str]:
        return list(self.backbone.features.names)

    @out_features.setter
    def out_features(self, value: Sequence[str]) -> None:
        self.backbone.out_indices = agreed_indices(value, None, self.stage_names)  # type: ignore[assignment]

    @property
    def channels(self) -> list[int]:
        """Channels of each map that the backbone gives."""
        return list(self.backbone.features.channels)

    @property
    def strides(self) -> list[float]:
        """Nominal stride of each map that the backbone gives."""
        return list(self.backbone.features.strides)

    @property
    def num_features(self) -> list[int]:
        """Channels of every stage of the architecture."""
        return [level.channels for level in self.backbone.levels]

    @property
    def out_feature_channels(self) -> dict[str, int]:
        """Channels of every stage, by name."""
        return dict(zip(self.stage_names, self.num_features, strict=True))

    def forward(
        self,
        pixel_values: Float[Tensor, "batch channels height width"],
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        return_dict: bool | None = None,
    ) -> BackboneOutput | tuple[Any, ...]:
        """The maps, and what else is asked for; what is None is as the configuration says.

        `output_hidden_states`: of the stem and of every stage that was built, whatever `out_indices` are set to.
        `output_attentions`: attention is then computed step by step, so that its weights can be read, and no block is
        computed again in backward. `return_dict=False`: a tuple of what would be there. `BackboneOutput` says more.
        Raises ContractError for weights of attention that cannot be had.
        """
        states = _decided("output_hidden_states", output_hidden_states, self.config.output_hidden_states)
        attentions = _decided("output_attentions", output_attentions, self.config.output_attentions)
        out = self._run(pixel_values, states, attentions)
        # As transformers lays them out, for whoever takes `.view` of them.
        out.feature_maps = tuple(each.contiguous() for each in out.feature_maps)
        if _decided("return_dict", return_dict, self.config.return_dict):
            return out
        return tuple(out.values())

    @abstractmethod
    def _run(self, pixel_values: Tensor, states: bool, attentions: bool) -> BackboneOutput:
        """The maps, with the hidden states and the weights of attention where they are asked for."""


def _decided(name: str, given: bool | None, configured: bool) -> bool:
    if given is None:
        return configured
    if not isinstance(given, bool):
        raise ContractError(f"{name} is True or False, got {str(given)[:60]}.")
    return given
