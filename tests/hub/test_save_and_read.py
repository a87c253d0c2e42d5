"""A saved model comes back as it was; a damaged or exchanged one is refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from backbonekit.contract.processing import Processing
from backbonekit.errors import RecipeError, StorageError, WeightsError
from backbonekit.hub.saved_model import read_folder, read_recipe, save_model

RECIPE = "schema_version: 1\nbackbone: {source: timm, name: resnet18}\n"
PROCESSING = Processing(shortest_edge=30, longest_edge=50, size_divisor=32)


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {f"layer.{number}": torch.randn(10, generator=generator) for number in range(5)}


def save(folder: Path, **options: object) -> Path:
    given = {"recipe_yaml": RECIPE, "state_dict": tensors(), "processing": PROCESSING, "card": "# A model", **options}
    return save_model(folder, **given)  # type: ignore[arg-type]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("limit", [10**9, 80])
def test_a_round_trip(tmp_path: Path, limit: int):
    model = read_folder(save(tmp_path / "m1", max_shard_bytes=limit))
    assert model.recipe == {"schema_version": 1, "backbone": {"source": "timm", "name": "resnet18"}}
    assert model.processing == PROCESSING
    assert model.checkpoint is not None
    assert set(model.checkpoint.keys()) == set(tensors())
    assert all(torch.equal(model.checkpoint.tensor(name), tensor) for name, tensor in tensors().items())
    assert model.manifest is not None
    assert set(model.manifest.versions) == {"backbonekit", "torch", "timm"}
    assert len(model.manifest.weights) == (1 if limit > 80 else 3)


@pytest.mark.parametrize("limit", [10**9, 80])
def test_saved_twice_has_the_same_bytes(tmp_path: Path, limit: int):
    first, second = save(tmp_path / "m1", max_shard_bytes=limit), save(tmp_path / "m2", max_shard_bytes=limit)
    assert contents(first) == contents(second)


def test_a_model_replaces_an_older_one_in_its_folder(tmp_path: Path):
    folder = save(tmp_path / "m1", max_shard_bytes=80)
    (folder / "events.log").write_text("mine")
    save(folder)
    assert set(contents(folder)) == {
        "README.md",
        "events.log",
        "model.safetensors",
        "preprocessor_config.json",
        "recipe.yaml",
    }
    read_folder(folder)


def test_a_failed_save_leaves_the_old_model(tmp_path: Path):
    folder = save(tmp_path / "m1")
    before = contents(folder)
    with pytest.raises(WeightsError, match=r"no values to save"):
        save(folder, state_dict={"a": torch.zeros(1, device="meta")})
    assert contents(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["m1"]


def test_a_saved_model_can_be_saved_over_itself(tmp_path: Path):
    """Its tensors are still mapped from the file that is replaced."""
    folder = save(tmp_path / "m1")
    checkpoint = read_folder(folder).checkpoint
    assert checkpoint is not None
    save(folder, state_dict={name: checkpoint.tensor(name) for name in reversed(checkpoint.keys())})
    again = read_folder(folder).checkpoint
    assert again is not None
    assert all(torch.equal(again.tensor(name), tensor) for name, tensor in tensors().items())


KILLED = """
import sys
from pathlib import Path
import torch
from backbonekit.hub.saved_model import read_folder
from tests.hub.test_save_and_read import save, tensors
from tests.weights.killed_saves import folders_after_a_kill

torch.set_num_threads(1)
new = {name: tensor + 1 for name, tensor in tensors().items()}

def same(checkpoint, expected):
    return set(checkpoint.keys()) == set(expected) and all(
        torch.equal(checkpoint.tensor(name), tensor) for name, tensor in expected.items()
    )

outcomes = []
for folder in folders_after_a_kill(Path(sys.argv[1]), lambda folder: save(folder, state_dict=new)):
    model = read_folder(folder)
    assert same(model.checkpoint, tensors()) or same(model.checkpoint, new)
    outcomes.append("new" if same(model.checkpoint, new) else "old")
    assert (folder / "events.log").read_text() == "mine"
