"""`backbonekit features`: a folder of images in, one row of features an image out."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backbonekit.cli.arguments import Arguments, help_text, import_parts, parse_arguments
from backbonekit.cli.engines import engine_faults
from backbonekit.cli.images import image_faults, images_of, report_failed
from backbonekit.cli.messages import note, status
from backbonekit.cli.start import published_overrides, start_faults, start_model
from backbonekit.cli.text import printable
from backbonekit.contract.pooling import POOLS
from backbonekit.contract.progress import bar
from backbonekit.errors import RecipeError, StorageError, nearest
from backbonekit.inference.file_formats import file_faults

if TYPE_CHECKING:
    from backbonekit.inference.features import FeatureReport

KNOWN = (
    *("recipe", "weights", "revision", "image", "output", "overwrite"),
    *("pool", "dtype", "batch_size", "workers", "engine", "format", "device", "seed"),
)
USAGE = """usage: backbonekit features backbone=NAME image=FOLDER output=FILE [key=value ...]

examples:
  backbonekit features backbone=facebook/dinov2-small image=photos pool=cls output=features.parquet
  backbonekit features backbone=timm/convnext_tiny.fb_in1k image=photos output=f.safetensors dtype=float16
  backbonekit features backbone=resnet50 'backbone.out_indices=[2,3]' image=photos output=f.npz
  backbonekit features recipe=runs/m1 image=photos pool=none output=maps.safetensors

Writes one row an image. A backbone has its published weights unless backbone.pretrained says otherwise, and its last
map the norm of its architecture unless backbone.args.norm does. A run that was interrupted goes on where it stopped
when it is started again. Any key of the recipe can be set, as in `build`. Other arguments:
"""
FLAGS = """
  --config-dir DIR  a folder of your own recipes; they win over shipped ones of the same name
  --import MODULE   load a module that registers parts of your own
  -q, --quiet       no notes and no progress: results and errors alone
"""


def main(words: Sequence[str]) -> int:
    arguments = parse_arguments(words, KNOWN)
    if arguments.help:
        print(help_text(USAGE, KNOWN, FLAGS), end="")
        return 0
    _check(arguments)
    import_parts(arguments.imports)
    literals = arguments.literals
    images, output = images_of(literals["image"]), Path(literals["output"])
    if output.exists() and literals.get("overwrite") != "true":
        raise StorageError(f"output={output}: is there already. The fix: another path, or overwrite=true.")
    model = start_model(arguments, published_overrides(arguments))
    since = time.perf_counter()
    report = _run(model, images, output, literals)
    _say(report, len(images), output, time.perf_counter() - since, literals)
    return report_failed([message for _, message in report.failed], len(images))


def _run(model: Any, images: list[Path], output: Path, literals: dict[str, str]) -> "FeatureReport":
    from backbonekit.inference.features import features_of_files

    workers = literals.get("workers")
    with bar(len(images), unit="images") as progress:
        return features_of_files(
            model,
            images,
            output,
            pool=literals.get("pool", "mean"),
            dtype=literals.get("dtype", "float32"),
            batch_size=int(literals.get("batch_size", "32")),
            workers=None if workers is None else int(workers),
            overwrite=literals.get("overwrite") == "true",
            engine=literals.get("engine", "local"),  # type: ignore[arg-type] - checked
            counted=progress.update,
        )


def _say(report: "FeatureReport", total: int, output: Path, seconds: float, literals: dict[str, str]) -> None:
    if report.resumed:
        note(f"an earlier run had done {report.resumed:,} of the images.")
    done = total - report.resumed
    status(f"{done:,} images in {seconds:.1f} s, {done / max(seconds, 1e-9):.1f} images/s")
    if literals.get("format") == "json":
        said = {"output": str(output), "rows": report.rows, "images": total, "resumed": report.resumed}
        failed = [message for _, message in report.failed]
        print(json.dumps({**said, "seconds": round(seconds, 3), "failed": failed}))
    elif report.rows:
        print(printable(f"{output}: {report.rows:,} rows"))


def _check(arguments: Arguments) -> None:
    """Raises RecipeError with every fault that shows before torch is imported."""
    literals = arguments.literals
    faults = start_faults(arguments, verb="features", does="runs one model")
    faults += image_faults(literals.get("image"))
    if literals.get("pool", "mean") not in POOLS:
        faults.append(f"pool={literals['pool']}: no pooling is called so; {nearest(literals['pool'], POOLS)}")
    faults += engine_faults(literals)
    if not literals.get("output"):
        faults.append("no output: give output=FILE.parquet, .npz or .safetensors.")
    else:
        faults += file_faults(literals["output"], literals.get("dtype", "float32"))
    if faults:
        raise RecipeError(faults)
