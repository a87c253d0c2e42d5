"""Checks the sections of an experiment beside its recipe: data, augmentation, optimisation, trainer. No torch."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from backbonekit.contract.label_map import label_map_faults
from backbonekit.contract.option_schema import fields_of
from backbonekit.contract.option_values import coerced, faults_of, shown
from backbonekit.errors import NearestNames
from backbonekit.recipe.experiment_settings import Optimisation, TrainerSettings, optimisation_faults, trainer_faults
from backbonekit.recipe.forbidden import shown_path
from backbonekit.recipe.part_options import read_part

_MAX_STEPS = 64  # augmentations
PAPER = "paper"


def read_data(data: Any, faults: list[str]) -> dict[str, Any] | None:
    """A data format by name with every option filled in; None where there is none."""
    if data is None:
        return None
    part = read_part("data", data, "data", faults)
    label_map = None if part is None else part.options.get("label_map")
    faults += [] if label_map is None else label_map_faults("data.label_map", label_map)
    return None if part is None else {"name": part.name, **part.options}


def read_augmentation(augmentation: Any, faults: list[str]) -> str | tuple[Mapping[str, Any], ...] | None:
    """null, `paper`, or a list of steps with every option filled in."""
    if augmentation is None or augmentation == PAPER:
        return augmentation
    if not isinstance(augmentation, list | tuple) or len(augmentation) > _MAX_STEPS:
        faults.append(
            f"augmentation: given {shown(augmentation)}, must be null, {PAPER}, or a list of at most {_MAX_STEPS} steps"
            " such as [{name: horizontal_flip}]."
        )
        return None
    parts = [
        read_part("augmentation", step, f"augmentation.{index}", faults) for index, step in enumerate(augmentation)
    ]
    return tuple({"name": part.name, **part.options} for part in parts if part is not None)


def read_optimisation(optimisation: Any, faults: list[str]) -> Optimisation | None:
    """Appends what is wrong to `faults`; None where anything is."""
    read = _read_fields(Optimisation, optimisation, "optimisation", faults)
    found = [] if read is None else optimisation_faults(read)
    faults.extend(found)
    return None if read is None or found else Optimisation(**read)


def read_trainer(trainer: Any, optimisation: Optimisation | None, faults: list[str]) -> TrainerSettings | None:
    """The same; `optimisation`: what it has to go with."""
    read = _read_fields(TrainerSettings, trainer, "trainer", faults)
    batch_size = None if optimisation is None else optimisation.batch_size
    found = [] if read is None else trainer_faults(read, batch_size)
    faults.extend(found)
    return None if read is None or found else TrainerSettings(**read)


def section_fields(section: str) -> Mapping[str, Mapping[str, Any]]:
    """Field -> {"schema", "default", "doc"} of `optimisation` or `trainer`."""
    return _fields({"optimisation": Optimisation, "trainer": TrainerSettings}[section])


@cache
def _fields(dataclass: type) -> dict[str, dict[str, Any]]:
    return fields_of(dataclass)


def _read_fields(dataclass: type, data: Any, path: str, faults: list[str]) -> dict[str, Any] | None:
    fields = _fields(dataclass)
    data = {} if data is None else data
    if not isinstance(data, Mapping):
        faults.append(f"{path}: given {shown(data)}, must be a mapping with keys of {', '.join(fields)}.")
        return None
    before = len(faults)
    nearest_field = NearestNames(fields)
    read = asdict(dataclass())
    for key, value in data.items():
        where = shown_path(f"{path}.{key}")
        if key not in fields:
            faults.append(f"{where} is unknown; {nearest_field(key)}")
            continue
        found = faults_of(where, value, fields[key]["schema"])
        faults.extend(found)
        if not found:
            read[key] = coerced(value, fields[key]["schema"])
    return read if len(faults) == before else None
