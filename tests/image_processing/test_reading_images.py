"""Every kind of image becomes the same array; what is no image raises an error with a message."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.errors import ContractError, StorageError
from backbonekit.image_processing.pixels import to_image, to_pixels


@pytest.fixture
def colours() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)


def test_the_same_image_in_every_way_is_the_same_array(colours, tmp_path):
    path = tmp_path / "image.png"
    Image.fromarray(colours).save(path)
    ways = [path, str(path), Image.fromarray(colours), colours, torch.from_numpy(colours).permute(2, 0, 1)]
    for way in ways:
        assert np.array_equal(to_pixels(way, 3), colours)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "RGBX"])
def test_every_mode_becomes_three_channels(colours, mode):
    image = Image.fromarray(colours)
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    pixels = to_pixels(image, 3)
    assert pixels.shape == (7, 5, 3)
    assert pixels.dtype == np.uint8
    if mode in ("RGBA", "RGBX"):
        assert np.array_equal(pixels, colours)  # nothing is transparent, so colours stay
    if mode in ("1", "L", "LA"):
        assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_a_transparent_palette_causes_no_warning(colours, tmp_path):
    image = Image.fromarray(colours).convert("P")
    image.save(tmp_path / "p.png", transparency=bytes(range(256)))
    assert to_pixels(tmp_path / "p.png", 3).shape == (7, 5, 3)


def test_the_first_frame_of_many_is_the_image(colours, tmp_path):
    frames = [Image.fromarray(colours), Image.new("RGB", (5, 7))]
    for name, options in {"phone.mpo": {}, "film.gif": {"optimize": False}}.items():
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        assert to_pixels(tmp_path / name, 3).mean() > 50


def test_sixteen_bits_keep_their_range(tmp_path):
    values = np.array([[0, 1000], [40_000, 65_535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    for image in (tmp_path / "deep.png", values, Image.fromarray(values), Image.fromarray(values.astype(np.int32))):
        pixels = to_pixels(image, 3)
        assert pixels.dtype == np.float32
        np.testing.assert_allclose(pixels[..., 1], values / 65_535, atol=1e-6)


def test_eight_bits_in_a_wider_type_are_not_black(colours):
    wide = Image.fromarray(colours[..., 0].astype(np.int32))
    assert wide.mode == "I"
    assert np.array_equal(to_pixels(wide, 3)[..., 1], colours[..., 0])


def test_the_cameras_orientation_is_applied(colours, tmp_path):
    image = Image.fromarray(colours)
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was turned: shown upright, the image is rotated by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    upright = np.rot90(colours, k=-1)
    assert np.array_equal(to_pixels(tmp_path / "turned.png", 3), upright)
    assert np.array_equal(np.asarray(to_image(tmp_path / "turned.png")), upright)
    with Image.open(tmp_path / "turned.png") as opened:
        assert np.array_equal(to_pixels(opened, 3), upright)


def test_one_channel_and_many(colours):
    assert np.array_equal(to_pixels(colours, 1)[..., 0], np.asarray(Image.fromarray(colours).convert("L")))
    grey = to_pixels(colours.astype(np.float32) / 255, 1)
    np.testing.assert_allclose(grey[..., 0] * 255, np.asarray(Image.fromarray(colours).convert("L")), atol=1)
    many = np.random.default_rng(0).random((4, 6, 9)).astype(np.float32)
    assert np.array_equal(to_pixels(many, 9), many)
    assert to_image(many).size == (6, 4)
    assert to_image(torch.rand(2, 4, 6)).size == (6, 4)
    assert to_pixels(Image.fromarray(colours).convert("RGBA"), 4).shape == (7, 5, 4)


def test_bool_and_half_precision():
    assert np.array_equal(to_pixels(np.array([[True, False]]), 1)[..., 0], [[255, 0]])
    assert to_pixels(torch.rand(3, 4, 5, dtype=torch.bfloat16), 3).shape == (4, 5, 3)


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (np.full((4, 4, 3), 200.0), "divide by 255"),
        (np.full((4, 4, 3), np.nan), "NaN"),
        (np.zeros((4, 4, 3), dtype=np.int64), "uint8"),
        (np.zeros((0, 4, 3), dtype=np.uint8), "at least one pixel"),
        (np.zeros((0, 4, 3), dtype=np.float32), "at least one pixel"),
        (Image.new("RGB", (0, 4)), "at least one pixel"),
        (np.zeros((3, 8, 8), dtype=np.uint8), r"channels last: array.transpose\(1, 2, 0\)"),
        (torch.zeros(8, 9, 3), r"channels first: tensor.permute\(2, 0, 1\)"),
        (np.zeros(5, dtype=np.uint8), "shape 5"),
        (np.zeros((4, 4, 5), dtype=np.uint8), "this image has 5"),
        (Image.fromarray(np.full((2, 2), 99_999, dtype=np.int32)), "65535"),
        (17, "int"),
    ],
)
def test_an_array_that_is_no_image_raises(image, says):
    with pytest.raises(ContractError, match=says):
        to_pixels(image, 3)


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
def test_an_unreadable_file_raises(tmp_path, content):
    path = tmp_path / "broken.png"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"broken\.png: not an image"):
        to_pixels(path, 3)


def test_a_truncated_file_a_folder_and_nothing_raise(colours, tmp_path):
    Image.fromarray(colours).resize((200, 200)).save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(StorageError, match="broken image"):
        to_pixels(tmp_path / "cut.jpg", 3)
    with pytest.raises(StorageError, match="a folder"):
        to_pixels(tmp_path, 3)
    with pytest.raises(StorageError, match="no such"):
        to_pixels(tmp_path / "none.png", 3)
    with pytest.raises(StorageError, match="download"):
        to_pixels("https://example.org/cat.png", 3)


def test_a_decompression_bomb_is_refused_by_its_header(tmp_path):
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    (tmp_path / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )
    with pytest.raises(StorageError, match="too large"):
        to_pixels(tmp_path / "bomb.png", 3)
