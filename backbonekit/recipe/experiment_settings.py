"""How a model is trained, as plain data: the sections `optimisation` and `trainer` of an experiment. No torch here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from backbonekit.contract.options import Count, Length, Range, Weight

Optimiser = Literal["adamw", "adam", "sgd", "lion"]
Schedule = Literal["constant", "cosine", "step", "poly"]
_Factor = Annotated[float, Range(0.0, 1.0)]
_Epochs = Annotated[int, Range(1, 100_000)]
_Many = Annotated[int, Range(1, 1_000_000)]
_Steps = Annotated[int, Range(1, 100_000_000)]

# Option -> the optimisers, or the schedules, that it has an effect on.
OF_OPTIMISER: Mapping[str, tuple[str, ...]] = {"momentum": ("sgd",), "betas": ("adamw", "adam", "lion")}
OF_SCHEDULE: Mapping[str, tuple[str, ...]] = {
    "milestones": ("step",),
    "step_factor": ("step",),
    "power": ("poly",),
    "final_factor": ("cosine", "poly"),
}


@dataclass(frozen=True, slots=True)
class Optimisation:
    """How the weights are updated.

    `optimiser`: AdamW, Adam, SGD with momentum, or Lion. `lr`: the learning rate of neck and head at its highest.
    `weight_decay`: of all weights but norms, biases, embeddings and tables of positions. `momentum`: of sgd; 0.9
    without. `betas`: of adamw and adam (0.9, 0.999 without) and of lion (0.9, 0.99 without).
    `backbone_scale`: factor of the learning rate of the backbone. `layer_decay`: factor of the learning rate from each
    block of the backbone to the one before it. `no_decay`: patterns of further names without weight decay, such as
    head.queries.*.
    `schedule`: how the learning rate falls after the warm-up: not at all, as half a cosine, by steps, or as a
    polynomial. `warmup_steps`: steps over which it rises to `lr` in a line; `warmup_factor`: where it starts, as a
    factor of `lr`. `milestones`: of step, the epochs after which it is multiplied by `step_factor` (0.1 without).
    `power`: of poly; 0.9 without. `final_factor`: of cosine and poly, where it ends, as a factor of `lr`; 0 without.
    `clip_norm`: the largest norm of the gradient of all weights; a larger one is scaled down to it.
    `batch_size`: images of one step, over all processes and accumulated batches together.
    `ema_decay`: of a moving average of the weights, which is what is measured and saved; `ema_warmup_steps`: its decay
    rises to `ema_decay` over about this many steps.
    `freeze`: follows what the recipe advises on freezing (`training.freeze`).
    """

    optimiser: Optimiser = "adamw"
    lr: Annotated[float, Range(0.0, 1_000.0)] = 1e-4
    weight_decay: Weight = 0.05
    momentum: _Factor | None = None
    betas: tuple[_Factor, _Factor] | None = None
    backbone_scale: Weight = 1.0
    layer_decay: Annotated[float, Range(0.01, 1.0)] | None = None
    no_decay: Annotated[tuple[str, ...], Length(256)] = ()
    schedule: Schedule = "cosine"
    warmup_steps: Annotated[int, Range(0, 10_000_000)] = 0
    warmup_factor: _Factor = 0.001
    milestones: tuple[_Epochs, ...] = ()
    step_factor: _Factor | None = None
    power: Annotated[float, Range(0.01, 100.0)] | None = None
    final_factor: _Factor | None = None
    clip_norm: Annotated[float, Range(1e-6, 1e6)] | None = None
    batch_size: _Many = 16
    ema_decay: Annotated[float, Range(0.0, 0.9999999)] | None = None
    ema_warmup_steps: Annotated[int, Range(0, 10_000_000)] | None = None
    freeze: bool = True


@dataclass(frozen=True, slots=True)
class TrainerSettings:
    """On what a model is trained, and for how long. Devices, nodes and strategies are Lightning's.

    `max_epochs`: passes through the training images; `max_steps`: steps after which training ends earlier. `seed`: of
    the order of the images, their augmentation, dropout and whatever else is drawn; of new weights too.
    `num_workers`: processes that read images, for each training process. `group_shapes`: a batch has wide images alone
    or others alone, so that less of it is padding.
    `accelerator`: auto, cpu, cuda or mps. `devices`: how many on each machine, or their numbers; `num_nodes`: machines.
    `strategy`: of several processes: ddp (each has the whole model) or fsdp2 (each has a share of it); auto is ddp.
    `precision`: of the computations: fp32, bf16 or fp16, with the weights in fp32. `accumulate`: batches whose
    gradients are added up for one step. `gradient_checkpointing`: computes the backbone's blocks twice, which saves
    memory. `compile`: through torch.compile.
    `evaluate_every`: epochs between two evaluations. `checkpoint_every`: steps between two checkpoints within an epoch;
    without it one is written after each epoch.
    `logger`: of losses and scores beside metrics.csv, which is always written: none, tensorboard or wandb.
    `log_every`: steps between two lines of it.
    """

    max_epochs: _Epochs = 12
    max_steps: _Steps | None = None
    seed: Annotated[int, Range(0, 4_294_967_295)] = 0
    num_workers: Annotated[int, Range(0, 256)] = 2
    group_shapes: bool = False
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    devices: Literal["auto"] | Annotated[int, Range(1, 1_024)] | tuple[Count, ...] = "auto"
    num_nodes: Annotated[int, Range(1, 100_000)] = 1
    strategy: Literal["auto", "ddp", "fsdp2"] = "auto"
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    accumulate: _Many = 1
    gradient_checkpointing: bool = False
    compile: bool = False
    evaluate_every: _Epochs = 1
    checkpoint_every: _Steps | None = None
    logger: Literal["none", "tensorboard", "wandb"] = "none"
    log_every: _Steps = 10


def optimisation_faults(settings: Mapping[str, Any], path: str = "optimisation") -> list[str]:
    """What does not go together in an `optimisation` whose values are right one by one."""
    faults = []
    for table, choice in ((OF_OPTIMISER, "optimiser"), (OF_SCHEDULE, "schedule")):
        for option, names in table.items():
            if settings.get(option) not in (None, ()) and settings[choice] not in names:
                faults.append(
                    f"{path}.{option} is of {' and '.join(names)}, and {choice} is {settings[choice]}; leave it out, or"
                    f" {path}.{choice}={names[0]}."
                )
    milestones = settings["milestones"]
    if settings["schedule"] == "step" and not milestones:
        faults.append(f"{path}.milestones is missing: schedule=step needs the epochs, such as [8, 11].")
    if list(milestones) != sorted(set(milestones)):
        faults.append(f"{path}.milestones: given {list(milestones)}, must rise, such as {sorted(set(milestones))}.")
    if settings["ema_warmup_steps"] is not None and settings["ema_decay"] is None:
        faults.append(f"{path}.ema_warmup_steps is of the moving average; give {path}.ema_decay too, such as 0.9999.")
    return faults


def trainer_faults(settings: Mapping[str, Any], batch_size: int | None, path: str = "trainer") -> list[str]:
    """The same of a `trainer`, beside the images of one step."""
    devices, accumulate = settings["devices"], settings["accumulate"]
    faults = []
    if isinstance(devices, tuple) and len(set(devices)) != len(devices):
        faults.append(f"{path}.devices: given {list(devices)}, which names one device twice.")
    if isinstance(devices, tuple) and not devices:
        faults.append(f"{path}.devices: given no device; leave it out for all.")
    if settings["strategy"] == "fsdp2" and settings["precision"] == "fp16":
        faults.append(f"{path}.precision=fp16 does not go with strategy=fsdp2; the fix: {path}.precision=bf16.")
    if batch_size is None:
        return faults
    if devices == "auto":
        processes, shares = settings["num_nodes"], f"{settings['num_nodes']} machines"
    else:
        processes = settings["num_nodes"] * (devices if isinstance(devices, int) else max(1, len(devices)))
        shares = f"{processes} processes"
    shares += f" with {path}.accumulate={accumulate}" if accumulate > 1 else ""
    if batch_size % (processes * accumulate):
        faults.append(
            f"optimisation.batch_size={batch_size} images of one step cannot be shared equally among {shares}; the next"
            f" that can is {-(-batch_size // (processes * accumulate)) * processes * accumulate}."
        )
    return faults
