"""Draws docs/recipe_wiring_prediction.png: a recipe, its wiring, and what the trained model finds on pages that it was
never trained on. First train it, for about three minutes on a CPU:

    backbonekit train experiment=digits_detection save=runs/digits
    python docs/make_image.py runs/digits
"""

import sys
from itertools import islice
from pathlib import Path

import matplotlib
import torch
from PIL import Image, ImageDraw, ImageFont

import backbonekit as bk
from backbonekit.assembly.describe import describe
from backbonekit.assembly.diagram import diagram_of
from backbonekit.data import open_data
from backbonekit.visualization.diagram_png import diagram_image

DOCS = Path(__file__).parent
RECIPE = DOCS.parent / "configs" / "model" / "fcos_digits.yaml"
FONTS = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
HEIGHT, MARGIN, TITLE = 760, 36, 60  # pixels
INK, QUIET, PAPER = "#0f172a", "#64748b", "#ffffff"
LEAST = 3  # digits on a page; the first four such pages of the test split are drawn
SIDE = 320  # of a page as it is drawn; the model reads 64


def recipe_panel(width: int) -> Image.Image:
    """The file as it ships, without its comments; a longer line is cut."""
    lines = [line for line in RECIPE.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    font = ImageFont.truetype(FONTS / "DejaVuSansMono.ttf", 19)
    most = int(width // font.getlength("0"))
    panel = Image.new("RGB", (width, HEIGHT - TITLE - MARGIN), PAPER)
    draw = ImageDraw.Draw(panel)
    for row, line in enumerate(lines):
        text = line if len(line) <= most else line[: most - 4] + " ..."
        key, colon, value = text.partition(":")
        draw.text((0, row * 31), key + colon, INK, font)
        draw.text((font.getlength(key + colon), row * 31), value, "#1d4ed8", font)
    return panel


def wiring_panel(model: bk.ComposedModel) -> Image.Image:
    description, _ = describe(model, torch.zeros(1, 3, 64, 64))
    diagram = diagram_image(diagram_of(description)).convert("RGB")
    scale = (HEIGHT - TITLE - MARGIN) / diagram.height
    return diagram.resize((round(diagram.width * scale), round(diagram.height * scale)), Image.Resampling.LANCZOS)


def prediction_panel(model: bk.ComposedModel) -> Image.Image:
    split = open_data({"name": "digits", "train": 1, "val": 1, "test": 100}).split("test")
    pages = islice((image for image, target in map(split.__getitem__, range(100)) if len(target["labels"]) >= LEAST), 4)
    images = [page.resize((SIDE, SIDE), Image.Resampling.BICUBIC) for page in pages]
    results = model.predict(images, threshold=0.5)
    panel = Image.new("RGB", (2 * SIDE + 12, 2 * SIDE + 12), PAPER)
    for number, (image, result) in enumerate(zip(images, results, strict=True)):
        drawn = bk.draw(image, result, model.labels)
        panel.paste(drawn, ((number % 2) * (SIDE + 12), (number // 2) * (SIDE + 12)))
    return panel


def whole_image(model: bk.ComposedModel) -> Image.Image:
    panels = {
        "a recipe": recipe_panel(490),
        "its wiring": wiring_panel(model),
        "its predictions, after 3 minutes of training": prediction_panel(model),
    }
    width = sum(panel.width for panel in panels.values()) + MARGIN * (len(panels) + 1)
    image = Image.new("RGB", (width, HEIGHT), PAPER)
    draw = ImageDraw.Draw(image)
    font = ImageFont.truetype(FONTS / "DejaVuSans-Bold.ttf", 21)
    left = MARGIN
    for title, panel in panels.items():
        draw.text((left, 18), title, QUIET, font)
        image.paste(panel, (left, TITLE))
        left += panel.width + MARGIN
    return image


if __name__ == "__main__":
    trained = bk.load_model(sys.argv[1])
    whole_image(trained).quantize(128).save(DOCS / "recipe_wiring_prediction.png", optimize=True)
