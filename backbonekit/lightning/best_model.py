"""The saved model of a run: that of the best validation so far."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.scored_card import write_scores
from backbonekit.contract.scores import Scores, lower_is_better
from backbonekit.errors import StorageError

SCORES = "scores.json"


class BestModel(Callback):
    """Saves the model into the run's folder when a validation is better than all before: by the main metric of the
    scores, or without any by the loss. Without a validation, that of the last epoch.

    `data`: the settings of the data set, which the card names. `template`: a model of the same parts that takes the
    weights of a shared out one to be saved; None where no model is shared out. `scores`: those of the model that this
    process saved last; None without any.
    """

    def __init__(self, folder: Path, *, data: Mapping[str, Any], template: ComposedModel | None = None) -> None:
        self.folder = folder
        self.data = data
        self.scores: Scores | None = None
        self.template = template
        self.name: str | None = None
        self.value = math.nan
        self.epoch: int | None = None

    @property
    def is_saved(self) -> bool:
        return self.epoch is not None

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        if trainer.sanity_checking:
            return
        name, value = self._result(trainer, pl_module)
        if not self._is_better(name, value):
            return
        self.name, self.value, self.epoch = name, value, trainer.current_epoch
        self.save(trainer, pl_module)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        if not self.is_saved:
            self.epoch = trainer.current_epoch
            self.save(trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        return {"name": self.name, "value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.name, self.value, self.epoch = state_dict["name"], state_dict["value"], state_dict["epoch"]

    def save(self, trainer: Any, pl_module: Any) -> None:
        """Writes the model, whole or not at all, and the scores beside it. All processes call it."""
        model = pl_module.measured
        if self.template is not None:
            from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

            options = StateDictOptions(full_state_dict=True, cpu_offload=True)
            whole = get_model_state_dict(model, options=options)
            if trainer.is_global_zero:
                self.template.load_state_dict(whole)
            model = self.template
        if not trainer.is_global_zero:
            return
        model.save_pretrained(self.folder, overwrite=True)
        scores = {} if pl_module.scores is None else pl_module.scores.to_dict()
        _write(self.folder / SCORES, {**scores, "epoch": self.epoch, "step": trainer.global_step})
        self.scores = pl_module.scores
        if self.scores is not None:
            write_scores(self.folder, self.scores, data=self.data, split="val")

    def _result(self, trainer: Any, pl_module: Any) -> tuple[str, float]:
        if pl_module.scores is not None:
            name, value = pl_module.scores.main
            return name, float(value)
        return "loss", float(trainer.callback_metrics.get("val_loss", math.nan))

    def _is_better(self, name: str, value: float) -> bool:
        if not self.is_saved or name != self.name or math.isnan(self.value):
            return True
        return value < self.value if lower_is_better(name) else value > self.value


def _write(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StorageError(f"{path} could not be written: {error.strerror}.") from error
