"""Lays one partial recipe over another: options merge, parts replace each other, and nothing leaks between parts.

A mapping merges into a mapping. But where a layer names another part (another `name` or `model_type`), that part starts
from its own defaults: of the old one only what the whole model shares stays (`num_classes`, `in_channels`).
"""

from collections.abc import Callable
from typing import Any

from backbonekit.contract.option_values import shown
from backbonekit.recipe.backbone_options import SELECTIONS
from backbonekit.recipe.part_options import takes_classes
from backbonekit.recipe.recipe import plain_data
from backbonekit.registry.lookup import is_known
from backbonekit.registry.table import options

PYRAMID = "simple_feature_pyramid"  # what wiring inserts where a backbone has a single stride
_OF_THE_WEIGHTS = ("mean", "std", "interpolation")  # processing that belongs to a backbone's weights, not to the task
# (kind, name) -> that part's own start: the content of its file, or just its name. Raises RecipeError for no such name.
Expand = Callable[[str, str], dict[str, Any]]


class Layering:
    """A recipe under construction. `model` is plain data; `notes`: messages on what was dropped on the way."""

    def __init__(self, model: dict[str, Any], expand: Expand) -> None:
        self.model = model
        self.notes: list[str] = []
        self._expand = expand

    def lay(self, layer: dict[str, Any]) -> None:
        """Lays a partial recipe over the model."""
        self.model = self._matching_labels(self.model, layer, "")
        self._choose_between_head_and_heads(layer)
        # The backbone first: its channels decide which mean and std of `processing` stay.
        for key, value in sorted(layer.items(), key=lambda item: item[0] != "backbone"):
            if key == "backbone":
                self._lay_backbone(value, layer.get("processing"))
            elif key == "neck":
                self.model[key] = self._neck(self.model.get(key), value, key)
            elif key == "head":
                self.model[key] = self._part("head", self.model.get(key), value, key)
            elif key == "heads":
                self.model[key] = self._heads(self.model.get(key), value)
            elif key == "processing":
                self.model[key] = _processing(self.model.get(key), value)
            elif key == "labels":
                self.model[key] = _labels(self.model.get(key), value)
            else:
                self.model[key] = _merged(self.model.get(key), value)

    def lay_neck_item(self, holder: dict[str, Any], index: int, part: Any, path: str) -> None:
        """Lays a part over one of the necks of `holder` (the model, or a task of its heads)."""
        necks = holder["neck"] if isinstance(holder.get("neck"), list) else [holder.get("neck")]
        laid = [*necks[:index], self._part("neck", necks[index], part, path), *necks[index + 1 :]]
        holder["neck"] = laid if isinstance(holder.get("neck"), list) else laid[0]

    # parts

    def _lay_backbone(self, value: Any, new_processing: Any) -> None:
        old = self.model.get("backbone")
        new = self._expand("backbone", value) if isinstance(value, str) else value
        if not isinstance(old, dict) or not isinstance(new, dict):
            self.model["backbone"] = plain_data(new)
            return
        if isinstance(value, str) or _is_other_backbone(old, new):
            self._swap_backbone(old, new)
            return
        if any(new.get(key) is not None for key in SELECTIONS):
            old = {key: item for key, item in old.items() if key not in SELECTIONS}
        config = new.get("config")
        if isinstance(config, dict) and _differs(old.get("config"), config, "model_type"):
            old = {**old, "config": None}
        self.model["backbone"] = _merged(old, new)
        if "in_channels" in new and new["in_channels"] != old.get("in_channels", 3):
            self._drop_statistics(new["in_channels"], new_processing)

    def _drop_statistics(self, in_channels: Any, new_processing: Any) -> None:
        """Takes the mean and deviation of other channels out of the processing: the backbone has its own for these.
        `new_processing`: of the layer that changes the channels, whose own mean and deviation come next."""
        processing = self.model.get("processing")
        dropped = [key for key in ("mean", "std") if isinstance(processing, dict) and processing.get(key) is not None]
        if isinstance(processing, dict) and dropped:
            self.model["processing"] = {key: item for key, item in processing.items() if key not in dropped}
            given = new_processing if isinstance(new_processing, dict) else {}
            names = " and ".join(f"processing.{key}" for key in dropped if given.get(key) is None)
            if names:
                self.notes.append(f"{names} dropped: not of {shown(in_channels)} channels.")

    def _swap_backbone(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        dropped = [
            f"{key}={shown(old[key])}"
            for key, default in {
                "pretrained": False,
                "revision": None,
                **dict.fromkeys(SELECTIONS),
                "args": {},
            }.items()
            if old.get(key) not in (default, None, "auto")
        ]
        kept = {}
        if old.get("in_channels", 3) != 3 and "in_channels" not in new:
            kept = {"in_channels": old["in_channels"]}
        self.model["backbone"] = plain_data(new) | kept
        processing = self.model.get("processing")
        if isinstance(processing, dict):
            # With a range, mean and std are those of the images, in their own units.
            of_weights = _OF_THE_WEIGHTS if processing.get("range") is None else ("interpolation",)
            for key in of_weights:
                if processing.get(key) is not None:
                    dropped.append(f"processing.{key}={shown(processing[key])}")
            self.model["processing"] = {key: item for key, item in processing.items() if key not in of_weights}
        if self.model.get("adapt", "auto") == "auto" and self._drop_pyramids():
            dropped.append(f"{PYRAMID} (inserted again where it is needed)")
        before = old.get("name") or _model_type(old)
        after = new.get("name") or _model_type(new)
        self._note("backbone", before, after, dropped, kept)

    def _drop_pyramids(self) -> bool:
        """Takes leading pyramids out of the necks: they were made for the old backbone's single stride."""
        found = False
        holders = [self.model]
        if isinstance(self.model.get("heads"), dict):
            holders += [task for task in self.model["heads"].values() if isinstance(task, dict)]
        for holder in holders:
            neck = holder.get("neck")
            necks = neck if isinstance(neck, list) else [neck]
            if necks and _name(necks[0]) == PYRAMID:
                found = True
                rest = necks[1:]
                holder["neck"] = None if not rest else rest[0] if len(rest) == 1 else rest
        return found

    def _neck(self, old: Any, new: Any, path: str) -> Any:
        if isinstance(new, list):
            return [self._fresh("neck", item) for item in new]
        if isinstance(old, list) and isinstance(new, dict) and "name" not in new and len(old) == 1:
            return [self._part("neck", old[0], new, path)]
        if isinstance(old, list) and new is not None:
            if isinstance(new, dict) and "name" not in new:
                # It is unknown which of them is meant: validation receives it as it was written, and refuses it.
                return new
            dropped = [str(_name(item)) for item in old]
            self.notes.append(f"{path}: {' and '.join(dropped)} are replaced by {_name(self._fresh('neck', new))}.")
            return self._fresh("neck", new)
        return self._part("neck", old, new, path)

    def _part(self, kind: str, old: Any, new: Any, path: str) -> Any:
        if not isinstance(new, dict) and not isinstance(new, str):
            return plain_data(new)
        is_swap = isinstance(new, str) or _differs(old, new, "name")
        if not isinstance(old, dict) and not isinstance(old, str):
            return self._fresh(kind, new)
        old = {"name": old} if isinstance(old, str) else old
        if is_swap:
            return self._swap(kind, old, self._fresh(kind, new), path)
        assert isinstance(new, dict)  # a text is a name, so a swap
        if kind == "head" and "criterion" in new:
            criterion = self._part("criterion", old.get("criterion"), new["criterion"], f"{path}.criterion")
            return _merged(old, {**new, "criterion": None}) | {"criterion": criterion}
        return _merged(old, new)

    def _swap(self, kind: str, old: dict[str, Any], new: dict[str, Any], path: str) -> dict[str, Any]:
        kept = {}
        shares = kind == "head" and old.get("num_classes") is not None and takes_classes(new.get("name"))
        if shares and "num_classes" not in new:
            kept = {"num_classes": old["num_classes"]}
        dropped = [
            f"{key}={shown(value)}" for key, value in _said(kind, old).items() if key != "num_classes" or not shares
        ]
        self._note(path, old.get("name"), new.get("name"), dropped, kept)
        return new | kept

    def _fresh(self, kind: str, part: Any) -> Any:
        """A part from its own start: the content of its file, or its name, with what is given laid over."""
        if isinstance(part, str):
            return self._expand(kind, part)
        if not isinstance(part, dict):
            return plain_data(part)
        name = part.get("name")
        if not isinstance(name, str) or not is_known(kind, name):
            return plain_data(part)
        start = self._expand(kind, name)
        return _merged(start if start.get("name") == name else {}, part)

    def _heads(self, old: Any, new: Any) -> Any:
        if not isinstance(new, dict):
            return plain_data(new)
        tasks = dict(old) if isinstance(old, dict) else {}
        for task, parts in new.items():
            path = f"heads.{task}"
            if parts is None:
                tasks.pop(task, None)
                continue
            parts = {"head": parts} if isinstance(parts, str) else parts
            before = tasks.get(task)
            if not isinstance(parts, dict):
                tasks[task] = plain_data(parts)
                continue
            before = before if isinstance(before, dict) else {}
            before = self._matching_labels(before, parts, f"{path}.")
            laid = {key: plain_data(item) for key, item in parts.items() if key not in ("head", "neck")}
            if "labels" in parts:
                laid["labels"] = _labels(before.get("labels"), parts["labels"])
            if "processing" in parts:
                laid["processing"] = _merged(before.get("processing"), parts["processing"])
            if "head" in parts:
                laid["head"] = self._part("head", before.get("head"), parts["head"], f"{path}.head")
            if "neck" in parts:
                laid["neck"] = self._neck(before.get("neck"), parts["neck"], f"{path}.neck")
            tasks[task] = {**before, **laid}
        return tasks

    # what several keys decide together

    def _matching_labels(self, holder: dict[str, Any], layer: dict[str, Any], path: str) -> dict[str, Any]:
        """The model or a task, in which labels and the number of classes follow whichever of the two is set last."""
        head, before = layer.get("head"), holder.get("head")
        count = head.get("num_classes") if isinstance(head, dict) else None
        labels = holder.get("labels")
        named = labels.get("names") if isinstance(labels, dict) else labels
        if layer.get("labels") is not None:
            if count is None and isinstance(before, dict):
                return {**holder, "head": {key: item for key, item in before.items() if key != "num_classes"}}
        elif isinstance(count, int) and isinstance(named, list) and len(named) != count and "labels" not in layer:
            self.notes.append(
                f"{path}labels: the {len(named)} names are dropped, since {path}head.num_classes={count}."
            )
            return {**holder, "labels": None}
        return holder

    def _choose_between_head_and_heads(self, layer: dict[str, Any]) -> None:
        if layer.get("heads") and layer.get("head") is None and self.model.get("head") is not None:
            self.notes.append(f"head: {_name(self.model['head'])} and its neck are replaced by heads.")
            self.model["head"] = None
            self.model["neck"] = None
        elif layer.get("head") is not None and not layer.get("heads") and self.model.get("heads"):
            self.notes.append(f"heads: {', '.join(self.model['heads'])} are replaced by one head.")
            self.model.pop("heads")

    def _note(self, path: str, before: Any, after: Any, dropped: list[str], kept: dict[str, Any]) -> None:
        message = f"{path}: {before} is replaced by {after}, which starts from its own defaults"
        details = [f"dropped {', '.join(dropped)}"] if dropped else []
        details += [f"kept {', '.join(f'{key}={value}' for key, value in kept.items())}"] if kept else []
        self.notes.append(f"{message} ({'; '.join(details)})." if details else f"{message}.")


def _is_other_backbone(old: dict[str, Any], new: dict[str, Any]) -> bool:
    if "name" in new:
        return _differs(old, new, "name")
    config = new.get("config")
    return (
        isinstance(config, dict)
        and isinstance(old.get("config"), dict)
        and _differs(old["config"], config, "model_type")
    )


def _differs(old: Any, new: dict[str, Any], key: str) -> bool:
    """Whether `new` sets another value than `old` has; a thing that sets nothing is the same thing."""
    before = old.get(key) if isinstance(old, dict) else old if key == "name" else None
    return new.get(key) is not None and new[key] != before


def _said(kind: str, part: dict[str, Any]) -> dict[str, Any]:
    """Those of a part's options that differ from its defaults."""
    name = part.get("name")
    table = (options(kind, name) if isinstance(name, str) and is_known(kind, name) else None) or {}
    return {
        key: value
        for key, value in part.items()
        if key != "name" and value is not None and not (key in table and table[key].get("default") == value)
    }


def _merged(old: Any, new: Any) -> Any:
    """Mappings merge, everything else replaces."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return plain_data(new)
    merged = dict(old)
    for key, value in new.items():
        merged[key] = _merged(old.get(key), value)
    return merged


def _processing(old: Any, new: Any) -> Any:
    """Ways to resize replace each other."""
    ways = ({"size"}, {"shortest_edge", "longest_edge"}, {"max_size"})
    if isinstance(old, dict) and isinstance(new, dict):
        for way in ways:
            if any(new.get(key) is not None for key in way):
                others = set().union(*ways) - way
                old = {key: value for key, value in old.items() if key not in others}
    return _merged(old, new)


def _labels(old: Any, new: Any) -> Any:
    """Labels replace each other, but for `things` or `category_ids` alone, which are of the names that are there."""
    if isinstance(new, dict) and "names" not in new and old is not None:
        before = old if isinstance(old, dict) else {"names": old}
        return {**plain_data(before), **plain_data(new)}
    return plain_data(new)


def _name(part: Any) -> Any:
    return part.get("name") if isinstance(part, dict) else part


def _model_type(backbone: dict[str, Any]) -> Any:
    config = backbone.get("config")
    return config.get("model_type") if isinstance(config, dict) else None
