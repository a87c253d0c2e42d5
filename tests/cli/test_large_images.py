"""`predict` with tile= and augment=: scenes in windows, class maps as GeoTIFF."""

import json
import sys

import numpy as np
import pytest
from PIL import Image
from small_models import SmallModel

from backbonekit.cli import predict
from backbonekit.cli.verbs import run_verb
from backbonekit.contract.processing import Processing
from backbonekit.errors import StorageError
from backbonekit.image_processing.pixels import to_pixels
from backbonekit.image_processing.reading import open_image
from backbonekit.image_processing.scenes import open_scene

tifffile = pytest.importorskip("tifffile")
NATIVE = Processing(size_divisor=8, mean=(0.0,) * 3, std=(1.0,) * 3)
# Scale, tie point and coordinate system (WGS 84 / UTM 32N) of a scene of 10 m a pixel.
GEO = [
    (33550, 12, 3, (10.0, 10.0, 0.0), True),
    (33922, 12, 6, (0.0, 0.0, 0.0, 500_000.0, 5_200_000.0, 0.0), True),
    (34735, 3, 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632), True),
]


def half(height: int = 200, width: int = 304) -> np.ndarray:
    image = np.zeros((height, width, 3), np.uint8)
    image[:, width // 2 :] = 255
    return image


@pytest.fixture
def model(monkeypatch):
    def use(kind: str) -> SmallModel:
        small = SmallModel(kind, NATIVE)
        monkeypatch.setattr(predict, "start_model", lambda *_: small)
        return small

    return use


@pytest.fixture
def scene(tmp_path):
    tifffile.imwrite(tmp_path / "scene.tif", half(), photometric="rgb", tile=(64, 64), extratags=GEO, metadata=None)
    return tmp_path / "scene.tif"


def test_a_class_map_has_the_scenes_size_and_georeference(model, scene, tmp_path, capsys):
    model("dense")
    words = ["recipe=o/r", f"image={scene}", "tile=96", "overlap=16", f"output={tmp_path}/classes.tif"]
    assert run_verb("predict", words) == 0
    shown = capsys.readouterr()
    assert shown.out == "scene.tif: bright 50%, dark 50%\n"
    assert shown.err == ""
    with tifffile.TiffFile(tmp_path / "classes.tif") as file:
        page = file.pages[0]
        pixels = page.asarray()
        assert {code: page.tags[code].value for code, *_ in GEO} == {code: value for code, _, _, value, _ in GEO}
        assert page.tags[42113].value == "255"
    assert (pixels.shape, pixels.dtype) == ((200, 304), np.uint8)
    assert not pixels[:, :148].any()
    assert pixels[:, 156:].all()


def test_rasterio_reads_what_was_written(model, scene, tmp_path):
    rasterio = pytest.importorskip("rasterio")
    model("dense")
    assert run_verb("predict", ["recipe=o/r", f"image={scene}", "tile=96", f"output={tmp_path}/classes.tif"]) == 0
    with rasterio.open(scene) as before, rasterio.open(tmp_path / "classes.tif") as after:
        assert after.crs == before.crs == rasterio.crs.CRS.from_epsg(32632)
        assert after.transform == before.transform
        assert after.nodata == 255


def test_depth_drawings_and_json(model, scene, tmp_path, capsys):
    model("depth").heads[0].scoring = "distance"
    assert run_verb("predict", ["recipe=o/r", f"image={scene}", "tile=96", f"output={tmp_path}/depth.tif"]) == 0
    assert tifffile.imread(tmp_path / "depth.tif").dtype == np.float32
    model("masks")
    words = ["recipe=o/r", f"image={scene}", "tile=96", "task=instance", f"results={tmp_path}/r.json"]
    assert run_verb("predict", [*words, f"output={tmp_path}/drawn.png"]) == 0
    assert open_image(tmp_path / "drawn.png").size == (304, 200)
    content = json.loads((tmp_path / "r.json").read_text())
    assert (content["images"][0]["height"], content["images"][0]["width"]) == (200, 304)
    capsys.readouterr()
    assert run_verb("predict", [*words, f"output={tmp_path}/things.tif"]) == 2
    assert "holds a class map or depth, and this is InstanceResult" in capsys.readouterr().err


def test_a_folder_goes_on_and_a_photograph_has_no_georeference(model, tmp_path, capsys):
    model("dense")
    (tmp_path / "in").mkdir()
    Image.fromarray(half()).save(tmp_path / "in" / "a.png")
    (tmp_path / "in" / "b.png").write_bytes(b"no")
    words = ["recipe=o/r", f"image={tmp_path}/in", "tile=96", "augment=[flip,0.5]"]
    assert run_verb("predict", [*words, f"output={tmp_path}/out"]) == 1
    shown = capsys.readouterr()
    assert shown.out == "a.png: bright 50%, dark 50%\n"
    assert "1 of 2 images could not be used" in shown.err
    assert (tmp_path / "out" / "a.png").exists()
    words = ["recipe=o/r", f"image={tmp_path}/in/a.png", "tile=96", f"output={tmp_path}/a.tif"]
    assert run_verb("predict", words) == 0
    assert "a.png has no georeference" in capsys.readouterr().err


def test_mistakes_are_told(model, scene, capsys):
    model("dense")
    for words, says in (
        (["tile=big", "augment=[flop]"], ["tile=big: must be a whole number", "augment=[flop]: flip and scales"]),
        (["tile=64", "overlap=40"], ["from 0 to half of tile=64"]),
        (["tile=64", "engine=ray"], ["engine=ray does not go with tile="]),
        (["workers=2"], ["workers= is of engine=ray here"]),
    ):
        assert run_verb("predict", ["recipe=o/r", f"image={scene}", *words]) == 2
        told = capsys.readouterr().err
        assert all(message in told for message in says), told


@pytest.mark.parametrize("without_rasterio", [False, True])
@pytest.mark.parametrize("is_tiled", [False, True])
def test_windows_of_files(tmp_path, is_tiled, without_rasterio, monkeypatch):
    if without_rasterio:
        monkeypatch.setitem(sys.modules, "rasterio", None)
    pixels = np.random.default_rng(0).integers(0, 60_000, (100, 80, 5), dtype=np.uint16)
    layout = {"tile": (32, 32)} if is_tiled else {}
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, planarconfig="contig", photometric="minisblack", metadata=None, **layout
    )
    np.save(tmp_path / "a.npy", pixels)
    for name in ("a.tif", "a.npy"):
        opened = open_scene(tmp_path / name)
        assert opened.size == (100, 80)
        window = opened.read(10, 20, 30, 40)
        assert np.array_equal(window, pixels[10:40, 20:60]), name
    Image.fromarray(pixels[..., :3].astype(np.uint8)).save(tmp_path / "b.png")
    assert open_scene(tmp_path / "b.png").read(10, 20, 30, 40).size == (40, 30)


