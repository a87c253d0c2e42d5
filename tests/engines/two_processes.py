"""One of two processes that train together: `python -m tests.engines.two_processes RANK FOLDER`. Writes its results to
FOLDER/RANK.json; `test_distributed.py` starts both and reads it."""

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed
from torch.nn.parallel import DistributedDataParallel

from backbonekit.contract.predictions import ModelOutput
from tests.engines.models import RECIPES, model_of, sample

PROCESSES = 2
STEPS = 3  # parameters without a gradient stop the second
TIMEOUT = timedelta(seconds=60)


def batch_of(model: Any, indices: list[int]) -> dict[str, Any]:
    return model.processor.collate([sample(index) for index in indices])


def trained(name: str, rank: int) -> dict[str, Any]:
    """Each process gets its own images; in some steps one of them gets an empty target, or targets without objects."""
    model = model_of(name).train()
    parallel = DistributedDataParallel(model)  # which refuses parameters that get no gradient
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    losses = []
    for step in range(STEPS):
        optimizer.zero_grad()
        first = PROCESSES * step + rank
        output = parallel(**batch_of(model, [first, first + 4]))  # of two kinds
        assert type(output) is ModelOutput
        output.loss.backward()
        optimizer.step()
        losses.append(output.loss.item())
    without = [key for key, parameter in model.named_parameters() if parameter.requires_grad and parameter.grad is None]
    return {"losses": losses, "without_gradient": without, "weights": checksum(model.parameters())}


def checksum(tensors: Any) -> float:
    return sum(tensor.detach().double().abs().sum().item() for tensor in tensors)


def terms(rank: int) -> dict[str, dict[str, float]]:
    """A set loss is divided by the mean number of masks per process, so that the mean over processes is the loss of one
    process with the whole batch."""
    model = model_of("maskformer").eval()
    whole = [0, 3, 6, 8]  # the last two: two masks and none
    own = whole[2 * rank : 2 * rank + 2]
    with torch.no_grad():
        shared = model(**batch_of(model, own)).losses
        mean = {name: term.clone() for name, term in shared.items()}
        for term in mean.values():
            distributed.all_reduce(term)
            term /= PROCESSES
        distributed.barrier()
        # As if alone: both processes compute the whole batch, so the mean number of masks is the number of masks.
        alone = model(**batch_of(model, whole)).losses
    return {
        "mean": {name: term.item() for name, term in mean.items()},
        "alone": {name: term.item() for name, term in alone.items()},
    }


def gathered(rank: int) -> dict[str, Any]:
    """Predictions of both processes, collected for a metric by accelerate."""
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model = model_of("two_heads").eval()
    prepared = accelerator.prepare(model)
    with torch.no_grad():
        output = prepared(batch_of(model, [rank])["pixel_values"])
    everything = accelerator.gather_for_metrics(output.predictions)
    return {
        "processes": accelerator.num_processes,
        "types": [type(prediction).__name__ for prediction in everything.values()],
        "shapes": [list(prediction.logits.shape) for prediction in everything.values()],
        "own": torch.equal(everything["cls"].logits[rank], output.predictions["cls"].logits[0]),
    }


def main(rank: int, folder: Path) -> None:
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(PROCESSES)}
    # accelerate requires them, but does not use them: the process group is already initialised.
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=PROCESSES, timeout=TIMEOUT)
    found = {name: trained(name, rank) for name in RECIPES} | {"terms": terms(rank), "gathered": gathered(rank)}
    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
