"""Parameters, strides and weights of what `list` names, kept in a file since building all of it takes minutes.

`python -m backbonekit.cli.list_numbers` writes what the file lacks, with `again` everything. Tests compare it with the
models.
"""

import inspect
import json
import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("list_numbers.json")
KINDS = ("models", "backbones", "timm")
_EVERY = 20  # entries between two writes, so that an interrupted run goes on where it was
Numbers = dict[str, Any]


@lru_cache(maxsize=1)
def known_numbers() -> dict[str, dict[str, Numbers]]:
    """kind -> name -> {"parameters", "strides"}, of timm also {"about", "weights"}; "versions" holds that of timm."""
    return json.loads(FILE.read_text(encoding="utf-8"))


def numbers_of(kind: str, name: str, *, config_dir: str | None = None) -> Numbers:
    """The same of one name, from the model itself, on the meta device. `config_dir`: a folder of the user's own."""
    if kind == "timm":
        return _of_timm(name)
    from backbonekit.recipe.compose import compose_recipe

    if kind == "backbones":
        backbone = compose_recipe({}, [f"backbone={name}"], config_dir=config_dir).backbone
        return _all_stages(backbone)
    from backbonekit.assembly.build import build_model

    model = build_model(name, device="meta", config_dir=config_dir)
    return _numbers(model, (level.stride for level in model.backbone.features.levels))  # type: ignore[union-attr]


def _of_timm(name: str) -> Numbers:
    from timm.models import get_arch_pretrained_cfgs, model_entrypoint

    from backbonekit.recipe.recipe import BackboneRecipe

    hub = []
    for tag, config in get_arch_pretrained_cfgs(name).items():
        if config.hf_hub_id:
            hub.append(config.hf_hub_id + (tag if config.hf_hub_id.endswith("/") else ""))
    words = (inspect.getdoc(model_entrypoint(name)) or "").split("\n\n")[0].split()
    about = " ".join(words)[:200]
    return {"about": about, **_all_stages(BackboneRecipe("timm", name)), "weights": hub}


def _all_stages(backbone: Any) -> Numbers:
    """A backbone with every map that it can return, without the classifier that it was trained with."""
    from backbonekit.registry.lookup import resolve
    from backbonekit.weights.construct import shapes_alone

    blueprint = resolve("backbone", backbone.source)(
        backbone.name,
        config=backbone.config,
        revision=None,
        in_channels=backbone.in_channels,
        args=backbone.args,
    )
    indices = [index for index in range(len(blueprint.levels)) if index not in blueprint.forbidden]
    with shapes_alone():
        module = blueprint.construct(indices)
    return _numbers(module, (blueprint.levels[index].stride for index in indices))


def _numbers(module: Any, strides: Iterable[float]) -> Numbers:
    distinct = sorted({round(stride, 2) for stride in strides})
    shown = [int(stride) if stride == int(stride) else stride for stride in distinct]
    return {"parameters": sum(parameter.numel() for parameter in module.parameters()), "strides": shown}


def names_with_numbers(kind: str) -> list[str]:
    """Every shipped name of a kind, or every architecture of the installed timm."""
    from backbonekit.recipe.config_roots import GROUP, config_names, shipped_root

    if kind == "timm":
        import timm

        return sorted(timm.list_models())
    return config_names((shipped_root(),), GROUP if kind == "models" else f"{GROUP}/backbone")


def write(*, again: bool = False) -> None:
    """Writes the file. `again`: nothing of what it has is kept."""
    import timm

    table: dict[str, Any] = {"versions": {"timm": timm.__version__}, **{kind: {} for kind in KINDS}}
    if FILE.exists() and not again:
        table |= {kind: json.loads(FILE.read_text(encoding="utf-8")).get(kind, {}) for kind in KINDS}
    for kind in KINDS:
        names = names_with_numbers(kind)
        table[kind] = {name: table[kind][name] for name in names if name in table[kind]}
        for position, name in enumerate(name for name in names if name not in table[kind]):
            table[kind][name] = numbers_of(kind, name)
            if position % _EVERY == 0:
                _write(table)
        table[kind] = dict(sorted(table[kind].items()))
    _write(table)
    known_numbers.cache_clear()


def _write(table: dict[str, Any]) -> None:
    """One line a name, so that a change of one is a change of one line."""
    blocks = [f'"versions": {json.dumps(table["versions"])}']
    for kind in KINDS:
        lines = [f"{json.dumps(name)}: {json.dumps(entry)}" for name, entry in table[kind].items()]
        blocks.append(f'"{kind}": {{\n' + ",\n".join(lines) + "\n}")
    FILE.write_text("{\n" + ",\n".join(blocks) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    write(again="again" in sys.argv[1:])
