"""Writes docs/families.md from the code: `python docs/make_families.py`. A test says when it is stale."""

from pathlib import Path

from backbonekit.backbones.hf.families import family, model_types

HEADER = """# Families of transformers that are built natively

`source: hf` reads the `config.json` and the weights of these families and runs them on timm modules. For each one a
test holds the maps at every index, at several sizes that are multiples of nothing (where the family takes any), the
gradients, and the weights written back, equal to transformers' (1e-4 relative in fp32, 1e-10 in fp64, all weights
randomised). Every other backbone of transformers runs through `source: transformers`, the optional extra.

Indices are transformers' own. Channels and strides are those of the family's default configuration; `norm` is what is
done to a map before it is handed out (`backbone.args.norm` changes it where the family has it).

| model_type | maps (index: stride) | channels | norm |
|---|---|---|---|
"""


def families_page() -> str:
    """The page, made of what the families say of themselves."""
    return HEADER + "".join(_row(model_type) for model_type in sorted(model_types()))


def _row(model_type: str) -> str:
    found = family(model_type)
    config = found.config_class()
    levels = found.levels(config)
    shown = [index for index in range(len(levels)) if index not in found.forbidden]
    if len({level.stride for level in levels}) == 1:
        maps = f"0 to {len(levels) - 1}: {levels[0].stride:g}, one for each block"
        channels = str(levels[0].channels)
    else:
        maps = ", ".join(f"{index}: {levels[index].stride:g}" for index in shown)
        channels = ", ".join(str(levels[index].channels) for index in shown)
    return f"| {model_type} | {maps} | {channels} | {found.default_norm(config)} |\n"


if __name__ == "__main__":
    Path(__file__).with_name("families.md").write_text(families_page(), encoding="utf-8")
