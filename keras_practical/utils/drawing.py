"""What every plot shares: colours that colour-blind people tell apart, and axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Those of Okabe and Ito's colours that stand out, 3 to 1, from a white page and from a black one;
# and a grey that does.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
GREY = "#808080"
PALETTE = (BLUE, ORANGE, GREEN, PINK, GREY)


def axes_or_new(ax: Axes | None, size: tuple[float, float]) -> Axes:
    """Return `ax` or, if it is `None`, the axes of a new figure of so many inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=size, layout="constrained")[1]


def text_color() -> Any:
    """Return the colour that the style in use writes with: black, or white on a dark page."""
    import matplotlib

    return matplotlib.rcParams["text.color"]


def color_on(background: Any) -> str:
    """Return black or white, whichever is easier to read on a colour (WCAG's contrast)."""
    return "black" if luminance(background) > 0.179 else "white"


def luminance(color: Any) -> float:
    """Return WCAG's relative luminance of a colour, 0 (black) to 1 (white)."""
    from matplotlib.colors import to_rgb

    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(color)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def shortened(text: str, length: int) -> str:
    """Return a text of at most so many characters, its middle left out if need be.

    The ends of a path say most: which folder, which file.
    """
    if len(text) <= length:
        return text
    tail = (length - 1) * 2 // 3
    return f"{text[: length - 1 - tail]}…{text[len(text) - tail :]}"
