"""A warning over a drawing: what it shows is of no use."""

from PIL import Image, ImageDraw

from backbonekit.visualization.text import cut_to, font, font_size, line_width, plate_size

_RED, _WHITE = (190, 20, 30), (255, 255, 255)


def stamped(image: Image.Image, text: str) -> Image.Image:
    """A copy with a red frame, and in the upper right corner the text, cut to the width; of an image that is too small
    for any text the frame alone."""
    drawn = image.copy()
    drawing, size, width = ImageDraw.Draw(drawn), font_size(image.size), line_width(image.size)
    drawing.rectangle((0, 0, image.width - 1, image.height - 1), outline=_RED, width=width)
    margin = max(1, size // 5)
    shown = cut_to(text, size, image.width - 2 * margin)
    plate = plate_size(shown, size)
    if len(shown) > 1 and plate[1] <= image.height // 2:
        left = image.width - plate[0]
        drawing.rectangle((left, 0, image.width - 1, plate[1] - 1), fill=_RED)
        drawing.text((left + margin, 0), shown, font=font(size), fill=_WHITE)
    return drawn
