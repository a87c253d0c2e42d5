"""Every experiment that ships composes, and the page of numbers says what its file has."""

from pathlib import Path

import pytest

from backbonekit.recipe.compose import compose_recipe, model_names
from backbonekit.recipe.experiment_compose import compose_experiment, experiment_from_mapping, experiment_names

PAGE = Path(__file__).parents[2] / "docs" / "training_numbers.md"
OF_PAPERS = [name for name in experiment_names() if not name.startswith("digits")]
PATHS = ["data.root=images", "data.train=train", "data.val=val"]


@pytest.mark.parametrize("name", experiment_names())
def test_it_composes(name):
    overrides = PATHS if name in OF_PAPERS else []
    found = compose_experiment(name, overrides)
    assert found.classes_from_data == (found.data["name"] != "depth_maps")
    assert found.notes == ()
    assert experiment_from_mapping(found.to_dict()).to_dict() == found.to_dict()


@pytest.mark.parametrize("name", OF_PAPERS)
def test_an_experiment_of_a_paper_is_of_the_recipe_of_its_name(name):
    assert name in model_names()
    found = compose_experiment(name, PATHS)
    assert found.model.backbone == compose_recipe(name).backbone
    assert found.augmentation == "paper"


def expected_row(name):
    found = compose_experiment(name, PATHS)
    optimisation, trainer = found.optimisation, found.trainer
    rate = f"{optimisation.lr:g}"
    if optimisation.backbone_scale != 1:
        rate += f", backbone x{optimisation.backbone_scale:g}"
    if optimisation.layer_decay is not None:
        rate += f", layers x{optimisation.layer_decay:g}"
    schedule = optimisation.schedule
    if schedule == "step":
        schedule += " " + ", ".join(map(str, optimisation.milestones))
    if schedule == "poly":
        schedule += f" {optimisation.power}"
    length = f"{trainer.max_epochs} epochs" if trainer.max_steps is None else f"{trainer.max_steps:,} steps"
    return [
        f"`{name}`",
        optimisation.optimiser,
        rate,
        f"{optimisation.weight_decay:g}",
        schedule,
        f"{optimisation.warmup_steps:,}" if optimisation.warmup_steps else "",
        "" if optimisation.clip_norm is None else f"{optimisation.clip_norm:g}",
        f"{optimisation.batch_size:,}",
        length,
        "" if optimisation.ema_decay is None else f"{optimisation.ema_decay:g}",
    ]


def test_the_page_of_numbers_is_what_the_files_say():
    rows = [line.strip("| ").split("|") for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert [row[:-1] for row in cells] == [expected_row(name) for name in OF_PAPERS]
    assert all(row[-1] for row in cells)  # a source
