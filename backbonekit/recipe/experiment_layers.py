"""An experiment under construction: one layer after the other, from files, mappings and overrides."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from backbonekit.contract.option_values import shown
from backbonekit.errors import RecipeError, nearest
from backbonekit.recipe.compose import expander, nested_content, start_recipe
from backbonekit.recipe.config_roots import GROUP, SECTIONS, ConfigRoot, config_names, find, is_folder, segments_of
from backbonekit.recipe.defaults_list import Layer
from backbonekit.recipe.experiment_sections import PAPER, section_fields
from backbonekit.recipe.forbidden import shown_path
from backbonekit.recipe.guard import read_yaml_file
from backbonekit.recipe.layering import Layering
from backbonekit.recipe.overrides import Edit, apply_edits
from backbonekit.recipe.part_options import part_of_your_own
from backbonekit.recipe.recipe import Recipe, plain_data
from backbonekit.recipe.schema_versions import in_current_schema
from backbonekit.recipe.validate import KEYS as RECIPE_KEYS
from backbonekit.registry.lookup import is_known, names

KEYS = (GROUP, *SECTIONS)


class ExperimentLayers:
    """`layering`: its recipe; `sections`: the rest, as plain data. `classes_given`: whether the experiment or an
    override has set the number of classes, or their names. `notes`: messages on what was dropped; `faults`: what is
    wrong."""

    def __init__(self, roots: tuple[ConfigRoot, ...]) -> None:
        self.layering = Layering({}, expander(roots))
        self.sections: dict[str, Any] = {}
        self.classes_given = False
        self.lacks_model = False  # one was named and could not be composed
        self.notes: list[str] = []
        self.faults: list[str] = []
        self._roots = roots

    def lay(self, content: Mapping[str, Any], *, origin: str = "", stale: frozenset[str] = frozenset()) -> None:
        """Lays a partial experiment over it. `stale`: the sections that a later file chose otherwise."""
        for key, value in content.items():
            if key not in KEYS:
                self.faults.append(f"{shown_path(key)}: {_unknown(key)}")
            elif key in stale:
                self.notes.append(f"{key}: what {origin} sets is dropped, since another {key} was chosen.")
            elif key == GROUP:
                self._lay_model(value)
            else:
                try:
                    self._lay_section(key, value)
                except RecipeError as error:
                    self.faults.extend(error.faults)

    def lay_file(self, layer: Layer) -> None:
        """Lays one file of an experiment: an experiment itself, a recipe or part that it lists, or a section."""
        section, _, inside = layer.package.partition(".")
        if section == GROUP or (section == "" and layer.origin.startswith(f"{GROUP}/")):
            content = layer.content
            if section == "" and set(content) <= {GROUP}:
                content = content.get(GROUP) or {}
            self.layering.lay(nested_content(Layer(layer.origin, inside, content, layer.stale), self.layering))
        elif section:
            content = layer.content
            for step in reversed(inside.split(".") if inside else []):
                content = {step: content}
            self._lay_section(section, content)
        else:
            self.lay(layer.content, origin=layer.origin, stale=layer.stale)

    def start_model(self, model: str | Path | Mapping[str, Any] | Recipe) -> None:
        """Replaces the recipe by another one."""
        try:
            self.layering, faults = start_recipe(model, self._roots)
        except RecipeError as error:
            faults, self.lacks_model = list(error.faults), True
        self.faults += faults
        self.classes_given = isinstance(model, Mapping) and _sets_classes(model)

    def apply(self, edits: Sequence[Edit]) -> None:
        """Applies overrides, whole sections by name before single values."""
        unknown = [edit for edit in edits if edit.path[0] not in (*SECTIONS, *RECIPE_KEYS)]
        self.faults += [f"{shown(edit.text)}: {_unknown(edit.path[0])}" for edit in unknown]
        of_model = [edit for edit in edits if edit.path[0] in RECIPE_KEYS]
        if not self.lacks_model:
            self.faults += apply_edits(self.layering, of_model)
        self.classes_given |= any(_sets_classes(_nested(edit.path, edit.value)) for edit in of_model)
        of_sections = [edit for edit in edits if edit.path[0] in SECTIONS]
        for edit in sorted(of_sections, key=lambda edit: len(edit.path) > 1):
            try:
                self._apply_to_section(edit)
            except RecipeError as error:
                self.faults.extend(error.faults)

    def _lay_model(self, value: Any) -> None:
        if isinstance(value, str):
            self.start_model(value)
        elif isinstance(value, Mapping):
            self.layering.lay(in_current_schema(value))
            self.classes_given |= _sets_classes(value)
        else:
            self.faults.append(f"{GROUP}: given {shown(value)}, must be the name of a recipe or a mapping.")

    def _lay_section(self, section: str, value: Any) -> None:
        value = self._named(section, value) if isinstance(value, str) else plain_data(value)
        if section == "augmentation" and isinstance(value, list):
            value = [{"name": step} if isinstance(step, str) else step for step in value]
        before = self.sections.get(section)
        if isinstance(before, dict) and isinstance(value, dict):
            is_other = value.get("name", before.get("name")) != before.get("name")
            if is_other and len(before) > 1:
                dropped = ", ".join(f"{key}={shown(item)}" for key, item in before.items() if key != "name")
                self.notes.append(
                    f"{section}: {before.get('name')} is replaced by {value['name']} (dropped {dropped})."
                )
            self.sections[section] = value if is_other else {**before, **value}
        else:
            self.sections[section] = value

    def _named(self, section: str, name: str) -> Any:
        """A section by its name: a file of its group, or the name of a data format."""
        if section == "augmentation" and name == PAPER:
            return name
        file = find(self._roots, f"{section}/{name}") if _is_file_name(name) else None
        if file is not None:
            return read_yaml_file(file)
        if section == "data" and is_known("data", name):
            return {"name": name}
        known = {*config_names(self._roots, section), *(names("data") if section == "data" else ())}
        if section == "augmentation":
            known.add(PAPER)
        hint = nearest(name, known) if known else f"its keys are set one by one: {section}.KEY=VALUE."
        if section == "data":
            hint += f" {part_of_your_own('data')}"
            if "/" in name or is_folder(name):
                hint = f"it is the format, as data=coco, and the folder is data.root=FOLDER; {hint}"
        raise RecipeError(f"{section}={shown(name, quotes=False)}: there is none of that name; {hint}")

    def _apply_to_section(self, edit: Edit) -> None:
        section, *rest = edit.path
        if not rest:
            if edit.deletes:
                self.sections.pop(section, None)
            else:
                self._lay_section(section, edit.value)
            return
        holder: Any = self.sections
        for position, word in enumerate(edit.path):
            step: Any = word
            is_last = position == len(edit.path) - 1
            if isinstance(holder, list):
                if not step.isdecimal() or int(step) >= len(holder):
                    raise RecipeError(f"{shown(edit.text)}: the list has {len(holder)} values, numbered from 0.")
                step = int(step)
            elif not isinstance(holder, dict):
                where = ".".join(edit.path[:position])
                raise RecipeError(f"{shown(edit.text)}: {where} is {shown(holder)}; set it as a whole.")
            if not is_last:
                if isinstance(holder, dict) and holder.get(step) is None:
                    holder[step] = {}
                holder = holder[step]
            elif edit.deletes:
                if isinstance(holder, dict) and step not in holder:
                    raise RecipeError(f"{shown(edit.text)}: there is no {'.'.join(edit.path)} to leave out.")
                del holder[step]
            else:
                holder[step] = edit.value


def _unknown(key: str) -> str:
    """What to say to a key of no section; for a field that stands alone, the section that it is in."""
    for section in ("optimisation", "trainer"):
        if key in section_fields(section):
            return f"did you mean '{section}.{key}'?"
        longer = [field for field in section_fields(section) if field.endswith(f"_{key}")]
        if len(longer) == 1:  # epochs: max_epochs
            return f"did you mean '{section}.{longer[0]}'?"
    return f"an experiment has no {shown(key)}; {nearest(key, (*KEYS, *RECIPE_KEYS))}"


def _sets_classes(model: Mapping[str, Any]) -> bool:
    """Whether a partial recipe sets a number of classes, or names them."""
    if model.get("labels") is not None:
        return True
    heads = model.get("heads")
    tasks = heads.values() if isinstance(heads, Mapping) else ()
    parts = [model.get("head"), *(task.get("head") for task in tasks if isinstance(task, Mapping))]
    return any(isinstance(part, Mapping) and part.get("num_classes") is not None for part in parts)


def _nested(path: Sequence[str], value: Any) -> dict[str, Any]:
    for step in reversed(path):
        value = {step: value}
    return value


def _is_file_name(name: str) -> bool:
    try:
        segments_of(name)
    except RecipeError:
        return False
    return True
