"""Saves every case under the transformers that is on the path: `python -m tests.old_checkpoints.save FOLDER`.

A case's folder holds `safetensors/` and `bin/`, each with config.json and weights, and `values.safetensors`: images and
what this release computes of them. `cases.json` lists the cases and why the others could not be made. backbonekit is
not imported here.
"""

import contextlib
import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file, save_model
from torch import Tensor, nn

from tests.fixed_weights import randomise_weights
from tests.old_checkpoints import backbone_cases, model_cases
from tests.parity.hiera_order import hiera_as_in_its_whole_model

IS_4 = transformers.__version__.startswith("4.")


def save(model: nn.Module, folder: Path) -> None:
    """As safetensors, and as the pickle that older releases wrote."""
    try:
        model.save_pretrained(folder / "safetensors")
    except RuntimeError as error:
        # 4.x cannot write Deformable DETR with refined boxes; published files hold each shared tensor once.
        if "shared tensors" not in str(error):
            raise
        save_model(model, str(folder / "safetensors" / "model.safetensors"))
    if IS_4:
        model.save_pretrained(folder / "bin", safe_serialization=False)
        return
    (folder / "bin").mkdir()  # 5.x writes no pickles
    torch.save(load_file(folder / "safetensors" / "model.safetensors"), folder / "bin" / "pytorch_model.bin")
    shutil.copyfile(folder / "safetensors" / "config.json", folder / "bin" / "config.json")


def images(sizes: list[tuple[int, int]]) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 3, *size, generator=generator) for size in sizes]


def write_values(folder: Path, values: dict[str, Tensor]) -> None:
    save_file(
        {name: one.detach().float().contiguous().clone() for name, one in values.items()}, folder / "values.safetensors"
    )


def whole_models(root: Path) -> Iterator[dict[str, Any]]:
    for (class_name, backbone), build in model_cases.MODELS.items():
        case = {
            "class": class_name,
            "on": backbone,
            "folder": f"{class_name} {backbone}".replace(" ", "_").replace(",", ""),
        }
        if not hasattr(transformers, class_name):
            yield {**case, "absent": True}
            continue
        folder = root / case["folder"]
        try:
            torch.manual_seed(0)
            model = randomise_weights(build(transformers)).eval()
            values = {}
            for number, pixel_values in enumerate(images(model_cases.sizes_of(class_name, backbone))):
                values[f"{number}.pixel_values"] = pixel_values
                inputs = {"pixel_values": pixel_values}
                if class_name.startswith(("Detr", "DeformableDetr")):
                    mask = torch.ones(2, *pixel_values.shape[-2:], dtype=torch.long)
                    mask[1, 90:], mask[1, :, 60:] = 0, 0
                    values[f"{number}.pixel_mask"] = inputs["pixel_mask"] = mask
                    pixel_values[1] *= mask[1]
                with torch.no_grad():
                    output = model(**inputs)
                values |= {f"{number}.{name}": output[name] for name in model_cases.OUTPUTS if name in output}
            save(model, folder)
            write_values(folder, values)
        except Exception as error:
            yield {**case, "failed": reason(error)}
            continue
        yield case


def backbones(root: Path) -> Iterator[dict[str, Any]]:
    for name, (config_name, fields) in backbone_cases.CONFIGS.items():
        family = config_name.removesuffix("Config").removesuffix("Backbone")
        for kind in backbone_cases.KINDS:
            case = {"class": family + kind, "on": name, "folder": f"{name}_{kind}", "backbone": True}
            if not hasattr(transformers, case["class"]):
                yield {**case, "absent": True}
                continue
            try:
                with hiera_as_in_its_whole_model() if name == "hiera" else contextlib.nullcontext():
                    yield backbone(case, getattr(transformers, config_name), fields, root / case["folder"])
            except Exception as error:
                yield {**case, "failed": reason(error)}


def backbone(case: dict[str, Any], config_class: Any, fields: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The maps of every index; of the first DINOv3, which has no backbone class, what the model itself returns."""
    name, class_name = case["on"], case["class"]
    config = config_class(**fields)
    family = config_class.__name__.removesuffix("Config").removesuffix("Backbone")
    reader = getattr(transformers, f"{family}Backbone", None)
    if reader is not None:
        # maskformer-swin counts a stem and hands out none.
        config.out_indices = list(range(1 if name == "maskformer-swin" else 0, len(config.stage_names)))
    model = randomise_weights(getattr(transformers, class_name)(config)).eval()
    save(model, folder)
    values = {}
    sizes = [backbone_cases.NATIVE.get(name, (64, 96))]
    if name not in backbone_cases.ONE_SIZE:
        sizes.insert(0, (131, 87))
    for number, pixel_values in enumerate(images(sizes)):
        values[f"{number}.pixel_values"] = pixel_values
        with torch.no_grad():
            if reader is None:
                maps = maps_of_dinov3(model, pixel_values)
            else:
                reference = model if class_name.endswith("Backbone") else same_weights(reader(config), model)
                maps = dict(zip(config.out_indices, reference.eval()(pixel_values).feature_maps, strict=True))
        values |= {f"{number}.{index}": as_map(one, pixel_values, config) for index, one in maps.items()}
    write_values(folder, values)
    return {**case, "indices": list(maps)}


def as_map(tokens: Tensor, pixel_values: Tensor, config: Any) -> Tensor:
    """ViTPose's backbone returns [batch, tokens, channels] in transformers; here it is a map like all others."""
    if tokens.ndim == 4:
        return tokens
    patch = config.patch_size[0] if isinstance(config.patch_size, list | tuple) else config.patch_size
    return tokens.transpose(1, 2).unflatten(2, [side // patch for side in pixel_values.shape[-2:]])


def same_weights(reference: nn.Module, model: nn.Module) -> nn.Module:
    """`reference`, with the weights of `model`: the same names, but for the name of the base model before them.

    By hand, since 4.44 renames every `gamma` when it reads a folder and so cannot read its own FocalNet.
    """
    given = {name.removeprefix(f"{model.base_model_prefix}."): one for name, one in model.state_dict().items()}
    wanted = {name: name.removeprefix(f"{model.base_model_prefix}.") for name in reference.state_dict()}
    missing = [name for name, short in wanted.items() if short not in given and "hidden_states_norms" not in name]
    if missing:
        raise KeyError(f"{missing[0]} of {type(reference).__name__} is not in {type(model).__name__}")
    reference.load_state_dict({name: given[short] for name, short in wanted.items() if short in given}, strict=False)
    return reference


def maps_of_dinov3(model: nn.Module, pixel_values: Tensor) -> dict[int, Tensor]:
    """The last map of the transformer, all stages of the ConvNeXt."""
    output = model(pixel_values, output_hidden_states=True)
    if model.config.model_type == "dinov3_convnext":
        return {index: one for index, one in enumerate(output.hidden_states) if index}
    return {model.config.num_hidden_layers: output.last_hidden_state[:, 1 + model.config.num_register_tokens :]}


def reason(error: Exception) -> str:
    if "Offline" in type(error).__name__:
        return "cannot be built without a network"
    if isinstance(error, NotImplementedError):
        return str(error)
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:160]}"


def main() -> None:
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    root = Path(sys.argv[1])
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    cases = [*whole_models(root), *backbones(root)]
    (root / "cases.json").write_text(json.dumps({"version": transformers.__version__, "cases": cases}, indent=1))
    made = sum("absent" not in case and "failed" not in case for case in cases)
    print(f"transformers {transformers.__version__}: {made} of {len(cases)} saved")


if __name__ == "__main__":
    main()
