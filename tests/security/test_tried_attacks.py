"""Every attack of the tables in `tried/`: one of our errors, or the right thing, soon and in little memory.

Each table runs in a process of its own, whose imports are not measured.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("accepted", "RecipeError", "ContractError", "WeightsError", "StorageError", "UnreachableError")
MAX_MESSAGE = 4_000
MAX_GROWTH = 300e6  # bytes
# Seconds of the processor's time. Recipes are checked before torch is imported.
SECONDS = {
    "recipes": 1.0,
    "weights": 2.0,
    "configs": 2.0,
    "architectures": 2.5,
}  # 1.9 of them may go by before the budget ends it


TABLES = [pytest.param(table, marks=pytest.mark.slow if table == "architectures" else ()) for table in SECONDS]


@pytest.mark.parametrize("table", TABLES)
def test_tried_attacks(table: str, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "tests.security.tried.harness", table, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    results = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [
        result
        for result in results
        if result["outcome"] not in OURS
        or result["length"] > MAX_MESSAGE
        or result["seconds"] > SECONDS[table]
        or result["grown"] > MAX_GROWTH
    ]
    assert not wrong, "\n".join(map(str, wrong))
    assert len(results) > 40
