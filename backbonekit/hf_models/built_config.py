"""What a configuration has from the moment a model is built from it: it can no longer describe another model."""

from collections.abc import Collection, Mapping
from copy import deepcopy
from typing import Any, TypeVar
from weakref import WeakSet

from backbonekit.errors import ContractError
from backbonekit.recipe.recipe import plain_data

Config = TypeVar("Config", bound="BuiltConfig")


class BuiltConfig:
    """Base of the configuration classes. As long as a model that was built from it exists, a change of what decided
    the model is refused. A copy, `copy.deepcopy` included, belongs to no model and can be changed."""

    _models: Collection[Any] = ()
    _built: Any = None

    def copy(self: Config) -> Config:
        """The same configuration, which belongs to no model."""
        return deepcopy(self)

    def attach(self, model: Any) -> None:
        """From now on this is the configuration of `model`."""
        models = self._models if isinstance(self._models, WeakSet) else WeakSet()
        models.add(model)
        object.__setattr__(self, "_models", models)
        object.__setattr__(self, "_built", self._decisive())

    def check_unchanged(self) -> None:
        """Raises ContractError where a mapping inside it was changed in place after a model was built."""
        if self._models and self._decisive() != self._built:
            raise ContractError(
                f"this {type(self).__name__} was changed inside a mapping after its model was built, and no longer"
                f" describes it. {self._fix()}"
            )

    def refuse_change(self, name: str, value: Any) -> None:
        """Raises ContractError for another value of a field that decided the model."""
        if plain_data(getattr(self, name)) != plain_data(value):
            raise self.refusal(name, value)

    def refusal(self, name: str, value: Any) -> ContractError:
        """The error for a change of a field that decided the model."""
        model = type(next(iter(self._models))).__name__
        given, now = repr(plain_data(value))[:60], repr(plain_data(getattr(self, name)))[:60]
        return ContractError(
            f"{name}={given}: this configuration belongs to a {model} that was built with {name}={now}."
            f" {self._fix()} Then set {name} in it."
        )

    def _fix(self) -> str:
        model = type(next(iter(self._models))).__name__
        return f"The fix, for another model: config = config.copy(), and {model}(config) once it is changed."

    def _decisive(self) -> Any:
        """Plain data of everything that decides what is built."""
        raise NotImplementedError

    def __getstate__(self) -> Mapping[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_models", "_built")}
