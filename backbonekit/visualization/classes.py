"""The top classes as bars over the image's lower edge."""

from PIL import Image, ImageDraw

from backbonekit.contract.labels import Labels
from backbonekit.contract.results import ClassResult
from backbonekit.visualization.colours import label_colour
from backbonekit.visualization.text import cut_to, font, font_size, label_name, plate_size

_SHADE = 0.62  # of black under the list: white text reads on any image, which still shows through


def draw_classes(image: Image.Image, result: ClassResult, labels: Labels | None = None) -> Image.Image:
    """As many rows, best first, as fit into the lower three fifths; names are cut to the width."""
    drawn, size = image.copy(), font_size(image.size)
    line = plate_size("0", size)[1] + max(1, size // 6)
    margin = max(2, size // 2)
    rows = min(len(result.labels), (int(image.height * 0.6) - margin) // line)
    percent = plate_size("100%", size)[0]
    names = [label_name(label, labels) for label in result.labels.tolist()[:rows]]
    if rows < 1 or image.width < percent + 4 * margin:
        return drawn
    room = image.width - 2 * margin - percent
    name_width = min(max(plate_size(name, size)[0] for name in names), room)
    bar_width = min(room - name_width - margin, 12 * size)
    panel = (0, image.height - rows * line - margin, image.width, image.height)
    black = Image.new("RGB", (panel[2], panel[3] - panel[1]))
    drawn.paste(Image.blend(drawn.crop(panel), black, _SHADE), panel[:2])
    drawing = ImageDraw.Draw(drawn)
    pairs = zip(names, result.labels.tolist(), result.scores.tolist(), strict=False)
    for row, (name, label, score) in enumerate(pairs):
        top = panel[1] + margin // 2 + row * line
        drawing.text((margin + percent - margin // 2, top), f"{score:.0%}", font=font(size), fill="white", anchor="ra")
        left = margin + percent
        if bar_width >= 3 * size:
            box = (left, top + line // 5, left + round(bar_width * score), top + line - line // 4)
            drawing.rectangle((left, box[1], left + bar_width, box[3]), fill=(70, 70, 70))
            drawing.rectangle(box, fill=label_colour(label))
            left += bar_width + margin
        drawing.text((left, top), cut_to(name, size, image.width - left), font=font(size), fill="white")
    return drawn
