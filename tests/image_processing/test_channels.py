"""No channel is invented or left out, and no unit guessed."""

import numpy as np
import pytest
import torch
from PIL import Image

from backbonekit.contract.processing import Processing
from backbonekit.errors import ContractError, RecipeError
from backbonekit.image_processing.pixels import to_image, to_pixels
from backbonekit.image_processing.processor import ImageProcessor

generator = np.random.default_rng(0)
COLOURS = generator.integers(0, 256, (7, 5, 3), dtype=np.uint8)


def bands(count: int) -> np.ndarray:
    return generator.integers(0, 256, (7, 5, count), dtype=np.uint8)


@pytest.mark.parametrize(
    ("image", "channels", "given"),
    [
        (Image.fromarray(COLOURS), 4, 3),
        (Image.fromarray(COLOURS[..., 0]), 4, 1),
        (Image.fromarray(COLOURS).convert("CMYK"), 4, 3),
        (Image.fromarray(COLOURS).convert("P"), 4, 3),
        (Image.fromarray(COLOURS), 6, 3),
        (Image.fromarray(bands(4)), 6, 3),  # transparency composed away
        (COLOURS, 4, 3),
        (bands(4), 3, 4),
        (bands(6), 3, 6),
        (bands(2), 3, 2),
        (bands(4), 1, 4),
        (torch.from_numpy(bands(13)).permute(2, 0, 1), 12, 13),
        (np.zeros((7, 5), np.uint8), 2, 1),
    ],
)
def test_other_channels_are_refused_with_both_numbers(image, channels, given) -> None:
    with pytest.raises(
        ContractError, match=rf"takes {channels} channels, and this image has {given} .*in_channels={given}"
    ):
        to_pixels(image, channels)


def test_what_the_fourth_channel_may_be_is_told() -> None:
    with pytest.raises(ContractError, match=r"image\[\.\.\., :3\]"):
        to_pixels(bands(4), 3)


@pytest.mark.parametrize("count", [1, 2, 4, 6, 13])
def test_any_number_of_bands_is_taken_whole(count) -> None:
    image = bands(count)
    for way in (image, torch.from_numpy(image).permute(2, 0, 1)):
        assert np.array_equal(to_pixels(way, count), image)
    processor = ImageProcessor(Processing(size=(8, 8), mean=(0.5,) * count, std=(0.25,) * count))
    assert processor([image, image])["pixel_values"].shape == (2, count, 8, 8)


def test_grey_is_repeated_and_transparency_composed_over_white() -> None:
    grey = COLOURS[..., 0]
    for way in (grey, Image.fromarray(grey), grey[..., None], Image.fromarray(grey).convert("LA")):
        assert np.array_equal(to_pixels(way, 3), np.repeat(grey[..., None], 3, axis=-1))
    half = np.dstack([np.zeros((7, 5, 3), np.uint8), np.full((7, 5), 128, np.uint8)])
    half[0, :, 3] = 0
    for way in (Image.fromarray(half), Image.fromarray(half[..., 2:], mode="LA")):
        pixels = to_pixels(way, 3)
        assert (pixels[0] == 255).all()  # not the black beneath
        assert (abs(pixels[1:].astype(int) - 127) <= 1).all()
    assert np.array_equal(to_pixels(Image.fromarray(half), 4), half)


REFLECTANCE = generator.uniform(0, 10_000, (7, 5, 6)).astype(np.float32)


def test_means_are_in_the_images_own_units() -> None:
    mean, std = (2734.0, 3000.0, 1.0, 0.0, 9999.0, 5000.0), (1500.0,) * 6
    processor = ImageProcessor(Processing(range=(0, 10_000), mean=mean, std=std))
    expected = (torch.from_numpy(REFLECTANCE) - torch.tensor(mean)) / torch.tensor(std)
    torch.testing.assert_close(processor(REFLECTANCE)["pixel_values"][0], expected.permute(2, 0, 1))
    for dtype in (np.uint16, np.int16, np.int32, np.uint32, np.int64):
        whole = REFLECTANCE.astype(dtype)
        expected = (torch.from_numpy(whole.astype(np.float32)) - torch.tensor(mean)) / torch.tensor(std)
        torch.testing.assert_close(processor(whole)["pixel_values"][0], expected.permute(2, 0, 1))


