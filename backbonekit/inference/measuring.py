"""Time, memory and work of a model's forward pass on one machine."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backbonekit.assembly.inference import evaluating
from backbonekit.assembly.work import work_counter

WARM_UP = 3  # forward passes that are not counted: the first ones choose algorithms and allocate
_STATUS, _CLEAR = "/proc/self/status", "/proc/self/clear_refs"
_RESETS_THE_PEAK = "5"  # written to clear_refs, see proc(5)


@dataclass(frozen=True, slots=True)
class Measurement:
    """`seconds`: of a forward pass, the median; `lowest` and `highest` of all repeats. `images_per_second`: of the
    median. `peak_bytes`: at most in use beside the weights during a pass, on a CUDA device what torch allocated, on the
    CPU of Linux what the process held; None elsewhere. `parameters`. `multiply_adds`: of one image; None where torch
    counts none. `compile_seconds`: until the first pass of a compiled model was done, None of one that is not."""

    seconds: float
    lowest: float
    highest: float
    images_per_second: float
    peak_bytes: int | None
    parameters: int
    multiply_adds: int | None
    compile_seconds: float | None = None


def measure(model: Any, pixel_values: Tensor, *, repeats: int, compiled: bool) -> Measurement:
    """`pixel_values`: a batch on the model's device, in its precision. `compiled`: through torch.compile."""
    with evaluating(model), torch.inference_mode():
        # Counted before it is compiled: operations in a compiled graph are not seen.
        with work_counter() as counter:
            model(pixel_values)
        run, compile_seconds = model, None
        if compiled:
            run = torch.compile(model)
            compile_seconds = _timed(run, pixel_values)
        for _ in range(WARM_UP):
            run(pixel_values)
        peak = _peak_of(lambda: run(pixel_values), pixel_values.device)
        times = [_timed(run, pixel_values) for _ in range(repeats)]
    median = statistics.median(times)
    operations = counter.get_total_flops()
    return Measurement(
        median,
        min(times),
        max(times),
        len(pixel_values) / median,
        peak,
        sum(parameter.numel() for parameter in model.parameters()),
        operations // 2 // len(pixel_values) if operations else None,
        compile_seconds,
    )


def _timed(run: Callable[[Tensor], Any], pixel_values: Tensor) -> float:
    _synchronise(pixel_values.device)
    since = time.perf_counter()
    run(pixel_values)
    _synchronise(pixel_values.device)
    return time.perf_counter() - since


def _synchronise(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    elif device.type == "xpu":
        torch.xpu.synchronize(device)


def _peak_of(run: Callable[[], Any], device: torch.device) -> int | None:
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    if device.type != "cpu" or sys.platform != "linux":
        run()
        return None
    try:
        with open(_CLEAR, "w", encoding="ascii") as file:
            file.write(_RESETS_THE_PEAK)
    except OSError:  # a container may forbid it
        run()
        return None
    before = _held("VmRSS")
    run()
    return max(0, _held("VmHWM") - before)


def _held(name: str) -> int:
    """Bytes, by its name in /proc/self/status."""
    with open(_STATUS, encoding="ascii") as file:
        line = next(line for line in file if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024