assert outcomes == sorted(outcomes, reverse=True), outcomes
print(outcomes.count("old"), outcomes.count("new"))
"""


def test_a_save_that_is_killed_at_any_file_operation_leaves_the_old_or_the_new_model(tmp_path: Path):
    """The old one in three shards, the new one in one file."""
    folder = save(tmp_path / "m1", max_shard_bytes=80)
    (folder / "events.log").write_text("mine")
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder)], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert min(map(int, done.stdout.split())) > 10


def flip_last_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def test_a_flipped_bit_is_refused(tmp_path: Path):
    folder = save(tmp_path / "m1")
    flip_last_bit(folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"model.safetensors is damaged or was exchanged: .* Download it again"):
        read_folder(folder)
    beside = read_folder(folder, beside=True)
    assert beside.checkpoint is not None
    with pytest.raises(WeightsError, match="damaged or was exchanged"):
        beside.verification.finish()


def test_an_exchanged_file_is_reported_before_what_it_caused(tmp_path: Path):
    folder = save(tmp_path / "m1")
    flip_last_bit(folder / "model.safetensors")
    verification = read_folder(folder, beside=True).verification
    with pytest.raises(WeightsError, match="damaged or was exchanged"), verification.first():
        raise ValueError("what the exchanged file did")


def test_every_shard_is_compared(tmp_path: Path):
    folder = save(tmp_path / "m1", max_shard_bytes=80)
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    flip_last_bit(shards[-1])
    with pytest.raises(WeightsError, match=f"{shards[-1].name} is damaged"):
        read_folder(folder)


def test_weights_of_another_model_are_refused(tmp_path: Path):
    folder = save(tmp_path / "m1", max_shard_bytes=80)
    save_file({"a": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"the recipe does not list the weights 'model.safetensors'"):
        read_folder(folder)


def test_missing_weights_are_refused(tmp_path: Path):
    folder = save(tmp_path / "m1")
    (folder / "model.safetensors").unlink()
    with pytest.raises(StorageError, match=r"has no file 'model.safetensors'"):
        read_folder(folder)


def test_a_recipe_written_by_hand_has_no_manifest(tmp_path: Path):
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    model = read_folder(tmp_path)
    assert (model.checkpoint, model.processing, model.manifest) == (None, None, None)
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors")
    model = read_folder(tmp_path)
    assert model.checkpoint is not None
    assert model.checkpoint.keys() == ("a",)


@pytest.mark.parametrize(
    "block",
    [
        "packed: 5",
        "packed: {weights: [a]}",
        "packed: {weights: {}, endpoint: http://x}",
        "packed: {weights: {../x.safetensors: " + "0" * 64 + "}}",
        "packed: {weights: {model.bin: " + "0" * 64 + "}}",
        "packed: {weights: {model.safetensors: abc}}",
        "packed: {torch: 2.1, weights: {}}",
        'packed: {torch: "\\e[31m", weights: {}}',
    ],
)
def test_a_malformed_manifest_is_refused(tmp_path: Path, block: str):
    (tmp_path / "recipe.yaml").write_text(RECIPE + block + "\n")
    with pytest.raises(StorageError, match=r"recipe\.yaml: packed"):
        read_recipe(tmp_path / "recipe.yaml")


def test_an_unreadable_recipe_or_processing_is_refused(tmp_path: Path):
    folder = save(tmp_path / "m1")
    (folder / "preprocessor_config.json").write_text('{"size": -1}')
    with pytest.raises(StorageError, match=r"preprocessor_config.json has size"):
        read_folder(folder)
    (folder / "recipe.yaml").write_text("a: &a [*a]")
    with pytest.raises(RecipeError, match=r"anchors"):
        read_folder(folder)


def test_the_processing_file_is_transformers_own(tmp_path: Path):
    fields = json.loads((save(tmp_path / "m1") / "preprocessor_config.json").read_text())
    assert fields["image_processor_type"] == "MaskFormerImageProcessor"
    assert fields["size"] == {"shortest_edge": 30, "longest_edge": 50}


@pytest.mark.parity
def test_transformers_opens_the_processing(tmp_path: Path):
    transformers = pytest.importorskip("transformers")
    processor = transformers.AutoImageProcessor.from_pretrained(save(tmp_path / "m1"), backend="pil")
    assert type(processor).__name__ == "MaskFormerImageProcessorPil"
    assert processor.size_divisor == 32
