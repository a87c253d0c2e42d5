"""Numbers as people write them."""


def count(number: float) -> str:
    """1_234_567 -> 1.23M"""
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def seconds(number: float) -> str:
    """0.0123 -> 12.3 ms"""
    return f"{number:.2f} s" if number >= 1 else f"{number * 1e3:.3g} ms"
