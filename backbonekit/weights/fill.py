"""Strict filling: every parameter and persistent buffer of a module from a checkpoint, or a list of what is wrong."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TypeVar

import torch
from torch import Tensor, nn

from backbonekit.errors import WeightsError, nearest
from backbonekit.weights.checkpoint import Checkpoint
from backbonekit.weights.construct import finish, without_weights

ModuleT = TypeVar("ModuleT", bound=nn.Module)
Adapt = Callable[[str, Tensor, tuple[int, ...]], "tuple[Tensor, str] | None"]

# BatchNorm's counter of training steps. Checkpoints older than the counter lack it, and it matters to no user who does
# not train with momentum=None; PyTorch itself lets it be missing from those.
_MAY_ALWAYS_MISS = ("*num_batches_tracked",)
_SHOWN = 10
_SHOWN_IN_NOTES = 5


@dataclass(slots=True)
class FillReport:
    """What a filling did.

    `origin`: the checkpoint's. `loaded`, `missing`, `surplus`: names; counters of norms, which start at 0, are never
    missing. `adapted`: names and how they were made to fit.
    `not_finite`: names of loaded tensors with NaN or infinity in them. `loaded_parameters` of `total_parameters`
    numbers came from the checkpoint. `stored_dtype`: of the first loaded tensor that holds fractions.
    """

    origin: str
    loaded: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    surplus: list[str] = field(default_factory=list)
    adapted: list[tuple[str, str]] = field(default_factory=list)
    not_finite: list[str] = field(default_factory=list)
    loaded_parameters: int = 0
    total_parameters: int = 0
    stored_dtype: torch.dtype | None = None


def fill(
    module: nn.Module,
    checkpoint: Checkpoint,
    *,
    adapt: Adapt | None = None,
    may_miss: Sequence[str] = (),
    may_exceed: Sequence[str] = (),
) -> FillReport:
    """Replaces the module's tensors with the checkpoint's own, without a copy where type and device agree.

    `adapt(key, tensor, shape)` is called where a shape differs and returns a tensor of that shape and a word on how, or
    None. `may_miss`, `may_exceed`: fnmatch patterns of names that the checkpoint may lack, or have in surplus. A tensor
    of another floating type becomes the module's type. Tied parameters stay tied.

    Raises WeightsError that lists everything missing, in surplus and of another shape; the module is then unchanged.
    """
    slots = _slots(module)
    names_by_tensor: dict[int, list[str]] = {}
    for name, slot in slots.items():
        names_by_tensor.setdefault(id(slot.current), []).append(name)
    report = FillReport(checkpoint.origin)
    report.surplus = [key for key in checkpoint.tensors if key not in slots]
    chosen: dict[str, str] = {}  # our name -> the checkpoint's, which differs for tied parameters
    for names in names_by_tensor.values():
        stored = [name for name in names if name in checkpoint.tensors]
        for name in names:
            if stored:
                chosen[name] = name if name in stored else stored[0]
            elif not _fits(name, _MAY_ALWAYS_MISS):
                report.missing.append(name)
    refused = _refused_names(report, checkpoint, slots, may_miss, may_exceed)
    tensors = _load(slots, checkpoint, chosen, adapt, report, refused)
    if refused:
        raise WeightsError("\n".join([f"{checkpoint.origin} does not fit {type(module).__name__}:", *refused]))
    _assign(slots, names_by_tensor, tensors)
    report.loaded = list(chosen)
    types = (checkpoint.dtype(source) for source in chosen.values())
    report.stored_dtype = next((each for each in types if each.is_floating_point), None)
    report.not_finite = not_finite(tensors)
    counted = {id(parameter): parameter.numel() for parameter in module.parameters()}
    report.total_parameters = sum(counted.values())
    filled = {id(parameter) for name, parameter in module.named_parameters() if name in chosen}
    report.loaded_parameters = sum(counted[key] for key in filled)
    return report


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where one tensor is stored: `leaf` of `owner`, a parameter or a persistent buffer."""

    owner: nn.Module
    leaf: str
    current: Tensor
    is_parameter: bool


def _slots(module: nn.Module) -> dict[str, _Slot]:
    found: dict[str, _Slot] = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        dot = f"{prefix}." if prefix else ""
        for leaf, parameter in owner.named_parameters(recurse=False, remove_duplicate=False):
            found[dot + leaf] = _Slot(owner, leaf, parameter, True)
        for leaf, buffer in owner.named_buffers(recurse=False, remove_duplicate=False):
            if leaf not in owner._non_persistent_buffers_set:
                found[dot + leaf] = _Slot(owner, leaf, buffer, False)
    return found


def _refused_names(
    report: FillReport,
    checkpoint: Checkpoint,
    slots: dict[str, _Slot],
    may_miss: Sequence[str],
    may_exceed: Sequence[str],
) -> list[str]:
    missing = [name for name in report.missing if not _fits(name, may_miss)]
    surplus = [name for name in report.surplus if not _fits(name, may_exceed)]
    faults = []
    if missing:
        hint = _hint(missing[0], surplus) if surplus else ""
        faults.append(f"  {len(missing)} missing: {_listed(missing)}.{hint}")
    if surplus:
        shown = [_with_source(name, checkpoint) for name in surplus[:_SHOWN]]
        hint = "" if missing else _hint(surplus[0], slots)
        faults.append(f"  {len(surplus)} in surplus: {_listed(shown, len(surplus))}.{hint}")
    return faults


