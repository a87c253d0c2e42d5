"""`backbonekit convert FILE DIR`: a pickled checkpoint, written again as safetensors."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from backbonekit.cli.table import count
from backbonekit.cli.verbs import printable
from backbonekit.errors import RecipeError

USAGE = """usage: backbonekit convert FILE DIR

FILE: a .bin, .pth, .pt or .ckpt that you trust, or a folder with one (transformers' pytorch_model.bin, sharded or not).
Only tensors are read; a file that holds anything else is refused. Of a training's checkpoint the averaged weights are
taken where it has them. Prefixes that wrappers put before names (module., _orig_mod.; Lightning's own) are taken off.
DIR: where model.safetensors goes, with the config.json and preprocessor_config.json that lie beside FILE.
Then: backbone.pretrained=DIR, or recipe=DIR.
"""
_COMPANIONS = ("config.json", "preprocessor_config.json")


def main(words: Sequence[str]) -> int:
    if "-h" in words or "--help" in words:
        print(USAGE)
        return 0
    if len(words) != 2:
        raise RecipeError(f"convert takes a file and a folder; {len(words)} words were given. {USAGE.splitlines()[0]}")
    file, folder = Path(words[0]).expanduser(), Path(words[1]).expanduser()
    from backbonekit.hub.saved_model import is_weights
    from backbonekit.weights.checkpoint import WEIGHTS
    from backbonekit.weights.pickled import read_pickled
    from backbonekit.weights.write_folder import replacing
    from backbonekit.weights.write_tensors import save_tensors

    pickled = read_pickled(file)
    tensors = pickled.tensors
    beside = pickled.files[0].parent
    with replacing(folder, stale=is_weights, last=WEIGHTS) as new:
        save_tensors(new, tensors)
        for name in _COMPANIONS:
            if (beside / name).is_file():
                shutil.copyfile(beside / name, new / name)
    numbers = sum(tensor.numel() for tensor in tensors.values())
    print(printable(f"{len(tensors)} tensors, {count(numbers)} numbers, written to {folder}"))
    if pickled.key_path:
        print(printable(f"taken from {' / '.join(pickled.key_path)} in {pickled.files[0].name}"))
    if pickled.stripped:
        print(printable(f"names without the {pickled.stripped!r} that all of them began with"))
    return 0
