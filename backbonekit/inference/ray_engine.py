"""Work on image files by the machines of a Ray cluster: one actor with the model for each device.

Ray Data does the scheduling: an actor whose process or machine dies is started again, and its share is done again. The
files have to be readable, and what actors write writable, under the same paths everywhere, on a shared file system.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from backbonekit.errors import ContractError
from backbonekit.inference.prepared_images import default_workers

Work = Callable[[Any, Any], Any]  # (model, share) -> what comes back of it; both can be pickled


def over_cluster(model: Any, shares: Sequence[Any], work: Work, *, workers: int | None = None) -> Iterator[Any]:
    """What `work` returns of each share, in their order, as it comes.

    `work`: called by an actor with its own copy of the model and one share. What it writes must be whole or not there,
    since a share can be done twice. `workers`: actors; None: one for each GPU of the cluster, or without GPUs one for
    each processor, at most eight. The cluster is the one that `RAY_ADDRESS` names, or of this machine; where none runs,
    one is started here. Raises ContractError without Ray.
    """
    ray = _ray()
    if not shares:
        return
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, configure_logging=False)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    has_gpus = ray.cluster_resources().get("GPU", 0) >= 1
    count = workers or (int(ray.cluster_resources()["GPU"]) if has_gpus else default_workers())
    device = next(model.parameters()).device
    stored = ray.put(model.cpu())  # an actor may have no GPU, or another one
    model.to(device)
    data = ray.data.from_items([{"share": _Held(share)} for share in shares], override_num_blocks=len(shares))
    rows = data.map_batches(
        _Worker,
        fn_constructor_kwargs={"model": stored, "work": work},
        batch_size=1,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=min(count, len(shares))),
        **({"num_gpus": 1} if has_gpus else {"num_cpus": 1}),
    )
    for row in rows.iter_rows():
        yield row["done"].value


class _Worker:
    """The model on this actor's device."""

    def __init__(self, model: Any, work: Work) -> None:
        import torch

        ray = _ray()
        held = ray.get(model) if isinstance(model, ray.ObjectRef) else model
        self.model = held.to("cuda" if torch.cuda.is_available() else "cpu")
        self.work = work

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        import numpy as np

        done = np.empty(1, dtype=object)  # set as one object: NumPy would make a table of a tuple
        done[0] = _Held(self.work(self.model, batch["share"][0].value))
        return {"done": done}


@dataclass(frozen=True, slots=True)
class _Held:
    """A value of any kind; Ray Data would read a tuple or a tensor as a column of its own."""

    value: Any


def _ray() -> Any:
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ContractError(
            "engine=ray needs Ray. The fix: pip install 'backbonekit[ray]', or engine=local."
        ) from error
    return ray