def _load(
    slots: dict[str, _Slot],
    checkpoint: Checkpoint,
    chosen: dict[str, str],
    adapt: Adapt | None,
    report: FillReport,
    refused: list[str],
) -> dict[str, Tensor]:
    """The tensors by the checkpoint's names, in the module's type. Adds to `refused` what cannot be made to fit."""
    misshapen, mistyped = [], []
    loaded: dict[str, Tensor] = {}
    is_hopeless = bool(refused)
    for name, source in chosen.items():
        if source in loaded:
            continue
        current = slots[name].current
        shape = tuple(current.shape)
        has_fit = checkpoint.shape(source) == shape
        if is_hopeless and (has_fit or adapt is None):
            if not has_fit:
                misshapen.append(_shapes(source, checkpoint, shape))
            continue  # only collecting faults; nothing more is read
        tensor = checkpoint.tensor(source)
        if not has_fit:
            prediction = adapt(name, tensor, shape) if adapt is not None else None
            if prediction is None or tuple(prediction[0].shape) != shape:
                misshapen.append(_shapes(source, checkpoint, shape))
                is_hopeless = True
                continue
            tensor, how = prediction
            report.adapted.append((name, how))
        if tensor.dtype != current.dtype and not (tensor.is_floating_point() and current.is_floating_point()):
            mistyped.append(f"{name}: {_short(tensor.dtype)} for {_short(current.dtype)}")
            is_hopeless = True
            continue
        device = tensor.device if current.is_meta else current.device
        loaded[source] = tensor.detach().to(device=device, dtype=current.dtype)
    if misshapen:
        refused.append(f"  {len(misshapen)} of another shape: {_listed(misshapen, separator='; ')}.")
    if mistyped:
        refused.append(f"  {len(mistyped)} of another type: {_listed(mistyped, separator='; ')}.")
    return {name: loaded[source] for name, source in chosen.items() if source in loaded}


def _assign(slots: dict[str, _Slot], names_by_tensor: dict[int, list[str]], tensors: dict[str, Tensor]) -> None:
    for names in names_by_tensor.values():
        first = slots[names[0]]
        if names[0] not in tensors:
            continue
        value = tensors[names[0]]
        if first.is_parameter:
            value = nn.Parameter(value, requires_grad=first.current.requires_grad)
        for name in names:
            slot = slots[name]
            registered = slot.owner._parameters if slot.is_parameter else slot.owner._buffers
            registered[slot.leaf] = value  # type: ignore[assignment]


def _fits(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _hint(name: str, candidates: Iterable[str]) -> str:
    help_text = nearest(name, candidates)
    return f" For {name!r}: {help_text}" if help_text.startswith("did you mean") else ""


def _with_source(name: str, checkpoint: Checkpoint) -> str:
    sources = checkpoint.stored_as(name)
    return name if sources in ((), (name,)) else f"{name} (stored as {', '.join(sources)})"


def _shapes(name: str, checkpoint: Checkpoint, shape: tuple[int, ...]) -> str:
    return f"{_with_source(name, checkpoint)} is {list(checkpoint.shape(name))}, expected {list(shape)}"


def _listed(names: Sequence[str], count: int | None = None, *, separator: str = ", ") -> str:
    count = len(names) if count is None else count
    more = f"{separator}... ({count} in all)" if count > _SHOWN else ""
    return separator.join(names[:_SHOWN]) + more


def _short(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def construct_filled(
    construct: Callable[[], ModuleT],
    checkpoint: Checkpoint,
    *,
    seed: int = 0,
    adapt: Adapt | None = None,
    may_exceed: Sequence[str] = (),
) -> tuple[ModuleT, FillReport]:
    """What `construct` returns, with the checkpoint's weights, and the report of the filling.

    `seed`: of the vectors that the architecture starts at random and the checkpoint lacks. `adapt`, `may_exceed`: as
    `fill` takes them. Raises WeightsError.
    """
    with without_weights(seed):
        module = construct()
    report = fill(module, checkpoint, adapt=adapt, may_exceed=may_exceed)
    finish(module)
    return module, report


def not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """The names of the floating tensors that hold NaN or infinity. Tensors without storage (meta) hold neither."""
    known = {name: tensor for name, tensor in tensors.items() if tensor.is_floating_point() and not tensor.is_meta}
    # NaN and infinity stay in a sum, which is some ten times faster than to compare each number (400 MB: 0.04 s instead
    # of 0.5 s). A sum can also leave the type's range by itself, so that a doubtful one is looked at.
    sums = [tensor.sum(dtype=torch.float32 if tensor.element_size() < 4 else None).float() for tensor in known.values()]
    if not sums or torch.stack(sums).sum().isfinite():
        return []
    return [name for name, tensor in known.items() if not tensor.isfinite().all()]


def not_finite_note(origin: str, names: list[str]) -> str:
    """One message about the names that `not_finite` returned."""
    more = ", ..." if len(names) > _SHOWN_IN_NOTES else ""
    tensors = "tensor holds" if len(names) == 1 else "tensors hold"
    return f"{len(names)} {tensors} NaN or infinity in {origin}: {', '.join(names[:_SHOWN_IN_NOTES])}{more}"
