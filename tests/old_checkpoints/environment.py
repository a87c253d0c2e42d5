"""Older releases of transformers, each in a folder that stands before the project's packages on Python's path.

torch, timm and everything else is shared with the project. The release in use needs no folder.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

CACHE = Path("build/old_checkpoints")  # git ignores build/
# requests and what it imports: huggingface_hub before 1.0 needs it, and nothing else here does.
REQUESTS = ("requests", "urllib3", "charset_normalizer", "certifi", "idna")


@dataclass(frozen=True)
class Release:
    """`pins`: what pip installs into the folder of this release, without dependencies; none for the release in use."""

    label: str
    pins: tuple[str, ...]

    @property
    def packages(self) -> Path:
        return CACHE / f"transformers-{self.label}"

    def install(self) -> None:
        """Once: a folder that holds this release already is left alone."""
        complete = self.packages / ".complete"
        if not self.pins or complete.exists():
            return
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"]
        subprocess.run([*command, "--target", str(self.packages), *self.pins], check=True)
        complete.touch()

    def run(self, module: str, *words: str) -> None:
        """`python -m module words` under this release."""
        path = str(self.packages.resolve()) if self.pins else ""
        environment = {**os.environ, "PYTHONPATH": path, "HF_HUB_OFFLINE": "1"}
        subprocess.run([sys.executable, "-m", module, *words], check=True, env=environment)


# 4.44: the last one before RT-DETR v2 and ViTPose, and before DINOv2 was corrected. 4.57: the last one before 5.0.
RELEASES = (
    Release("4.44", ("transformers==4.44.2", "tokenizers==0.19.1", "huggingface_hub<1", *REQUESTS)),
    Release("4.57", ("transformers==4.57.6", "tokenizers==0.22.1", "huggingface_hub<1", *REQUESTS)),
    Release(".".join(version("transformers").split(".")[:2]), ()),
)
