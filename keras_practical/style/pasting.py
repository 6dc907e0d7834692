"""An object on a painting: the paste itself, its masks, and the finish after harmonizing.

Reached as `keras_practical.style.paste`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.data.reading import check_range, read_image, read_with_alpha
from keras_practical.utils.checks import check_positive

if TYPE_CHECKING:
    from keras_practical.utils.types import Image

__all__ = [
    "Paste",
    "as_cutout",
    "as_image",
    "as_mask",
    "denoise_chrominance",
    "dilated",
    "feathered",
    "paste",
]

# Alpha that 8 bits would round to 255.
_OPAQUE = 1 - 0.5 / 255
# Of the longer side, as in the paper's own examples.
_DILATION = 0.02


@dataclass(frozen=True, kw_only=True)
class Paste:
    """An object on a painting, as `style.harmonize` takes it.

    Attributes:
        composite: The naive paste: uint8 of shape `(height, width, 3)`.
        mask: Where the object is: float32 in [0, 1] of shape `(height, width)`.
        dilated_mask: The same and a little around it, where `harmonize` may change pixels.

    Example:

    >>> Paste(
    ...     composite=np.zeros((2, 2, 3), "uint8"),
    ...     mask=np.ones((2, 2)),
    ...     dilated_mask=np.ones((2, 2)),
    ... ).mask.shape
    (2, 2)
    """

    composite: np.ndarray
    mask: np.ndarray
    dilated_mask: np.ndarray

    def __str__(self) -> str:
        height, width = self.composite.shape[:2]
        return f"an object of {int(self.mask.sum()):,} pixels on {width} x {height}"


def paste(
    object: Image,
    painting: Image,
    position: tuple[float, float],
    scale: float = 1.0,
    *,
    mask: Image | None = None,
) -> Paste:
    """Put a cut-out object on a painting, and make the masks that `harmonize` wants.

    Use it for the first step; Pillow's `Image.alpha_composite` does the same for whole pixels,
    without masks.

    Args:
        object: The image of the object: a path, or an array of shape `(height, width, 4)` whose
            last channel says how opaque it is, or `(height, width, 3)` with a `mask`. Colours are
            in [0, 255]; the last channel may be in [0, 1] too.
        painting: A path or an array of shape `(height, width, 3)` in [0, 255].
        position: Where the object's middle goes, `(x, y)` in pixels of the painting. What sticks
            out is cut off.
        scale: The factor by which the object's size changes, > 0.
        mask: Where the object is in its image: a path, or an array of its height and width, of
            booleans, [0, 1] or [0, 255]. Of an image with transparent parts, the opaque ones are
            the mask; else the bright ones. Default: the last channel of `object`.

    Returns:
        A `Paste`.

    Raises:
        ValueError: An argument is outside its range, there is no mask, it's empty, the painting is
            transparent, or the object lies outside the painting.

    Example:

    >>> found = paste(np.full((2, 2, 4), 255), np.zeros((5, 6, 3)), position=(3, 2))
    >>> found.composite[:, :, 0].tolist()[0:2]
    [[0, 0, 0, 0, 0, 0], [0, 0, 255, 255, 0, 0]]
    """
    import cv2

    check_positive("scale", scale)
    under = as_image("painting", painting)
    pixels, alpha = as_cutout("object", object)
    mask = alpha if mask is None else mask
    if mask is None:
        raise ValueError(
            "`mask` must be given for an object without transparency. "
            f"Received: mask=None and an object of shape {pixels.shape}"
        )
    opaque = as_mask("mask", mask, pixels.shape[:2])
    height, width = under.shape[:2]
    # Colour counts by how opaque it is: that of transparent pixels would darken the edge.
    layers = np.dstack([pixels * opaque[..., None], opaque])
    # From the painting's pixels to the object's, middle on middle.
    rows, columns = opaque.shape
    matrix = np.array(
        [
            [scale, 0, position[0] - scale * columns / 2 + (scale - 1) / 2],
            [0, scale, position[1] - scale * rows / 2 + (scale - 1) / 2],
        ]
    )
    # Shrunk by averaging first: sampling alone would skip pixels.
    if scale < 1:
        small = (max(1, round(columns * scale)), max(1, round(rows * scale)))
        layers = cv2.resize(layers, small, interpolation=cv2.INTER_AREA)
        matrix = np.array(
            [[1, 0, position[0] - small[0] / 2], [0, 1, position[1] - small[1] / 2]], "float64"
        )
    layers = cv2.warpAffine(layers, matrix, (width, height), flags=cv2.INTER_LINEAR)
    # Sums of the interpolation's weights exceed 1 by rounding.
    placed = np.minimum(layers[..., 3], 1)
    if not placed.any():
        raise ValueError(
            "`position` must put the object on the painting. "
            f"Received: position={position}, scale={scale} on {width} x {height} pixels"
        )
    if placed.max() < 0.5:
        raise ValueError(
            "`position` and `scale` must leave a pixel of the object at least half opaque. "
            f"Received: position={position}, scale={scale}, and at most {placed.max():.2f}"
        )
    blended = layers[..., :3] + (1 - placed[..., None]) * under
    return Paste(
        composite=np.rint(np.clip(blended, 0, 255)).astype("uint8"),
        mask=placed,
        dilated_mask=dilated(placed),
    )


def as_image(name: str, image: Image) -> np.ndarray:
    """Return an image without transparent parts as uint8 of shape `(height, width, 3)`.

    Args:
        name: The argument's name, for errors.
        image: A path, an array or an image of Pillow's.

    Returns:
        The pixels.

    Raises:
        ValueError: It isn't an image, its values are of another range, or it is transparent.

    Example:

    >>> as_image("painting", np.zeros((4, 5))).shape
    (4, 5, 3)
    """
    pixels, alpha = as_cutout(name, image)
    if alpha is not None and alpha.min() < _OPAQUE:
        raise ValueError(
            f"`{name}` must have no transparent pixels. Received: some of {alpha.min():.3g}, where "
            "1 is opaque; use only its first three channels, kp.read_image, which makes them "
            "white, or kp.style.paste for a transparent object"
        )
    return pixels


def as_cutout(name: str, image: Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an image's pixels as uint8 of shape `(height, width, 3)`, and how opaque each is.

    Args:
        name: The argument's name, for errors.
        image: A path, an array of one to four channels, of which a second or fourth is alpha, or an
            image of Pillow's.

    Returns:
        The pixels, the transparent ones as they are, and float32 in [0, 1] of shape
        `(height, width)`; `None` for an image without alpha.

    Raises:
        ValueError: It isn't an image, or its values are of another range.

    Example:

    >>> as_cutout("object", np.full((1, 1, 4), 255.0))[1].tolist()
    [[1.0]]
    """
    colors, alpha = _parts(name, image)
    opaque = None if alpha is None else _shares(name, alpha)
    try:
        check_range(colors)
    except ValueError as error:
        raise ValueError(
            f"`{name}` must have pixels in [0, 255]. Received: values in "
            f"[{colors.min():.3g}, {colors.max():.3g}]; multiply fractions by 255"
        ) from error
    return read_image(colors), opaque


