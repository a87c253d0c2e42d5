"""Random numbers of a step that its seed and its position decide, so that a resumed training draws the same."""

import random
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback


class Reseeding(Callback):
    """Seeds every random generator before each batch, by the seed, the epoch, the batch and the process. Dropout and
    whatever else a step draws then does not depend on what was drawn before, and no state has to be saved."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        text = f"{self.seed} {trainer.current_epoch} {batch_idx} {trainer.global_rank}".encode()
        number = int.from_bytes(blake2b(text, digest_size=4).digest(), "big")
        torch.manual_seed(number)
        random.seed(number)
        np.random.seed(number)
