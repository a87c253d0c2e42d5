"""Prints the golden slice of a concrete part test: `python -m tests.golden tests.necks.test_fpn.TestFPN`."""

import sys
from importlib import import_module

if __name__ == "__main__":
    module, _, name = sys.argv[1].rpartition(".")
    tester = getattr(import_module(module), name)()
    print("golden = (" + ", ".join(f"{number:.6f}" for number in tester.golden_slice()) + ")")