@pytest.mark.parametrize("without_rasterio", [False, True])
def test_transparency_is_that_of_the_whole_image(tmp_path, without_rasterio, monkeypatch):
    if without_rasterio:
        monkeypatch.setitem(sys.modules, "rasterio", None)
    pixels = np.full((64, 96, 4), 255, np.uint8)
    pixels[:, :48, 3] = 0
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    expected = to_pixels(open_image(tmp_path / "a.tif"), 3)
    assert np.array_equal(to_pixels(open_scene(tmp_path / "a.tif").read(8, 16, 32, 64), 3), expected[8:40, 16:80])


@pytest.mark.parametrize("without_rasterio", [False, True])
def test_broken_scenes_are_told(tmp_path, without_rasterio, monkeypatch):
    if without_rasterio:
        monkeypatch.setitem(sys.modules, "rasterio", None)
    (tmp_path / "a.tif").write_bytes(b"II*\x00no")
    (tmp_path / "a.npy").write_bytes(b"no")
    np.save(tmp_path / "b.npy", np.zeros(3))
    for name in ("a.tif", "a.npy", "b.npy", "missing.tif"):
        with pytest.raises(StorageError, match=name):
            open_scene(tmp_path / name)


@pytest.mark.parametrize("without_rasterio", [False, True])
def test_the_pages_of_a_tiff_are_its_channels_in_a_window_too(tmp_path, without_rasterio, monkeypatch):
    if without_rasterio:
        monkeypatch.setitem(sys.modules, "rasterio", None)
    tifffile = pytest.importorskip("tifffile")
    pixels = np.random.default_rng(0).integers(0, 10_000, (6, 40, 50), dtype=np.uint16)
    tifffile.imwrite(tmp_path / "pages.tif", pixels, photometric="minisblack")
    window = open_scene(tmp_path / "pages.tif").read(8, 16, 20, 30)
    np.testing.assert_array_equal(window, pixels[:, 8:28, 16:46].transpose(1, 2, 0))
    np.testing.assert_array_equal(open_image(tmp_path / "pages.tif"), pixels.transpose(1, 2, 0))
