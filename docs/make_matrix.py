"""Writes docs/matrix.md: `python docs/make_matrix.py`. Backbones of every shape under every neck and head, each cell
built and run on the meta device: it runs, or is refused with a message that names the fix. A test fails when
the page is stale."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import torch

import backbonekit as bk
from backbonekit.assembly.inference import noise_size
from backbonekit.contract.predictions import Detections
from backbonekit.errors import ContractError, RecipeError
from backbonekit.recipe.compose import compose_recipe
from backbonekit.registry.lookup import names, resolve

# They differ in strides, layout and accepted sizes, which decide what fits; depth and width do not.
BACKBONES = {
    "ResNet-18: strides 2 to 32": "timm/resnet18",
    "VGG-11: strides 1 to 32": "timm/vgg11",
    "Swin-T: 4 to 32": "swin_tiny",
    "Swin-T of timm: NHWC inside": "timm/swin_tiny_patch4_window7_224",
    "PVTv2-B2: no stem": "pvt_v2_b2",
    "ViT-S/16: plain": "timm/vit_small_patch16_224",
    "DINOv2-S: plain, 14": "dinov2_small",
    "XCiT: plain, 8": "timm/xcit_nano_12_p8_224",
    "LeViT: 16 to 64": "timm/levit_128s",
    "CrossViT: 12 and 16": "timm/crossvit_tiny_240",
}
HEADER = """# Every neck and head on backbones of every shape

Each cell was built and run, on the meta device (R-CNNs, whose number of regions depends on values, on the CPU).
**runs**: as it is. **pyramid**: with a `simple_feature_pyramid` that wiring inserts, since the backbone has a single
stride. A number: refused before anything is built, with the message of that number below the table. A head is tried
with the necks of its shipped recipe.

"""


@dataclass(frozen=True)
class Cell:
    """`verdict`: `runs`, `pyramid` or `refused`. `message`: why it is refused."""

    verdict: str
    message: str = ""


def columns() -> dict[str, dict[str, Any]]:
    """A recipe without its backbone for every neck and every head: `neck` and `head` as plain data.

    A head is tried with the necks of the first shipped recipe that has it: some read what only a certain neck returns.
    """
    found: dict[str, dict[str, Any]] = {f"neck {name}": {"neck": {"name": name}} for name in names("neck")}
    shipped: dict[str, dict[str, Any]] = {}
    for path in sorted(Path(__file__).parent.with_name("configs").glob("model/*.yaml")):
        recipe = compose_recipe(path.stem)
        if recipe.head is not None and not path.stem.endswith("_digits"):  # those are cut to fit 64 pixels
            neck = [part.to_dict() for part in recipe.neck]
            shipped.setdefault(recipe.head.name, {"neck": neck, "head": recipe.head.to_dict()})
    for name in names("head"):
        found[f"head {name}"] = shipped.get(name) or {"head": {"name": name, "num_classes": 4}}
    return found


def cell(backbone: str, parts: dict[str, Any]) -> Cell:
    """One model, on the meta device. Any exception that is not ours is raised."""
    any_backbone = {"backbone": {"source": "timm", "name": "resnet18"}}
    recipe = {"backbone": compose_recipe(any_backbone, [f"backbone={backbone}"]).backbone.to_dict(), **parts}
    # The number of regions of an R-CNN depends on values, and the meta device has none.
    device = "cpu" if parts.get("head") and _finds_regions(parts["head"]["name"]) else "meta"
    try:
        with torch.device(device), torch.no_grad():
            model = bk.build_model(recipe)
            model(torch.zeros(1, 3, *noise_size(model)))
    except (ContractError, RecipeError) as error:
        return Cell("refused", " ".join(str(error).split()))
    was_inserted = len(model.recipe.neck) > len(compose_recipe(recipe).neck)
    return Cell("pyramid" if was_inserted else "runs")


def _finds_regions(head: str) -> bool:
    return get_type_hints(resolve("head", head).forward)["return"] is Detections


def matrix() -> dict[str, dict[str, Cell]]:
    """Part -> backbone -> cell."""
    return {part: {shape: cell(name, parts) for shape, name in BACKBONES.items()} for part, parts in columns().items()}


def matrix_page(cells: dict[str, dict[str, Cell]]) -> str:
    messages: list[str] = []
    rows = [f"| | {' | '.join(BACKBONES)} |\n", f"|---{'|---' * len(BACKBONES)}|\n"]
    for part, row in cells.items():
        shown = []
        for one in row.values():
            if one.message and one.message not in messages:
                messages.append(one.message)
            shown.append(f"[{messages.index(one.message) + 1}]" if one.message else one.verdict)
        rows.append(f"| {part} | {' | '.join(shown)} |\n")
    notes = "".join(f"{number}. {message}\n" for number, message in enumerate(messages, 1))
    return HEADER + "".join(rows) + "\n" + notes


if __name__ == "__main__":
    Path(__file__).with_name("matrix.md").write_text(matrix_page(matrix()), encoding="utf-8")
