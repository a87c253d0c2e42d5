"""Arguments of timm's constructors: those that an architecture takes, and those that allow images of any size."""

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any

import timm
from timm.layers import PatchEmbed
from torch import nn

from backbonekit.backbones.cosine_attention import finite_in_float16
from backbonekit.backbones.timm.names import TimmIdentity
from backbonekit.contract.option_values import faults_of, shown
from backbonekit.errors import ContractError, NearestNames, RecipeError
from backbonekit.weights.construct import shapes_alone

# Set elsewhere, or they would load files or code.
_FORBIDDEN = {
    "in_chans": "use backbone.in_channels",
    "num_classes": "a head decides it",
    "device": "move the model after it is built",
    "dtype": "convert the model after it is built",
    "features_only": "backbone.out_indices does it",
    "out_indices": "use backbone.out_indices",
    "output_fmt": "maps are always NCHW",
    "pretrained": "use backbone.pretrained",
    "pretrained_cfg": "use backbone.pretrained",
    "pretrained_cfg_overlay": "use backbone.pretrained",
    "pretrained_strict": "filling is always strict",
    "pretrained_model_args": "use backbone.pretrained",
    "checkpoint_path": "use backbone.pretrained",
    "cache_dir": "the Hugging Face cache is used",
    "model_name": "use backbone.name",
    "scriptable": "torch.compile and torch.export need no such switch",
    "exportable": "torch.compile and torch.export need no such switch",
    "no_jit": "torch.compile and torch.export need no such switch",
    "weight_init": "the architecture's own rule is used",
    "cfg": "set its fields one by one",
}
_SIDE = {"type": "integer", "minimum": 1, "maximum": 16_384}  # pixels; such a position table still fits into memory
# Where an argument is a number of layers, timm first makes a list as long.
_ARGUMENT = {"minimum": -65_536, "maximum": 65_536}
_IMAGE_SIZE = {"anyOf": [_SIDE, {"type": "array", "items": _SIDE, "minItems": 1, "maxItems": 2}]}


@cache
def body_class(architecture: str) -> type[nn.Module]:
    """The class behind an architecture's name."""
    with shapes_alone():
        return type(timm.create_model(architecture, num_classes=0))


def constructor_arguments(body: type[nn.Module]) -> dict[str, inspect.Parameter]:
    """Arguments that a recipe may set: those of the constructor by name, and the fields of a configuration it takes."""
    parameters = inspect.signature(body.__init__).parameters
    named = {
        name: parameter
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    configuration = parameters.get("cfg")
    if configuration is not None and is_dataclass(configuration.annotation):
        for item in fields(configuration.annotation):
            named.setdefault(item.name, inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY))
    return {name: parameter for name, parameter in named.items() if name not in _FORBIDDEN}


def check_arguments(architecture: str, body: type[nn.Module], args: Mapping[str, Any]) -> None:
    """Raises RecipeError that lists each argument the architecture does not take, and each value that is not data."""
    allowed = constructor_arguments(body)
    faults = []
    nearest_argument = NearestNames(allowed)
    for name, value in args.items():
        if name in _FORBIDDEN:
            faults.append(f"args.{name}: not to be set here; {_FORBIDDEN[name]}.")
        elif name not in allowed:
            faults.append(f"args.{name}: {architecture} takes no such argument; {nearest_argument(name)}")
        else:
            faults += faults_of(f"args.{name}", value, _IMAGE_SIZE if name == "img_size" else _ARGUMENT)
    if faults:
        raise RecipeError(faults)


def any_size_arguments(body: type[nn.Module]) -> dict[str, Any]:
    """The switches that let an architecture take images of any size, as far as its constructor has them."""
    allowed = constructor_arguments(body)
    switches: dict[str, Any] = {}
    if "dynamic_img_size" in allowed:
        switches["dynamic_img_size"] = True
    elif "strict_img_size" in allowed:
        switches["strict_img_size"] = False
    if "dynamic_img_pad" in allowed:
        switches["dynamic_img_pad"] = True
    return switches


def saved_size_arguments(body: type[nn.Module], identity: TimmIdentity) -> dict[str, Any]:
    """The image size that a folder's or repository's weights were saved for, where an architecture is built for one."""
    pretrained = identity.pretrained
    if identity.repository is None or not pretrained.fixed_input_size or "img_size" not in constructor_arguments(body):
        return {}
    return {"img_size": list(pretrained.input_size[-2:])}


def create_body(architecture: str, in_channels: int, arguments: Mapping[str, Any]) -> nn.Module:
    """The plain timm model without classifier, on the active device. Raises ContractError with timm's own message."""
    try:
        body = timm.create_model(architecture, num_classes=0, in_chans=in_channels, **arguments)
    except RecipeError:
        raise
    except Exception as error:  # timm's constructors raise errors of many classes
        listed = ", ".join(f"{name}={shown(value)}" for name, value in arguments.items())
        reason = f"{type(error).__name__}: {error}" if str(error) else "it says no reason"
        if "output_stride" in arguments:
            reason += ". The fix: backbone.args.output_stride=8, 16 or 32"
        raise ContractError(
            f"timm does not build {architecture} with {in_channels} input channels"
            f"{' and ' + listed if listed else ''}: {reason}."
        ) from error
    for module in body.modules():
        # Swin has no argument for it: images are padded to whole patches.
        if isinstance(module, PatchEmbed) and not module.strict_img_size:
            module.dynamic_img_pad = True
    return finite_in_float16(body)
