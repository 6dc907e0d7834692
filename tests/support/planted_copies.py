"""Images like photos, and copies of images as they get into data sets."""

import io

import numpy as np
from PIL import Image, ImageEnhance

COPIES = ("re-encoded", "resized", "cropped", "brightness", "mirrored")


def photo(seed, size=(128, 96)):
    """Return an image with detail at every scale, as photos have, of `(width, height)` pixels."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size[1], size[0], 3))
    for side in (3, 6, 12, 24, 48):
        noise = rng.integers(0, 256, (side, side, 3), "uint8")
        total += np.asarray(Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)) - 127.5
    return Image.fromarray(np.clip(127.5 + 0.5 * total, 0, 255).astype("uint8"))


def copy_of(image, kind, rng):
    """Return a changed copy: JPEG quality 30-70, 40-80 % of the size, 5-10 % of each side cut off
    (how much of it left and right, drawn), 15-40 % darker or brighter, or the mirror image."""
    width, height = image.size
    if kind == "re-encoded":
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=int(rng.integers(30, 71)))
        return Image.open(stream).convert("RGB")
    if kind == "resized":
        factor = rng.uniform(0.4, 0.8)
        size = max(1, round(width * factor)), max(1, round(height * factor))
        return image.resize(size, Image.Resampling.BICUBIC)
    if kind == "cropped":
        part = rng.uniform(0.05, 0.1, 2)
        left, top = rng.uniform(0, 1, 2) * part
        right, bottom = left + 1 - part[0], top + 1 - part[1]
        return image.crop(
            (round(width * left), round(height * top), round(width * right), round(height * bottom))
        )
    if kind == "brightness":
        return ImageEnhance.Brightness(image).enhance(
            1 + rng.choice([-1, 1]) * rng.uniform(0.15, 0.4)
        )
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
