"""`backbonekit convert FILE DIR`: a pickled checkpoint, written again as safetensors."""

import json
from collections.abc import Sequence

from backbonekit.cli.text import printable
from backbonekit.cli.values import without_format
from backbonekit.contract.plain_text import count
from backbonekit.contract.progress import waiting
from backbonekit.errors import RecipeError
from backbonekit.weights.untrusted_files import read_regular, user_path

USAGE = """usage: backbonekit convert FILE DIR [format=json]

examples:
  backbonekit convert downloads/pytorch_model.bin converted
  backbonekit convert runs/last.ckpt converted

FILE: a .bin, .pth, .pt or .ckpt that you trust, or a folder with one (transformers' pytorch_model.bin, sharded or not).
Only tensors are read; a file that holds anything else is refused. From a training checkpoint with averaged (EMA)
weights, those are taken. Prefixes that wrappers add to names (module., _orig_mod., Lightning's) are removed.
DIR: where to write model.safetensors; config.json and preprocessor_config.json from beside FILE are copied there.
Then use it: backbone.pretrained=DIR, or recipe=DIR.
"""
_COMPANIONS = ("config.json", "preprocessor_config.json")


def main(words: Sequence[str]) -> int:
    if "-h" in words or "--help" in words:
        print(USAGE)
        return 0
    words, is_json = without_format(words)
    if len(words) != 2:
        raise RecipeError(f"convert takes a file and a folder; {len(words)} words were given. {USAGE.splitlines()[0]}")
    file, folder = user_path(words[0]), user_path(words[1])
    from backbonekit.hub.saved_model import is_weights
    from backbonekit.weights.checkpoint import WEIGHTS
    from backbonekit.weights.pickled import read_pickled
    from backbonekit.weights.write_folder import replacing
    from backbonekit.weights.write_tensors import save_tensors

    with waiting("reading"):
        pickled = read_pickled(file)
    tensors = pickled.tensors
    beside = pickled.files[0].parent
    with waiting("writing"), replacing(folder, stale=is_weights, last=WEIGHTS) as new:
        save_tensors(new, tensors)
        for name in _COMPANIONS:
            if (beside / name).is_file():
                (new / name).write_bytes(read_regular(beside / name))
    numbers = sum(tensor.numel() for tensor in tensors.values())
    if is_json:
        found = {"tensors": len(tensors), "numbers": numbers, "folder": str(folder), "left": list(pickled.left)}
        print(json.dumps({**found, "taken_from": list(pickled.key_path), "stripped": pickled.stripped}))
        return 0
    print(printable(f"{len(tensors)} tensors, {count(numbers)} numbers, written to {folder}"))
    if pickled.key_path:
        print(printable(f"taken from {' / '.join(pickled.key_path)} in {pickled.files[0].name}"))
    if pickled.stripped:
        print(printable(f"prefix {pickled.stripped!r} removed from {len(tensors) - len(pickled.left)} names"))
    if pickled.left:
        shown = ", ".join(pickled.left[:5]) + (", ..." if len(pickled.left) > 5 else "")
        print(printable(f"{len(pickled.left)} names without it are left as they are: {shown}"))
    return 0
