"""The features of a folder in every kind of file; a killed run goes on; what is broken is listed."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open

import backbonekit as bk
from backbonekit.cli import features as verb
from backbonekit.cli.start import published_overrides
from backbonekit.cli.verbs import run_verb
from backbonekit.errors import ContractError, RecipeError, StorageError
from backbonekit.image_processing.image_paths import find_images
from backbonekit.inference import feature_rows, features
from backbonekit.inference.features import features_of_files

SIZES = [(40, 56), (64, 30), (40, 56), (33, 47), (64, 30)]
KEEP_SIZE = ["processing.size=null", "processing.shortest_edge=null", "processing.crop=null"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    generator = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        pixels = generator.integers(0, 255, (*size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    (folder / "2b.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def model():
    return bk.build_model({}, ["backbone=timm/test_resnet", "backbone.out_indices=[3,4]", *KEEP_SIZE])


@pytest.fixture(scope="module")
def expected(model, folder) -> torch.Tensor:
    return model.embed([folder / f"{number}.png" for number in range(len(SIZES))])


def read(path: Path) -> tuple[list[str], dict[str, torch.Tensor]]:
    if path.suffix == ".npz":
        with np.load(path) as content:
            arrays = {name: torch.from_numpy(content[name]) for name in content.files if name != "file"}
            return list(content["file"]), arrays
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["files"]), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(path).to_pydict()
    return table.pop("file"), {name: torch.tensor(values) for name, values in table.items()}


NAMES = [f"{number}.png" for number in range(len(SIZES))]


@pytest.mark.parametrize("suffix", [".parquet", ".npz", ".safetensors"])
def test_rows_are_those_of_embed(model, folder, expected, suffix, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_ROWS_IN_A_PART", 2)
    done = []
    report = features_of_files(
        model, find_images(folder), tmp_path / f"f{suffix}", batch_size=2, workers=2, counted=done.append
    )
    assert (report.rows, report.resumed, sum(done)) == (5, 0, 6)
    assert [name for name, _ in report.failed] == ["2b.png"]
    names, columns = read(tmp_path / f"f{suffix}")
    assert names == NAMES
    assert list(columns) == [f"features.{level.name}" for level in model.features.levels]
    torch.testing.assert_close(torch.cat(list(columns.values()), dim=1), expected)
    assert [path.name for path in tmp_path.iterdir()] == [f"f{suffix}"]


@pytest.mark.parametrize(("suffix", "dtype"), [(".npz", "float16"), (".safetensors", "bfloat16")])
def test_types_of_numbers(model, folder, expected, suffix, dtype, tmp_path):
    features_of_files(model, find_images(folder), tmp_path / f"f{suffix}", dtype=dtype)
    _, columns = read(tmp_path / f"f{suffix}")
    given = torch.cat(list(columns.values()), dim=1)
    assert given.dtype == getattr(torch, dtype)
    torch.testing.assert_close(given, expected.to(given.dtype))


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_whole_maps(model, folder, suffix, tmp_path):
    features_of_files(model, find_images(folder), tmp_path / f"f{suffix}", pool="none")
    names, columns = read(tmp_path / f"f{suffix}")
    assert names == NAMES
    assert len(columns) == 2 * len(NAMES)
    for name in NAMES:
        (maps,) = model.embed(folder / name, pool="none")
        for level, feature_map in zip(model.features.levels, maps.maps, strict=True):
            torch.testing.assert_close(columns[f"{name}/features.{level.name}"], feature_map)


def test_whole_maps_and_class_tokens_in_parquet(folder, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    config = {"model_type": "dinov2", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2}
    size = ["processing.size=[28,42]", *KEEP_SIZE[1:]]
    model = bk.build_model({"backbone": {"source": "hf", "config": config}}, size)
    features_of_files(model, find_images(folder), tmp_path / "f.parquet", pool="none")
    (maps,) = model.embed(folder / "3.png", pool="none")
    row = {name: values[3] for name, values in parquet.read_table(tmp_path / "f.parquet").to_pydict().items()}
    assert row["file"] == "3.png"
    assert row["features.shape"] == [8, 2, 3]
    torch.testing.assert_close(torch.tensor(row["features"]).reshape(8, 2, 3), maps.maps[0])
    tokens = torch.tensor(row["features.prefix_tokens"]).reshape(row["features.prefix_tokens.shape"])
    torch.testing.assert_close(tokens, maps.prefix_tokens[0])


def test_a_killed_run_goes_on(model, folder, expected, tmp_path, monkeypatch):
    monkeypatch.setattr(features, "_ROWS_IN_A_PART", 2)
    images, output = find_images(folder), tmp_path / "f.npz"
    prepared = feature_rows.prepared_images
    started = []

    def killed_in_the_second_part(processor, files, workers):
        started.append([file.name for file in files])
        if len(started) == 2:
            raise KeyboardInterrupt
        return prepared(processor, files, workers)

    monkeypatch.setattr(feature_rows, "prepared_images", killed_in_the_second_part)
    with pytest.raises(KeyboardInterrupt):
        features_of_files(model, images, output)
    assert not output.exists()
    with pytest.raises(StorageError, match=r"another pool, so it cannot go on.*overwrite=true"):
        features_of_files(model, images, output, pool="max")
    with pytest.raises(StorageError, match="another images, so"):
        features_of_files(model, images[1:], output)
    report = features_of_files(model, images, output)
    assert (report.rows, report.resumed) == (5, 2)
    assert started == [["0.png", "1.png"], ["2.png", "2b.png"], ["2.png", "2b.png"], ["3.png", "4.png"]]
    names, columns = read(output)
    assert names == NAMES
    torch.testing.assert_close(torch.cat(list(columns.values()), dim=1), expected)
    with pytest.raises(StorageError, match="is there already"):
        features_of_files(model, images, output)
    assert features_of_files(model, images[:1], output, overwrite=True).rows == 1


def test_images_that_the_architecture_cannot_take_are_listed(folder, tmp_path):
    model = bk.build_model({}, ["backbone=timm/test_resnet", "processing.canvas=[40,56]", *KEEP_SIZE])
    report = features_of_files(model, find_images(folder), tmp_path / "f.npz")
    assert [name for name, _ in report.failed] == ["1.png", "2b.png", "4.png"]
    assert report.rows == 3


def test_nothing_is_written_where_nothing_can_be_read(model, folder, tmp_path):
    report = features_of_files(model, [folder / "2b.png"], tmp_path / "f.npz")
    assert (report.rows, len(report.failed)) == (0, 1)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_written_raises(model, folder, tmp_path):
    with pytest.raises(RecipeError, match=r"ends in \.parquet"):
        features_of_files(model, find_images(folder), tmp_path / "f.csv")
    with pytest.raises(RecipeError, match=r"bfloat16: \.npz has no such type"):
        features_of_files(model, find_images(folder), tmp_path / "f.npz", dtype="bfloat16")
    with pytest.raises(ContractError, match="no class token"):
        features_of_files(model, find_images(folder), tmp_path / "f.npz", pool="cls")
    (tmp_path / "in_the_way").write_text("a file")
    with pytest.raises(StorageError, match="cannot be written"):
        features_of_files(model, find_images(folder), tmp_path / "in_the_way" / "f.npz")


def test_the_verb(folder, tmp_path, capsys):
    words = ["backbone=timm/test_resnet", "backbone.pretrained=false", f"image={folder}"]
    assert run_verb("features", [*words, f"output={tmp_path}/f.npz", "batch_size=2"]) == 1
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path}/f.npz: 5 rows\n"
    assert "6 images in " in shown.err
    assert " images/s" in shown.err
    assert "1 of 6 images could not be used:" in shown.err
    assert "2b.png: not an image" in shown.err
    names, columns = read(tmp_path / "f.npz")
    assert names == NAMES
    assert list(columns) == ["features"]
    assert run_verb("features", [*words, f"output={tmp_path}/f.npz"]) == 2
    assert "is there already" in capsys.readouterr().err


def test_published_weights_and_the_architectures_norm_unless_said_otherwise():
    def overrides(*words: str) -> list[str]:
        return published_overrides(verb.parse_arguments(words, verb.KNOWN))

    norm, weights = "backbone.args.norm=embedding", "backbone.pretrained=true"
    assert overrides("backbone=timm/resnet18") == ["backbone=timm/resnet18", weights, norm]
    assert overrides("model=features_swin_tiny") == [weights, norm]
    given = ["backbone=dinov2_small", "backbone.pretrained=false", "backbone.args.norm=none"]
    assert overrides(*given) == given
    assert overrides("recipe=runs/m1") == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["backbone=resnet18"], ["no image", "no output"]),
        (["image=/none", "output=f.npz"], ["no model", "image=/none: no such file"]),
        (["pool=clas"], ["did you mean 'cls'"]),
        (["dtype=int8", "output=f.txt"], ["dtype=int8", "ends in .parquet"]),
        (["workers=0", "batch_size=many", "engine=spark"], ["workers=0", "batch_size=many", "engine=spark"]),
        (["engine=ray", "device=cuda"], ["device= is of one machine"]),
    ],
)
def test_mistakes_are_told_together(words, says, capsys):
    assert run_verb("features", words) == 2
    told = capsys.readouterr().err
    assert all(message in told for message in says), told
