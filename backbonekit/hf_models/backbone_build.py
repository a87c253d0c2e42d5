"""From a blueprint to a backbone with its weights, in eval mode."""

from collections.abc import Sequence

from backbonekit.backbones.hf.backbone import StagedBackbone
from backbonekit.backbones.hf.blueprint import HFBlueprint
from backbonekit.backbones.timm.backbone import TimmBackbone
from backbonekit.backbones.timm.blueprint import TimmBlueprint
from backbonekit.weights.fill import FillReport, construct_filled
from backbonekit.weights.private_random import seeded


def build_backbone(
    blueprint: HFBlueprint | TimmBlueprint,
    out_indices: Sequence[int] | None,
    *,
    pretrained: bool | str = False,
    revision: str | None = None,
    seed: int = 0,
) -> tuple[StagedBackbone | TimmBackbone, FillReport | None]:
    """`out_indices`: None stands for the architecture's last stage. `seed`: of random weights; the global random state
    is left alone. The report is None for random weights. Raises ContractError, WeightsError, StorageError.
    """
    indices = blueprint.default_indices if out_indices is None else tuple(out_indices)
    if not pretrained:
        with seeded(seed):
            return blueprint.construct(indices), None
    checkpoint = blueprint.checkpoint(pretrained, revision, indices)
    return construct_filled(lambda: blueprint.construct(indices), checkpoint, seed=seed, adapt=blueprint.adapt)
