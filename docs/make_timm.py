"""Writes docs/timm.md: `PYTHONPATH=. python docs/make_timm.py [KEPT]`.

Every architecture of timm is built on the meta device and run there, and each map compared with what was published of
it. That takes half an hour of a quiet core. What was found is kept, one line of JSON each, in the file KEPT
(`timm.jsonl` in the folder of temporary files), so that an interrupted run goes on where it stopped. Tests say when the
page is stale.
"""

import json
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import timm
import torch
from timm.models import list_modules

from backbonekit.backbones.timm.backbone import TimmBackbone
from backbonekit.backbones.timm.blueprint import TimmBlueprint, blueprint
from backbonekit.backbones.timm.image_sizes import size_multiple, size_of
from backbonekit.contract.maps import FeatureMaps
from backbonekit.contract.progress import bar
from backbonekit.errors import ContractError, RecipeError
from backbonekit.weights.construct import shapes_alone

HEADER = """# Architectures of timm

{surveyed} of the {count} architectures that timm {version} lists were built on the meta device by `source: timm` and
run there. Each map has the channels that were published before it existed, and the stride up to rounding at the
border; it leaves as batch, channels, height, width; a cut after the first map returns that map; and every
parameter that takes a gradient has a map that depends on it.

`maps`: strides, and how many architectures have them (*12 of 16*: twelve maps of stride 16, one for each block).
`images`: *any*, *of 32* (sides that are multiples of 32, to which `processing.size_divisor` is set), or *one* (the
architecture's own size, to which `processing.size` is set; `backbone.args.img_size` changes it where there is such an
argument). `tokens`: class and
register tokens that come along with the maps. For parts that require strides 4 to 32, a
`simple_feature_pyramid` is inserted after a plain transformer.

| module of timm | architectures | maps | images | tokens |
|---|---|---|---|---|
"""
# By module of timm, by how many positions a map may be smaller or larger than its stride says: convolutions without
# padding, and blocks that enlarge a map to whole patches of their own.
_SLACK = {
    "inception_v3": (3, 0),
    "inception_v4": (3, 0),
    "inception_resnet_v2": (3, 0),
    "xception": (2, 0),
    "pit": (1, 0),
    "mobilevit": (0, 1),
}


@dataclass
class Finding:
    """What an architecture publishes, and where it does otherwise (`faults`).

    `multiple`: what the sides of an image must be multiples of, or 0 where only one size is taken. `refused`: the
    message where it is not built.
    """

    name: str
    module: str
    strides: list[int] = field(default_factory=list)
    multiple: int = 0
    tokens: int = 0
    refused: str = ""
    faults: list[str] = field(default_factory=list)


@cache
def module_names() -> dict[str, str]:
    """Architecture -> module of timm that registers it."""
    return {name: module for module in list_modules() for name in timm.list_models(module=module)}


def survey(name: str, module: str, *, is_thorough: bool = True) -> Finding:
    """One architecture, built and run on the meta device. `is_thorough`: its gradients and other sizes too."""
    try:
        plan = blueprint(name, config=None, revision=None, in_channels=3, args={})
    except (RecipeError, ContractError) as error:
        return Finding(name, module, refused=str(error))
    found = Finding(name, module, [level.stride for level in plan.levels], tokens=plan.levels[0].prefix_tokens)
    if len({level.name for level in plan.levels}) != len(plan.levels):
        found.faults.append("two levels have one name")
    whole = _constructed(plan, range(len(plan.levels)))
    maps = _run(whole, plan.canvas)
    found.faults += _untold(plan, maps, plan.canvas, range(len(plan.levels)))
    first = _constructed(plan, [0])
    cut = _run(first, plan.canvas)
    found.faults += [f"cut: {fault}" for fault in _untold(plan, cut, plan.canvas, [0])]
    surplus = set(first.state_dict()) - set(whole.state_dict())
    if surplus:
        found.faults.append(f"cut: new names {sorted(surplus)[:3]}")
    if not is_thorough:
        return found
    found.faults += _idle(whole, maps)
    found.faults += [f"cut: {fault}" for fault in _idle(first, cut)]
    if plan.fixed_size is None:
        found.multiple, faults = _multiple(plan, whole)
        found.faults += faults
    return found


def _constructed(plan: TimmBlueprint, indices: Sequence[int]) -> TimmBackbone:
    with shapes_alone():
        return plan.construct(indices)


def _run(backbone: TimmBackbone, size: tuple[int, int]) -> FeatureMaps:
    return backbone(torch.empty(1, 3, *size, device="meta"))


