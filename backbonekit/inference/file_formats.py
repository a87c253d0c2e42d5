"""The files that features go into, by name. No torch here."""

from importlib.util import find_spec
from pathlib import Path

from backbonekit.errors import nearest

SUFFIXES = (".parquet", ".npz", ".safetensors")
DTYPES = ("float32", "float16", "bfloat16")


def file_faults(output: str, dtype: str) -> list[str]:
    """What is wrong with an output file and the type of its numbers, before anything is read."""
    suffix = Path(output).suffix.lower()
    faults = []
    if suffix not in SUFFIXES:
        faults.append(f"output={output}: features go into a file that ends in {', '.join(SUFFIXES)}.")
    if dtype not in DTYPES:
        faults.append(f"dtype={dtype}: no type is called so; {nearest(dtype, DTYPES)}")
    elif dtype == "bfloat16" and suffix in SUFFIXES and suffix != ".safetensors":
        faults.append(f"dtype=bfloat16: {suffix} has no such type. The fix: float16, or output=FILE.safetensors.")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        faults.append(
            "Parquet files are written by pyarrow. The fix: pip install 'backbonekit[features]', or output=FILE.npz."
        )
    return faults
