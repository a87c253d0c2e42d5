"""One HTML page in one file: nothing is loaded from anywhere, and no script runs."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from PIL import Image

_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --pale: #57606a; --line: #d0d7de; --paper: #ffffff; --band: #f6f8fa; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --pale: #9198a1; --line: #3d444d; --paper: #0d1117; --band: #151b23; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.6rem; overflow-wrap: anywhere; }
h2 { margin: 2.25rem 0 .75rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); font-size: 1.2rem; }
p { margin: .5rem 0; }
.pale, figcaption { color: var(--pale); }
nav { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: .75rem 0; }
a { color: inherit; }
.wide { overflow-x: auto; margin: .75rem 0; }
table { border-collapse: collapse; font-size: .87rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--band); font-weight: 600; white-space: nowrap; }
.right { text-align: right; white-space: nowrap; }
pre { margin: 0; padding: .9rem; overflow-x: auto; background: var(--band); border: 1px solid var(--line);
  border-radius: 6px; font: 12.5px/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
figure { margin: 1rem 0; max-width: 60rem; }
img, svg { display: block; max-width: 100%; height: auto; }
svg { margin: 0 auto; border: 1px solid var(--line); border-radius: 6px; }
""".strip()
# The browser itself refuses whatever is not in the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


@dataclass(frozen=True, slots=True)
class Section:
    """`blocks`: HTML made by the functions below, which write text of others as text."""

    title: str
    blocks: tuple[str, ...]


def html_page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """A whole page, with links to its sections."""
    links = "".join(f'<a href="#s{number}">{_text(one.title)}</a>' for number, one in enumerate(sections))
    bodies = "\n".join(
        f'<section id="s{number}">\n<h2>{_text(one.title)}</h2>\n' + "\n".join(one.blocks) + "\n</section>"
        for number, one in enumerate(sections)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_text(title)}</title>\n<style>\n{_STYLE}\n</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{_text(title)}</h1>\n<p class="pale">{_text(subtitle)}</p>\n</header>\n'
        f'<nav aria-label="Sections">{links}</nav>\n<main>\n{bodies}\n</main>\n</body>\n</html>\n'
    )


def paragraph(text: str, *, pale: bool = False) -> str:
    return f'<p class="pale">{_text(text)}</p>' if pale else f"<p>{_text(text)}</p>"


def preformatted(text: str) -> str:
    """Text as it stands, such as YAML."""
    return f"<pre>{_text(text, keep_lines=True)}</pre>"


def bullets(texts: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{_text(text)}</li>" for text in texts) + "</ul>"


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> str:
    """`right`: columns that are flush right."""

    def cells(row: Sequence[str], tag: str) -> str:
        return "".join(
            f'<{tag} class="right">{_text(cell)}</{tag}>' if column in right else f"<{tag}>{_text(cell)}</{tag}>"
            for column, cell in enumerate(row)
        )

    body = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0"><table>\n<thead><tr>{cells(header, "th")}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def figure(image: Image.Image | bytes, caption: str) -> str:
    """An image in the page itself: a photograph as JPEG, the bytes of a PNG as they are."""
    kind, content = "png", image
    if isinstance(image, Image.Image):
        stream = io.BytesIO()
        image.convert("RGB").save(stream, format="JPEG", quality=90)
        kind, content = "jpeg", stream.getvalue()
    assert isinstance(content, bytes)
    data = base64.b64encode(content).decode()
    return (
        f'<figure><img src="data:image/{kind};base64,{data}" alt="{_text(caption)}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
    )


def _text(text: str, *, keep_lines: bool = False) -> str:
    """Escaped, without control characters."""
    kept = "".join(one if one.isprintable() or (keep_lines and one in "\n\t") else " " for one in text)
    return escape(kept)
