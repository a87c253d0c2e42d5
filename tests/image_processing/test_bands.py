"""Files of many bands: every band of every page, or a message."""

import builtins

import numpy as np
import pytest
from PIL import Image

from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.bands import read_tiff
from backbonekit.image_processing.image_paths import find_images
from backbonekit.image_processing.pixels import to_pixels
from backbonekit.image_processing.reading import open_image

tifffile = pytest.importorskip("tifffile", reason="the extra geo")

BANDS = np.random.default_rng(0).integers(0, 200, (20, 30, 6))
COLOURS = BANDS[..., :3].astype(np.uint8)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.uint32, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("layout", ["pixels", "planes", "pages"])
def test_bands_of_any_type_and_layout(tmp_path, dtype, layout) -> None:
    image, path = BANDS.astype(dtype), tmp_path / "image.tif"
    planes = np.moveaxis(image, -1, 0)
    if layout == "pages":
        tifffile.imwrite(path, planes, photometric="minisblack", metadata=None)
    elif layout == "planes":
        tifffile.imwrite(path, planes, photometric="minisblack", planarconfig="separate", compression="zlib")
    else:
        tifffile.imwrite(path, image, photometric="minisblack", planarconfig="contig", tile=(16, 16))
    found = open_image(path)
    assert found.dtype == dtype
    assert np.array_equal(found, image)
    with pytest.raises(ContractError, match="takes 3 channels, and this image has 6"):
        to_pixels(path, 3, (0, 255))
    assert to_pixels(path, 6, (0, 255)).shape == (20, 30, 6)


@pytest.mark.parametrize("count", [2, 4, 5, 13])
def test_any_number_of_bands(tmp_path, count) -> None:
    image = np.random.default_rng(1).integers(0, 256, (9, 8, count), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="minisblack", planarconfig="contig")
    np.save(tmp_path / "a.npy", image)
    for name in ("a.tif", "a.npy"):
        assert np.array_equal(to_pixels(tmp_path / name, count), image)
    with pytest.raises(ContractError, match=f"takes 3 channels, and this image has {count}"):
        to_pixels(tmp_path / "a.tif", 3)
    assert [path.name for path in find_images(tmp_path)] == ["a.npy", "a.tif"]


def test_one_page_of_colours_is_read_by_pillow(tmp_path) -> None:
    for mode in ("RGB", "L", "P", "1", "CMYK", "RGBA"):
        Image.fromarray(COLOURS).convert(mode).save(tmp_path / "plain.tif", compression="tiff_lzw")
        found = open_image(tmp_path / "plain.tif")
        assert (type(found), found.mode) == (Image.Image, mode) or isinstance(found, Image.Image)
        assert to_pixels(tmp_path / "plain.tif", 3).shape == (20, 30, 3)


def test_deep_colours_keep_their_bits(tmp_path) -> None:
    deep = BANDS[..., :3].astype(np.uint16) * 300 + 7
    tifffile.imwrite(tmp_path / "deep.tif", deep, photometric="rgb")
    assert np.array_equal(open_image(tmp_path / "deep.tif"), deep)
    light = (deep / 65_535).astype(np.float32)
    tifffile.imwrite(tmp_path / "light.tif", light, photometric="rgb")
    np.testing.assert_allclose(to_pixels(tmp_path / "light.tif", 3), to_pixels(tmp_path / "deep.tif", 3), atol=1e-6)


def test_a_fourth_band_is_no_transparency(tmp_path) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", BANDS[..., :4].astype(np.uint8), photometric="rgb", extrasamples=["unspecified"]
    )
    with pytest.raises(ContractError, match="takes 3 channels, and this image has 4"):
        to_pixels(tmp_path / "a.tif", 3)
    assert to_pixels(tmp_path / "a.tif", 4).shape == (20, 30, 4)


def test_pages_of_colours_are_never_one_image(tmp_path) -> None:
    pages = [Image.fromarray(COLOURS)] * 2
    pages[0].save(tmp_path / "two.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(ContractError, match="takes 3 channels, and this image has 6"):
        to_pixels(tmp_path / "two.tif", 3)


def test_smaller_versions_of_an_image_are_no_pages(tmp_path) -> None:
    for count in (1, 6):
        image = BANDS.astype(np.uint16) if count > 1 else BANDS[..., 0].astype(np.uint16)
        with tifffile.TiffWriter(tmp_path / "cog.tif") as file:
            options = {"photometric": "minisblack", "planarconfig": "contig" if count > 1 else None, "metadata": None}
            file.write(image, **options)
            file.write(image[::2, ::2], subfiletype=1, **options)
        assert to_pixels(tmp_path / "cog.tif", count).shape == (20, 30, count)


def test_what_is_no_single_image_is_told(tmp_path, monkeypatch) -> None:
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as file:
        file.write(COLOURS, photometric="rgb", metadata=None)
        file.write(COLOURS[:10], photometric="rgb", metadata=None)
    with pytest.raises(StorageError, match="2 pages of different sizes"):
        open_image(tmp_path / "sizes.tif")
    (tmp_path / "cut.tif").write_bytes((tmp_path / "sizes.tif").read_bytes()[:50])
    with pytest.raises(StorageError, match=r"cut\.tif: "):
        open_image(tmp_path / "cut.tif")
    for name, array, says in (
        ("words.npy", np.array([["a"]]), "values of type"),
        ("four.npy", np.zeros((2, 2, 2, 2)), "of shape 2 x 2 x 2 x 2"),
    ):
        np.save(tmp_path / name, array)
        with pytest.raises(StorageError, match=says):
            open_image(tmp_path / name)
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(StorageError, match=r"objects\.npy"):
        open_image(tmp_path / "objects.npy")
    huge = np.lib.format.header_data_from_array_1_0(np.zeros(1, np.uint8)) | {"shape": (2**20, 2**20)}
    with open(tmp_path / "huge.npy", "wb") as stream:
        np.lib.format.write_array_header_1_0(stream, huge)
    with pytest.raises(StorageError, match=r"huge\.npy"):
        open_image(tmp_path / "huge.npy")

    real = builtins.__import__

    def without(name, *given, **options):
        if name == "tifffile":
            raise ImportError(name)
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StorageError, match=r"pip install 'backbonekit\[geo\]'"):
        read_tiff(tmp_path / "sizes.tif")
