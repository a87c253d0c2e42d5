"""A data source as a LightningDataModule: batches that a model takes, made by its processor in the workers."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, DistributedSampler

from backbonekit.contract.datasets import DataSource, SizedSplit, Split
from backbonekit.data.training_size import training_processor
from backbonekit.errors import ContractError, RecipeError
from backbonekit.image_processing.processor import ImageProcessor
from backbonekit.lightning.batch import Originals

_SEEDS = 1_000_003  # between the orders of two seeds; no training has as many epochs


class DataModule(LightningDataModule):
    """The training and validation images of a data source.

    An ordinary LightningDataModule. Batches are dicts of `pixel_values`, `pixel_mask` and `targets`, with `indices` and
    `names` of the images; those of the validation also have `originals`, by which results are measured.

    `processor`: that of the model. `batch_size`: images of one step, over all processes and accumulated batches.
    `num_workers`: of each process. `seed`: of the order of the images and of their augmentation. `steps`: of the
    augmentation, as `open_augmentation` returns them. `group_shapes`: a training batch has images that are wider than
    high alone, or others alone, but for the last ones. `train`, `val`: the names of the splits; None: there is none.

    The order of an epoch's images depends on the seed and the epoch alone. A training that is resumed from Lightning's
    checkpoint in the middle of an epoch goes on with the images that the epoch has left.
    """

    def __init__(
        self,
        source: DataSource,
        processor: ImageProcessor,
        *,
        batch_size: int = 16,
        num_workers: int = 0,
        seed: int = 0,
        steps: Sequence[Any] = (),
        group_shapes: bool = False,
        train: str = "train",
        val: str | None = "val",
    ) -> None:
        super().__init__()
        self.source = source
        self.processor = processor
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.seed = seed
        self.steps = tuple(steps)
        self.group_shapes = group_shapes
        self.train = train
        self.val = val
        self._start = (0, 0)  # the epoch and the batch in it that the training starts with

    def train_dataloader(self) -> DataLoader:
        split = self.source.split(self.train)
        images = self._augmented(split)
        size, processes, rank = self._share()
        if len(images) < self.batch_size:
            raise RecipeError(
                f"optimisation.batch_size={self.batch_size}: the training data has {len(images)} images only. The fix: "
                f"a batch_size of at most {len(images)}."
            )
        sampler = EpochSampler(
            images,
            num_replicas=processes,
            rank=rank,
            seed=self.seed,
            batch_size=size,
            multiple=self.batch_size,
            start=self._start,
            groups=_groups(split) if self.group_shapes else None,
        )
        return self._loader(images, sampler, size, training_processor(self.processor, self.steps))

    def val_dataloader(self) -> DataLoader | list[Any]:
        if self.val is None:
            return []
        images = _Indexed(self.source.split(self.val))
        size, processes, rank = self._share()
        # Shares of equal length, for which the first images stand in twice: every image is measured once, by its index.
        sampler = DistributedSampler(images, processes, rank, shuffle=False)
        return self._loader(images, sampler, size, self.processor, with_originals=True)

    def state_dict(self) -> dict[str, Any]:
        """Where the training is: read when Lightning writes a checkpoint."""
        trainer: Any = self.trainer
        done = trainer.fit_loop.epoch_loop.batch_progress.total.processed
        epoch, batch = divmod(done, int(trainer.num_training_batches))
        return {"epoch": epoch, "batch": batch, "num_images": len(self.source.split(self.train))}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        found = len(self.source.split(self.train))
        if found != state_dict["num_images"]:
            raise RecipeError(
                f"the training data has {found} images, and had {state_dict['num_images']} when the checkpoint was "
                "written; a training is resumed with the data that it began with."
            )
        self._start = int(state_dict["epoch"]), int(state_dict["batch"])

    def _augmented(self, split: Split) -> Any:
        if not self.steps:
            return _Indexed(split)
        from backbonekit.data.augmented_split import AugmentedSplit

        return AugmentedSplit(
            split,
            self.steps,
            seed=self.seed,
            labels=self.source.labels,
            ignore_label=self.processor.ignore_label,
            task_ignore_labels={task: self.processor.ignore_label_of(task) for task in self.processor.tasks},
        )

    def _share(self) -> tuple[int, int, int]:
        """Images of one batch of one process, the number of processes, and the number of this one."""
        trainer: Any = self.trainer
        processes, rank = (1, 0) if trainer is None else (trainer.world_size, trainer.global_rank)
        accumulated = 1 if trainer is None else trainer.accumulate_grad_batches
        size, rest = divmod(self.batch_size, processes * accumulated)
        if rest or not size:
            raise RecipeError(
                f"optimisation.batch_size={self.batch_size} images of one step cannot be shared equally among "
                f"{processes} processes with {accumulated} accumulated batches each; the next that can is "
                f"{(size + 1) * processes * accumulated}."
            )
        return size, processes, rank

    def _loader(
        self, images: Any, sampler: Any, size: int, processor: ImageProcessor, *, with_originals: bool = False
    ) -> DataLoader:
        return DataLoader(
            images,
            batch_size=size,
            sampler=sampler,
            collate_fn=Collate(processor, images, with_originals=with_originals),
            num_workers=self.num_workers,
            persistent_workers=self.num_workers > 0,
            pin_memory=torch.cuda.is_available(),
        )


class EpochSampler(DistributedSampler):
    """The images of one process in an order that the seed and the epoch decide. One batch of all processes together is
    a row of neighbours in that order, however many processes there are.

    `images`: with `set_epoch`. `batch_size`: of one process. `multiple`: an epoch has a whole number of times as many
    images; those left over come in other epochs. `start`: the epoch that is read first, and the batch in it. `groups`:
    a number for each image; a batch of all processes has one number, but for the last batches of an epoch. Lightning
    puts no sampler of its own in its place, since it is a DistributedSampler already.
    """

    def __init__(
        self,
        images: Any,
        *,
        num_replicas: int,
        rank: int,
        seed: int,
        batch_size: int,
        multiple: int,
        start: tuple[int, int] = (0, 0),
        groups: Sequence[int] | None = None,
    ) -> None:
        super().__init__(images, num_replicas, rank, shuffle=True, seed=seed, drop_last=True)
        self.total_size = len(images) // multiple * multiple
        self.num_samples = self.total_size // num_replicas
        self._images = images
        self.epoch, batch = start
        self._skipped = batch * batch_size
        self._multiple = multiple
        self._groups = groups

    def set_epoch(self, epoch: int) -> None:
        if epoch != self.epoch:
            self._skipped = 0
        super().set_epoch(epoch)

    def __iter__(self) -> Iterator[int]:
        self._images.set_epoch(self.epoch)
        generator = torch.Generator().manual_seed(self.seed * _SEEDS + self.epoch)
        order = torch.randperm(len(self._images), generator=generator).tolist()
        if self._groups is not None:
            order = _in_groups(order, self._groups, self._multiple)
        order = order[: self.total_size]
        return iter(order[self.rank :: self.num_replicas][self._skipped :])


def _in_groups(order: Sequence[int], groups: Sequence[int], multiple: int) -> list[int]:
    """The same images in rows of `multiple` of one group, each where its last image was; then those left over."""
    waiting: dict[int, list[int]] = {}
    rows: list[int] = []
    for index in order:
        row = waiting.setdefault(groups[index], [])
        row.append(index)
        if len(row) == multiple:
            rows += row
            row.clear()
    return [*rows, *(index for group in sorted(waiting) for index in waiting[group])]


def _groups(split: Split) -> list[int]:
    """1 of an image that is wider than high, 0 of another."""
    if not isinstance(split, SizedSplit):
        raise RecipeError(
            "trainer.group_shapes=true: the sizes of these images are not known before they are read, as those of "
            "files are. The fix: leave it out."
        )
    return [int(width > height) for height, width in split.sizes()]


class Collate:
    """(image, target, index) of each image to a batch, in a worker. `images`: tells their names."""

    def __init__(self, processor: ImageProcessor, images: Any, *, with_originals: bool) -> None:
        self.processor = processor
        self.images = images
        self.with_originals = with_originals

    def __call__(self, samples: Sequence[tuple[Any, Any, int]]) -> dict[str, Any]:
        images, targets = [sample[0] for sample in samples], [sample[1] for sample in samples]
        indices = [int(sample[2]) for sample in samples]
        names = [self.images.name(index) for index in indices]
        try:
            batch, geometries = self.processor.prepare(images, targets)
        except ContractError as error:
            raise ContractError(f"images {', '.join(names)}: {error}") from error
        batch = {**batch, "indices": indices, "names": names}
        return {**batch, "originals": Originals(geometries, targets)} if self.with_originals else batch


class _Indexed(torch.utils.data.Dataset):
    """A split without augmentation as (image, target, index)."""

    def __init__(self, split: Split) -> None:
        self._split = split

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> tuple[Any, Any, int]:
        return *self._split[index], index

    def name(self, index: int) -> str:
        return self._split.name(index)

    def set_epoch(self, epoch: int) -> None:
        """Every epoch has the same images."""
