"""Numbers as people write them, and columns of them."""

from collections.abc import Collection, Sequence

Rows = Sequence[Sequence[str]]


def count(number: float) -> str:
    """1_234_567 -> 1.23M"""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def seconds(number: float) -> str:
    """0.0123 -> 12.3 ms"""
    return f"{number:.2f} s" if number >= 1 else f"{number * 1e3:.3g} ms"


def aligned(header: Rows, rows: Rows, *, right: Collection[int] = ()) -> str:
    """Columns as wide as their widest cell, with a rule below the header; those in `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*header, *rows, strict=True)]
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (*header, rule, *rows)
    )
