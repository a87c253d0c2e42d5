"""The progress of a training on standard error: a bar in a terminal, and a line for each epoch."""

import sys
import time
from typing import Any

from lightning.pytorch import Callback

from backbonekit.contract.progress import bar, is_quiet
from backbonekit.lightning.best_model import BestModel


class Progress(Callback):
    """Only the first process writes. `best`: marks the epoch whose model is saved."""

    def __init__(self, best: BestModel) -> None:
        self.best = best
        self._bar: Any = None
        self._since = 0.0
        self._losses: list[float] = []

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self._since, self._losses = time.perf_counter(), []
        if trainer.is_global_zero:
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._bar = bar(int(trainer.num_training_batches), unit="batches", title=title)

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx % trainer.log_every_n_steps == 0 or batch_idx + 1 == trainer.num_training_batches:
            self._losses.append(float(outputs["loss"]))
        if self._bar is not None:
            self._bar.update(batch_idx + 1 - self._bar.n)
            self._bar.set_postfix(loss=f"{self._losses[-1]:.4g}", refresh=False)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        if not trainer.is_global_zero:
            return
        self._close()
        values = {"loss": sum(self._losses) / max(1, len(self._losses))}
        is_validated = "val_loss" in trainer.callback_metrics
        if is_validated:
            values["val_loss"] = float(trainer.callback_metrics["val_loss"])
        if pl_module.scores is not None:
            name, value = pl_module.scores.main
            values[name] = float(value)
        best = " (best so far)" if is_validated and self.best.epoch == trainer.current_epoch else ""
        text = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        seconds = time.perf_counter() - self._since
        title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
        if not is_quiet():
            sys.stderr.write(f"{title}  {text}{best}  {seconds:.0f} s\n")

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
