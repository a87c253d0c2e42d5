"""`make old-checkpoints`: installs, saves, opens, compares, writes docs/old_checkpoints.md."""

import sys
import warnings
from pathlib import Path

from tests.old_checkpoints.compare import Result, compare_all
from tests.old_checkpoints.environment import CACHE, RELEASES
from tests.old_checkpoints.page import page, unexplained

PAGE = Path("docs/old_checkpoints.md")


def main() -> int:
    warnings.simplefilter("ignore")
    results: list[Result] = []
    for release in RELEASES:
        print(f"transformers {release.label}", flush=True)
        release.install()
        saved = CACHE / f"saved-{release.label}"
        release.run("tests.old_checkpoints.save", str(saved))
        results += compare_all(saved)
    text = page(results)
    print(text)
    PAGE.write_text(text, encoding="utf-8")
    faults = unexplained(results)
    print("\n".join(["without a known reason:", *faults]) if faults else "everything is as known.")
    return bool(faults)


if __name__ == "__main__":
    sys.exit(main())