def _untold(plan: TimmBlueprint, maps: FeatureMaps, size: tuple[int, int], indices: Sequence[int]) -> Iterable[str]:
    """Where maps are not what was published."""
    fewer, more = _SLACK.get(module_names()[plan.identity.architecture], (0, 0))
    if len(maps.maps) != len(indices):
        yield f"{len(maps.maps)} maps for {len(indices)} indices"
        return
    for index, feature_map in zip(indices, maps.maps, strict=True):
        level = plan.levels[index]
        shape = list(feature_map.shape)
        if len(shape) != 4 or shape[1] != level.channels:
            yield f"map {index}: {shape} for {level.channels} channels"
        elif not all(
            side // level.stride - fewer <= length <= -(-side // level.stride) + more
            for side, length in zip(size, shape[2:], strict=True)
        ):
            yield f"map {index}: {shape[2:]} of {list(size)} for stride {level.stride}"
    tokens = {0 if prefix is None else prefix.shape[1] for prefix in maps.prefix_tokens} or {0}
    if tokens != {plan.levels[0].prefix_tokens}:
        yield f"{tokens} prefix tokens for {plan.levels[0].prefix_tokens}"


def _idle(backbone: TimmBackbone, maps: FeatureMaps) -> Iterable[str]:
    """Parameters without a gradient, and maps that pass none on."""
    if not all(feature_map.requires_grad for feature_map in maps.maps):
        yield "a map without gradient"
        return
    torch.stack([feature_map.sum() for feature_map in maps.maps]).sum().backward()
    idle = [name for name, each in backbone.named_parameters() if each.requires_grad and each.grad is None]
    if idle:
        yield f"{len(idle)} idle parameters, such as {idle[0]}"


def _multiple(plan: TimmBlueprint, whole: TimmBackbone) -> tuple[int, list[str]]:
    """What an image's sides must be multiples of, and where the maps of such an image are not as published."""
    multiple = size_multiple(whole, [level.stride for level in plan.levels])
    if not multiple:
        return 0, ["no size was found that it takes, beside its own, which timm does not say"]
    size = size_of(multiple)
    return multiple, [
        f"at {size}: {fault}" for fault in _untold(plan, _run(whole, size), size, range(len(plan.levels)))
    ]


def survey_all(kept: Path) -> list[Finding]:
    """Every architecture, those in `kept` not anew."""
    modules = module_names()
    found = {}
    if kept.exists():
        found = {entry["name"]: Finding(**entry) for entry in map(json.loads, kept.read_text().splitlines())}
    with kept.open("a", encoding="utf-8") as file, bar(len(modules), unit="architectures") as progress:
        for name in sorted(modules, key=lambda each: (modules[each], each)):
            progress.update()
            if name not in found or found[name].faults:
                try:
                    found[name] = survey(name, modules[name])
                except Exception as error:  # reported with the others at the end
                    found[name] = Finding(name, modules[name], faults=[f"{type(error).__name__}: {error}"])
                file.write(json.dumps(asdict(found[name])) + "\n")
                file.flush()
    return [found[name] for name in modules]


def timm_page(findings: Sequence[Finding]) -> str:
    """The page of what was found; what went wrong stands at its end."""
    by_module: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        by_module[finding.module].append(finding)
    page = HEADER.format(surveyed=len(findings), count=len(module_names()), version=timm.__version__)
    page += "".join(module_row(module, by_module[module]) for module in sorted(by_module))
    refused = [f"* {each.name}: {each.refused}\n" for each in findings if each.refused]
    faulty = [f"* {each.name}: {'; '.join(each.faults)}\n" for each in findings if each.faults]
    page += "\n## Refused\n\n" + ("".join(refused) or "None.\n")
    return page + "\n## Otherwise than published\n\n" + ("".join(faulty) or "None.\n")


def module_row(module: str, findings: Sequence[Finding]) -> str:
    """A line of the table."""
    built = [each for each in findings if not each.refused]
    maps = _counted([pattern(each.strides) for each in built])
    images = _counted([{0: "one", 1: "any"}.get(each.multiple, f"of {each.multiple}") for each in built])
    tokens = _counted([str(each.tokens) for each in built])
    return f"| {module} | {len(findings)} | {maps} | {images} | {tokens} |\n"


def pattern(strides: Sequence[float]) -> str:
    """Strides as the table has them."""
    if len(strides) > 1 and len(set(strides)) == 1:
        return f"{len(strides)} of {strides[0]:g}"
    return ", ".join(f"{stride:g}" for stride in strides)


def _counted(values: Sequence[str]) -> str:
    counts = Counter(values).most_common()
    if len(counts) == 1:
        return counts[0][0]
    return "; ".join(f"{value} (x {count})" for value, count in sorted(counts, key=lambda each: (-each[1], each[0])))


if __name__ == "__main__":
    kept = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(tempfile.gettempdir()) / "timm.jsonl"
    Path(__file__).with_name("timm.md").write_text(timm_page(survey_all(kept)), encoding="utf-8")