def as_mask(name: str, mask: Image, shape: tuple[int, int]) -> np.ndarray:
    """Return a mask as float32 in [0, 1], scaled to an image's height and width.

    Args:
        name: The argument's name, for errors.
        mask: A path, an array of one to four channels, or an image of Pillow's. Alpha, a second or
            fourth channel, is the mask, unless all is opaque: then brightness is.
        shape: Height and width of the image.

    Returns:
        An array of that shape.

    Raises:
        ValueError: It's empty, its proportions are others, or its values are of another range.

    Example:

    >>> as_mask("mask", np.array([[0, 255], [0, 255]]), (2, 2)).tolist()
    [[0.0, 1.0], [0.0, 1.0]]
    """
    import cv2

    colors, alpha = _parts(name, mask)
    values = None if alpha is None else _shares(name, alpha)
    if values is None or values.min() >= _OPAQUE:
        # ITU-R 601 luma, as in `read_image`.
        weights = np.array([0.299, 0.587, 0.114] if colors.shape[2] == 3 else [1.0], "float32")
        values = _shares(name, colors.astype("float32") @ weights)
    if values.shape != shape:
        ratio = (values.shape[1] / values.shape[0]) / (shape[1] / shape[0])
        if not 0.97 < ratio < 1.03:
            raise ValueError(
                f"`{name}` must have the proportions of the image. Received: "
                f"{values.shape[1]} x {values.shape[0]} for {shape[1]} x {shape[0]} pixels"
            )
        # Shrunk by averaging: sampling would skip what is thin.
        shrinks = values.shape[0] > shape[0]
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        values = cv2.resize(values, shape[::-1], interpolation=way)
    if values.max() < 0.5:
        raise ValueError(f"`{name}` must mark the object: nothing in it is above one half.")
    return values


