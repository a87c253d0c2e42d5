"""A composed model as a LightningModule: losses, optimiser, schedule, moving average, and scores of the validation."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as distributed
from lightning.pytorch import LightningModule
from torch import Tensor

from backbonekit.assembly.composed_model import ComposedModel
from backbonekit.assembly.measuring import results_of
from backbonekit.contract.predictions import ModelOutput
from backbonekit.contract.scores import Scores
from backbonekit.errors import ContractError, RecipeError
from backbonekit.evaluation import Evaluation
from backbonekit.lightning.batch import inputs_of, names_of
from backbonekit.recipe.experiment_sections import read_optimisation
from backbonekit.recipe.experiment_settings import Optimisation
from backbonekit.training.freeze import freeze
from backbonekit.training.moving_average import averaged_copy, decay_at, update_average
from backbonekit.training.optimiser import make_optimiser
from backbonekit.training.schedule import make_schedule
from backbonekit.training.sharding import shard_model

_SHOWN_NAMES = 8


class Module(LightningModule):
    """Trains a composed model by `optimisation`.

    An ordinary LightningModule: every hook can be overridden, and it goes with any Trainer and any batches of
    `pixel_values`, `pixel_mask` and `targets`. It logs `train_loss`, `val_loss` and their terms, and what `evaluation`
    measures as `val_NAME`, for which batches need the originals that `DataModule` adds.

    `model`: is put into train mode. `optimisation`: settings, or a mapping of those that differ from the defaults.
    `evaluation`: measures the validation; None: its loss alone. `sharded_dtype`: that a model which
    ModelParallelStrategy shares out is computed in.
    """

    def __init__(
        self,
        model: ComposedModel,
        optimisation: Optimisation | Mapping[str, Any] | None = None,
        *,
        evaluation: Evaluation | None = None,
        sharded_dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.optimisation = _read(optimisation)
        self.model = model.train()
        advice = model.recipe.training.get("freeze")
        if self.optimisation.freeze and advice:
            freeze(model.backbone, **advice)
        self.average = None if self.optimisation.ema_decay is None else averaged_copy(model)
        self.evaluation = evaluation
        self.scores: Scores | None = None  # of the last validation
        self.sharded_dtype = sharded_dtype
        self._is_sharded = False

    @property
    def measured(self) -> ComposedModel:
        """The model that is validated and saved: the moving average where there is one."""
        return self.model if self.average is None else self.average

    def forward(self, pixel_values: Tensor, pixel_mask: Tensor | None = None, targets: Any = None) -> ModelOutput:
        return self.model(pixel_values, pixel_mask, targets)

    def configure_model(self) -> None:
        """Shares the weights out where the strategy has a mesh for it (FSDP2)."""
        if self.device_mesh is None or self._is_sharded:
            return
        for model in (self.model, self.average):
            if model is not None:
                shard_model(model, self.device_mesh["data_parallel"], dtype=self.sharded_dtype)
        self._is_sharded = True

    def training_step(self, batch: Mapping[str, Any], batch_idx: int) -> Tensor:
        output = self.model(**inputs_of(batch))
        loss = _loss_of(output)
        self._check_finite(loss, output, batch)
        self._log_losses("train", output, len(batch["pixel_values"]))
        return loss

    def validation_step(self, batch: Mapping[str, Any], batch_idx: int) -> None:
        output = self.measured(**inputs_of(batch))
        if output.loss is not None:
            self._log_losses("val", output, len(batch["pixel_values"]))
        originals = batch.get("originals")
        if self.evaluation is not None and originals is not None:
            assert output.predictions is not None  # a model without a head has no evaluation
            results = results_of(self.measured, output.predictions, originals.geometries, self.evaluation)
            self.evaluation.update(results, originals.targets, batch["indices"])

    def on_validation_epoch_start(self) -> None:
        self.scores = None
        if self.evaluation is not None:
            self.evaluation.reset()

    def on_validation_epoch_end(self) -> None:
        """Measures the images of all processes together, each once."""
        if self.evaluation is None or self.trainer.sanity_checking:
            return
        if distributed.is_available() and distributed.is_initialized():
            states: list[Any] = [None] * distributed.get_world_size()
            distributed.all_gather_object(states, self.evaluation.state())
            self.evaluation.merge(states)
        self.scores = self.evaluation.compute()
        numbers = {f"val_{name}": float(value) for name, value in self.scores.summary.items()}
        self.log_dict(numbers, rank_zero_only=False, sync_dist=False)

    def configure_optimizers(self) -> Any:
        # In mixed precision Lightning clips no gradients for a fused optimiser.
        is_fused = not self._is_sharded and "mixed" not in str(self.trainer.precision)
        optimiser = make_optimiser(self.model, self.optimisation, fused=is_fused)
        total = int(self.trainer.estimated_stepping_batches)
        epochs = self.trainer.max_epochs
        if math.isinf(self.trainer.num_training_batches):
            self.trainer.fit_loop.setup_data()  # it was not needed yet, where max_steps alone is given
        batches = self.trainer.num_training_batches  # infinite still where a loader has no length
        steps = total if math.isinf(batches) else -(-int(batches) // self.trainer.accumulate_grad_batches)
        per_epoch = steps if epochs is None or epochs < 1 else max(1, min(steps, total))
        schedule = make_schedule(optimiser, self.optimisation, total_steps=total, steps_per_epoch=per_epoch)
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def configure_gradient_clipping(
        self,
        optimizer: Any,
        gradient_clip_val: int | float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """By `clip_norm`, unless the Trainer has a bound of its own."""
        if gradient_clip_val is None and self.optimisation.clip_norm is not None:
            gradient_clip_val, gradient_clip_algorithm = self.optimisation.clip_norm, "norm"
        self.clip_gradients(
            optimizer, gradient_clip_val=gradient_clip_val, gradient_clip_algorithm=gradient_clip_algorithm
        )

    def optimizer_step(self, epoch: int, batch_idx: int, optimizer: Any, optimizer_closure: Any = None) -> None:
        super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
        if self.average is not None and self.optimisation.ema_decay is not None:
            step = self.trainer.global_step + 1
            decay = decay_at(step, self.optimisation.ema_decay, self.optimisation.ema_warmup_steps)
            update_average(self.average, self.model, decay)

    def _log_losses(self, stage: str, output: ModelOutput, count: int) -> None:
        terms = {f"{stage}_loss_{name}": term.detach() for name, term in (output.losses or {}).items()}
        values = {f"{stage}_loss": _loss_of(output).detach(), **(terms if len(terms) > 1 else {})}
        is_validation = stage == "val"
        self.log_dict(
            values, on_step=not is_validation, on_epoch=is_validation, sync_dist=is_validation, batch_size=count
        )

    def _check_finite(self, loss: Tensor, output: ModelOutput, batch: Mapping[str, Any]) -> None:
        """Stops all processes where the loss of one is no number, before the weights are spoilt."""
        is_finite = bool(torch.isfinite(loss.detach()))
        message = None if is_finite else _not_finite(output, batch)
        if distributed.is_available() and distributed.is_initialized():
            flag = torch.tensor(float(not is_finite), device=loss.device)
            distributed.all_reduce(flag)
            if flag.item() == 0:
                return
            messages: list[Any] = [None] * distributed.get_world_size()
            distributed.all_gather_object(messages, message)
            message = next(found for found in messages if found is not None)
        if message is not None:
            raise ContractError(f"step {self.trainer.global_step + 1}: {message}")


def _read(optimisation: Optimisation | Mapping[str, Any] | None) -> Optimisation:
    if isinstance(optimisation, Optimisation):
        return optimisation
    faults: list[str] = []
    read = read_optimisation(optimisation, faults)
    if read is None:
        raise RecipeError(faults)
    return read


def _loss_of(output: ModelOutput) -> Tensor:
    if output.loss is None:
        raise ContractError(
            "the model returned no loss: it has no head, or the batch no targets. The fix: batches with `targets`, as "
            "model.processor(images, targets) makes them."
        )
    return output.loss


def _not_finite(output: ModelOutput, batch: Mapping[str, Any]) -> str:
    terms = [name for name, term in (output.losses or {}).items() if not torch.isfinite(term.detach()).all()]
    names = names_of(batch)
    shown = ", ".join(names[:_SHOWN_NAMES]) + (f" and {len(names) - _SHOWN_NAMES} more" * (len(names) > _SHOWN_NAMES))
    return (
        f"the loss is no finite number ({', '.join(terms) or 'loss'}) for the images {shown}. Look at their targets "
        "(`backbonekit check`); if they are right: a lower optimisation.lr, a warm-up, optimisation.clip_norm, or "
        "trainer.precision=bf16 in place of fp16."
    )
