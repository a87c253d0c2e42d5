"""Class names in the configuration of a backbone, which has no classes: kept for the model that is built around it."""

from collections.abc import Mapping
from typing import Any

from backbonekit.errors import RecipeError

_UNNAMED = 2  # classes, the default of transformers


class BackboneLabels:
    """Mixin of a configuration: `num_labels`, `id2label`, `label2id`, which follow each other. Unset, they are two
    classes without names, as in transformers, and are not written."""

    _labels: dict[int, Any] | None = None

    def set_labels(
        self,
        num_labels: int | None = None,
        id2label: Mapping[Any, Any] | None = None,
        label2id: Mapping[Any, Any] | None = None,
    ) -> None:
        """Sets all three from what is given. Raises RecipeError for classes without a number, and for another count."""
        try:
            if id2label is None and label2id is not None:
                id2label = {number: name for name, number in label2id.items()}
            names = None if id2label is None else {int(number): name for number, name in id2label.items()}
        except (AttributeError, TypeError, ValueError) as error:
            raise RecipeError("id2label must map numbers to names, and label2id names to numbers.") from error
        if num_labels is not None and (isinstance(num_labels, bool) or not isinstance(num_labels, int)):
            raise RecipeError(f"num_labels={str(num_labels)[:60]} must be a whole number.")
        if names is None and num_labels is not None:
            if not 0 <= num_labels <= 100_000:
                raise RecipeError(f"num_labels={num_labels} must be from 0 to 100,000.")
            names = {number: f"LABEL_{number}" for number in range(num_labels)}
        elif names is not None and num_labels not in (None, len(names)):
            raise RecipeError(f"num_labels={num_labels}, but {len(names)} classes have names; give one of the two.")
        object.__setattr__(self, "_labels", names)

    def read_labels(self, fields: Mapping[str, Any]) -> None:
        """Those of a `config.json`; what makes no sense is passed over, since no weight depends on it."""
        names = {key: fields[key] for key in ("id2label", "label2id", "num_labels") if fields.get(key) is not None}
        if "id2label" in names:
            names = {"id2label": names["id2label"]}
        try:
            self.set_labels(**names)
        except RecipeError:
            self.set_labels()

    def written_labels(self) -> dict[str, Any]:
        """`id2label` for a `config.json`, where it was set."""
        return {} if self._labels is None else {"id2label": {str(key): name for key, name in self._labels.items()}}


def _get_names(config: BackboneLabels) -> dict[int, Any]:
    return config._labels if config._labels is not None else {number: f"LABEL_{number}" for number in range(_UNNAMED)}


NUM_LABELS = property(lambda config: len(_get_names(config)), lambda config, value: config.set_labels(num_labels=value))
ID2LABEL = property(_get_names, lambda config, value: config.set_labels(id2label=value))
LABEL2ID = property(
    lambda config: {name: number for number, name in _get_names(config).items()},
    lambda config, value: config.set_labels(label2id=value),
)
