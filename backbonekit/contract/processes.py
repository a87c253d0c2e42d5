"""Which of several training processes this one is. No torch here."""

import os


def is_first_process() -> bool:
    """Whether this is the one of several training processes that writes and prints. Before Lightning has started, the
    variables of its launcher, of torchrun and of SLURM tell."""
    for name in ("RANK", "SLURM_PROCID"):
        if os.environ.get(name, "").isdecimal():
            return int(os.environ[name]) == 0
    return all(os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK"))