@pytest.mark.parametrize(
    ("value_range", "mean", "std", "values"),
    [
        ((-50, 10), -17.0, 5.0, np.array([[-49.0, 9.5]])),  # decibels
        ((-1024, 3071), 40.0, 300.0, np.array([[-1000, 3000]], dtype=np.int16)),  # Hounsfield units
        ((0, 255), 123.7, 58.4, np.array([[0, 255]], dtype=np.uint8)),
    ],
)
def test_any_unit(value_range, mean, std, values) -> None:
    processor = ImageProcessor(Processing(range=value_range, mean=(mean,), std=(std,)))
    expected = (torch.from_numpy(values.astype(np.float32)) - mean) / std
    torch.testing.assert_close(processor(values)["pixel_values"][0, 0], expected)


@pytest.mark.parametrize(("border", "value"), [("black", (-50 + 17) / 5), ("mean", 0.0)])
def test_a_border_is_in_the_units_of_the_range(border, value) -> None:
    processing = Processing(range=(-50, 10), mean=(-17.0,), std=(5.0,), crop=(4, 4), border=border)
    values = ImageProcessor(processing)(np.full((2, 2), 3.0))["pixel_values"][0, 0]
    torch.testing.assert_close(values[1:3, 1:3], torch.full((2, 2), 4.0))
    assert values[0].tolist() == pytest.approx([value] * 4)


@pytest.mark.parametrize(
    ("image", "value_range", "says"),
    [
        (REFLECTANCE, None, r"a float image lies in \[0, 1\].*processing\.range=\[low, high\]"),
        (REFLECTANCE[..., :2], None, r"a float image lies in \[0, 1\]"),
        (REFLECTANCE, (0, 1000), r"outside the declared processing\.range=\[0, 1000\]"),
        (-REFLECTANCE, (0, 10_000), "outside the declared"),
        (REFLECTANCE.astype(np.uint16), (0, 1000), "outside the declared"),
        (np.where(REFLECTANCE > 9000, np.nan, REFLECTANCE), (0, 10_000), "mean of the band"),
        (REFLECTANCE.astype(np.int16), None, "no known range.*declare"),
        (REFLECTANCE.astype(np.complex64), None, "whole numbers or floats"),
    ],
)
def test_values_of_other_units_are_refused(image, value_range, says) -> None:
    with pytest.raises(ContractError, match=says):
        to_pixels(image, image.shape[-1], value_range)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"range": (0, 10_000)}, "those of an image in .0, 1.*the backbone's are converted"),
        ({"range": (5, 5)}, "the lower end comes first"),
        ({"range": (-50, 10), "mean": (17.0,) * 3, "std": (5.0,) * 3}, r"17, outside processing\.range=\[-50, 10\]"),
        ({"range": (0, float("inf"))}, r"processing\.range\.1"),
    ],
)
def test_statistics_and_range_of_different_units_are_refused(fields, says) -> None:
    with pytest.raises(RecipeError, match=says):
        ImageProcessor(Processing(**fields))


def test_chosen_bands_are_shown() -> None:
    image = bands(6)
    shown = np.asarray(to_image(image, [5, 0, 2]))
    assert np.array_equal(shown, image[..., [5, 0, 2]])
    assert np.array_equal(np.asarray(to_image(image)), image[..., :3])
    assert np.array_equal(np.asarray(to_image(image, [4])), np.repeat(image[..., 4:5], 3, axis=-1))
    assert np.array_equal(np.asarray(to_image(Image.fromarray(COLOURS), [2, 1, 0])), COLOURS[..., ::-1])
    reflectance = np.asarray(to_image(REFLECTANCE, [3, 2, 1]))
    assert reflectance.min() == 0
    assert reflectance.max() == 255
    assert to_image(torch.from_numpy(REFLECTANCE).permute(2, 0, 1)).size == (5, 7)
    with pytest.raises(ContractError, match="one or three of the image's 6 bands"):
        to_image(image, [0, 6, 1])
