"""`python -m benchmarks [NAME ...]`: all benchmarks, or those named."""

import sys
from importlib import import_module

import torch

from benchmarks.measure import report

NAMES = (
    "build_command",
    "build_in_process",
    "forward",
    "first_stage",
    "training_step",
    "families",
    "whole_models",
    "frozen_norms",
    "features",
    "predict_folder",
    "big_images",
    "opening",
    "epoch",
)


def main() -> int:
    names = sys.argv[1:] or NAMES
    unknown = [name for name in names if name not in NAMES]
    if unknown:
        print(f"no benchmark {unknown[0]!r}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    rows = []
    for name in names:
        print(f"running {name} ...", file=sys.stderr, flush=True)
        rows += import_module(f"benchmarks.{name}").run()
    import timm
    import transformers

    print(f"torch {torch.__version__}, timm {timm.__version__}, transformers {transformers.__version__}, ", end="")
    print(f"{torch.get_num_threads()} threads, {'cuda' if torch.cuda.is_available() else 'cpu'}\n")
    print(report(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
