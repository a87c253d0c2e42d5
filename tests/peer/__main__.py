"""`make peer-tests`: transformers' test mixins on our classes; with a folder, its backbone test files."""

import sys
import warnings
from pathlib import Path

from huggingface_hub.utils import disable_progress_bars

from tests.peer import source
from tests.peer.page import HEADER, page, unexplained
from tests.peer.run import by_files, by_mixins

PAGE = Path("docs/peer_tests.md")


def main(words: list[str]) -> int:
    import transformers

    warnings.simplefilter("ignore")
    disable_progress_bars()
    transformers.logging.set_verbosity_error()
    folder = Path(words[0]).expanduser().resolve() if words else source.published_tests()
    if not (folder / "test_backbone_common.py").is_file():
        print(f"{folder} has no test_backbone_common.py: give the folder `tests` of a checkout of transformers.")
        return 2
    source.install_requirements()
    source.mount(folder)
    outcomes = list(by_files(folder) if words else by_mixins())
    text = page(outcomes, transformers.__version__)
    print(text)
    faults = unexplained(outcomes)
    print("\n".join(["without a known reason:", *faults]) if faults else "everything that fails is known.")
    if words:
        return bool(faults)
    PAGE.write_text(HEADER + text, encoding="utf-8")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