def _parts(name: str, image: Image) -> tuple[np.ndarray, np.ndarray | None]:
    """Return colours of shape `(height, width, 1 or 3)` and alpha, both in whatever range."""
    from PIL import Image as pillow

    if isinstance(image, str | Path | pillow.Image):
        return read_with_alpha(image)
    values = np.asarray(image)
    values = values[:, :, None] if values.ndim == 2 else values
    if values.ndim != 3 or not values.size or values.shape[2] > 4:
        raise ValueError(
            f"`{name}` must be a path or an array of shape (height, width) or "
            f"(height, width, channels), with 1 to 4 channels. Received: shape {np.shape(image)}"
        )
    if values.shape[2] in (1, 3):
        return values, None
    return values[..., :-1], values[..., -1]


def _shares(name: str, values: np.ndarray) -> np.ndarray:
    """Return booleans, values in [0, 1] or in [0, 255] as float32 in [0, 1]."""
    shares = values.astype("float32")
    # Interpolated masks overshoot a little.
    if shares.max() > 1.001:
        shares = shares / np.float32(255)
    if not (shares.min() >= -0.001 and shares.max() <= 1.001):
        raise ValueError(
            f"`{name}` must say by booleans, values in [0, 1] or in [0, 255] where the object is. "
            f"Received: values in [{values.min():.3g}, {values.max():.3g}]"
        )
    return np.clip(shares, 0.0, 1.0)


def dilated(mask: np.ndarray) -> np.ndarray:
    """Return a mask widened by 2 % of its longer side, as float32 of 0 and 1.

    Args:
        mask: Shape `(height, width)`, in [0, 1].

    Returns:
        An array of the same shape.

    Example:

    >>> dot = np.zeros((50, 50), "float32")
    >>> dot[20, 20] = 1
    >>> int(dilated(dot).sum())
    5
    """
    import cv2

    radius = max(1, round(_DILATION * max(mask.shape)))
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return cv2.dilate((mask >= 0.5).astype("float32"), disk)


def feathered(mask: np.ndarray, dilated_mask: np.ndarray) -> np.ndarray:
    """Return how much of each pixel is new: 1 on the object, falling to 0 outside the dilated mask.

    Args:
        mask: Shape `(height, width)`, in [0, 1].
        dilated_mask: The same, wider.

    Returns:
        float32 in [0, 1]; exactly 0 outside of `dilated_mask`.

    Example:

    >>> ring = np.array([[0, 1, 1, 1, 1, 1, 1, 1, 0]], "float32")
    >>> inner = np.array([[0, 0, 0, 0, 1, 0, 0, 0, 0]], "float32")
    >>> feathered(inner, ring).round(2).tolist()
    [[0.0, 0.25, 0.5, 0.75, 1.0, 0.75, 0.5, 0.25, 0.0]]
    """
    import cv2

    inside = (mask >= 0.5).astype("uint8")
    allowed = ((dilated_mask >= 0.5) | (inside > 0)).astype("uint8")
    if allowed.all():
        return np.ones(mask.shape, "float32")
    to_object = cv2.distanceTransform(1 - inside, cv2.DIST_L2, 5)
    to_painting = cv2.distanceTransform(allowed, cv2.DIST_L2, 5)
    return np.where(inside > 0, 1.0, to_painting / (to_painting + to_object + 1e-6)).astype(
        "float32"
    )


def denoise_chrominance(image: np.ndarray) -> np.ndarray:
    """Smooth an image's colours along its edges, its light left as it is: a guided filter.

    Optimized images have coloured speckle that paintings don't have.

    Args:
        image: uint8 of shape `(height, width, 3)`.

    Returns:
        An array of the same shape and dtype.

    Example:

    >>> noise = np.random.default_rng(0).integers(90, 110, (32, 32, 3)).astype("uint8")
    >>> smooth = denoise_chrominance(noise)
    >>> int(np.ptp(smooth[..., 0] - 1.0 * smooth[..., 1])) < 20
    True

    Reference:
        He, Sun & Tang, *Guided Image Filtering* (2010); Luan et al. (2018), arXiv 1804.03189,
        section 5: radius 2, ε = 0.1².
    """
    import cv2

    lab = cv2.cvtColor(image.astype("float32") / 255, cv2.COLOR_RGB2LAB)
    guide = lab[..., 0] / 100

    def mean(values: np.ndarray) -> np.ndarray:
        return cv2.blur(values, (5, 5), borderType=cv2.BORDER_REFLECT)

    average = mean(guide)
    variance = mean(guide**2) - average**2
    for channel in (1, 2):
        values = lab[..., channel]
        slope = (mean(guide * values) - average * mean(values)) / (variance + 0.1**2)
        offset = mean(values) - slope * average
        lab[..., channel] = mean(slope) * guide + mean(offset)
    rgb = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return np.clip(np.rint(255 * rgb), 0, 255).astype("uint8")
