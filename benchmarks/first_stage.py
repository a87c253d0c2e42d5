"""(d) The map of stage 1 alone (`out_indices=(1,)`) of swin-tiny: time, and parameters held."""

import torch

from benchmarks.measure import Row, compare, row
from benchmarks.models import image


def run(repeats: int = 15) -> list[Row]:
    from transformers import SwinBackbone, SwinConfig

    import backbonekit as bk

    theirs = SwinBackbone(SwinConfig(out_indices=[1])).eval()
    ours = bk.build_model("features_swin_tiny", ["backbone.out_indices=[1]"]).backbone
    pixels = image(224)
    with torch.inference_mode():
        timed = compare(
            "(d) stage 1 of swin-tiny", lambda: ours(pixels), lambda: theirs(pixels), repeats=repeats, aim=0.25
        )
    held = [sum(p.numel() for p in model.parameters()) / 1e6 for model in (ours, theirs)]
    return [timed, row("(d) parameters held", [held[0]], [held[1]], unit="M", aim=0.05)]
