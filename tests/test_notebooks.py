"""The notebooks of docs/notebooks: jupytext reads them; their cells run in order, offline and in an empty folder."""

from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.md"))


def cells_of(notebook: Path) -> list[str]:
    jupytext = pytest.importorskip("jupytext")
    return [cell.source for cell in jupytext.read(notebook).cells if cell.cell_type == "code"]


def test_notebooks_were_found() -> None:
    assert [notebook.stem for notebook in NOTEBOOKS] == ["bands", "compose", "fine_tune", "what_a_backbone_sees"]
    assert all(len(cells_of(notebook)) >= 5 for notebook in NOTEBOOKS)


# Raised inside Lightning.
@pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning")
@pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("notebook", "least"),
    [("compose", None), ("fine_tune", ("box_AP50", 0.3)), ("bands", ("accuracy", 0.8)), ("what_a_backbone_sees", None)],
)
def test_cells_run(notebook: str, least: tuple[str, float] | None, tmp_path, monkeypatch) -> None:
    """`least`: a score that the notebook reaches, and what it is at least."""
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    (path,) = (path for path in NOTEBOOKS if path.stem == notebook)
    for cell in cells_of(path):
        exec(compile(cell, path.name, "exec"), names)
    if least is not None:
        name, bound = least
        reached = names["found"].scores.summary[name] if "found" in names else names[name]
        assert reached > bound
