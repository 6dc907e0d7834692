"""What one look at each image tells: whether it's whole, upright, bright, sharp."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np

from keras_practical.data import dicom
from keras_practical.data.image_measures import blur_effect
from keras_practical.data.index import ImageIndex, ImageRecord
from keras_practical.data.reading import Header, decode, inspect
from keras_practical.inspection.copies import THUMBNAIL_PIXELS
from keras_practical.utils.progress import track

__all__ = ["ImageMeasures", "lying_extension", "measure_image", "measure_images"]

# Brightness, colour and blur are measured with the longer side at most so long: as sharp as
# networks see an image, and no memory grows with its size.
_LONGEST_PIXELS = 256
_BORDER_PART = 0.04
_CHUNK = 4
_ALIASES = {"MPO": "JPEG", "DIB": "BMP", "APNG": "PNG"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMeasures:
    """What was measured of one image; all zero if it can't be read.

    Attributes:
        problem: Why it can't be read; `None` if it can.
        width: Upright width in pixels.
        height: Upright height in pixels.
        orientation: EXIF orientation, 1 (upright) to 8.
        file_format: What the file is, such as `"JPEG"`; empty for an array.
        content: A hash of the file's bytes, or of the array.
        brightness: Mean grey value in [0, 255].
        highlight: Grey value in [0, 255] that 2 % of the pixels exceed.
        spread: Standard deviation of the grey values.
        blur: From 0 (sharp) to 1; NaN for images too small or too flat to tell.
        color: Mean red, green and blue, in [0, 255].
        border_color: The same of the outermost 4 %.
        thumbnail: Grey, uint8 of shape `(64, 64)`, stretched.

    Example:

    >>> ImageMeasures(problem="the file is empty").width
    0
    """

    problem: str | None = None
    width: int = 0
    height: int = 0
    orientation: int = 1
    file_format: str = ""
    content: str = ""
    brightness: float = 0.0
    highlight: float = 0.0
    spread: float = 0.0
    blur: float = float("nan")
    color: tuple[float, float, float] = (0.0, 0.0, 0.0)
    border_color: tuple[float, float, float] = (0.0, 0.0, 0.0)
    thumbnail: np.ndarray | None = None


def measure_images(
    index: ImageIndex, fetch: Callable[[str], np.ndarray | None], *, verbose: bool = True
) -> tuple[ImageMeasures, ...]:
    """Measure every image of an index, each decoded once, on all cores.

    Args:
        index: The images; names that are files are read, bytes and all.
        fetch: Returns the pixels of an image that isn't a file, by its name; `None` if it can't be
            read. Such as an `ImageFinder`.
        verbose: Whether to show a progress bar.

    Returns:
        The measures, in the index's order. About 5 kB an image are kept.

    Example:

    >>> grey = np.full((20, 30), 100, "uint8")
    >>> records = (ImageRecord("images[0]", 0),)
    >>> measure_images(ImageIndex(records, ("x", "y")), lambda name: grey)[0].brightness
    100.0
    """

    def measure(record: ImageRecord) -> ImageMeasures:
        if not Path(record.name).is_file():
            pixels = fetch(record.name)
            if pixels is None:
                return ImageMeasures(problem=record.problem or "there is no such file")
            return measure_image(pixels)
        try:
            data = Path(record.name).read_bytes()
        # Gone or locked since the folder was listed: one photo must not stop a run.
        except OSError as error:
            return ImageMeasures(problem=str(error))
        return measure_image(data, name=record.name)

    def work(start: int) -> list[ImageMeasures]:
        return [measure(record) for record in index.records[start : start + _CHUNK]]

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        starts = range(0, len(index), _CHUNK)
        measures = (each for part in pool.map(work, starts) for each in part)
        return tuple(track(measures, "Looking at images", len(index), show=verbose))


def measure_image(image: bytes | np.ndarray, *, name: str = "") -> ImageMeasures:
    """Measure one image.

    Args:
        image: A file's bytes, or an array as `read_image` takes it.
        name: The file's name, for the reason why it can't be read.

    Returns:
        Its measures.

    Example:

    >>> measure_image(b"").problem
    'the file is empty'

    Reference:
        Blur: Crété-Roffet, Dolmiere, Ladret & Nicolas, *The Blur Effect* (2007).
    """
    if isinstance(image, bytes):
        file_format, raw = _file_format(image), image
    else:
        file_format, raw = "", repr(image.shape).encode() + image.tobytes()
    content = hashlib.sha256(raw).hexdigest()
    pixels, header = decode(image, _size(inspect(image)), "stretch", "rgb", "file")
    if pixels is None:
        problem = header.problem or "it can't be decoded"
        if "HEIC" not in problem and name.lower().endswith((".heic", ".heif")):
            # `decode` sees bytes only, and this is the one format whose name says what to do.
            problem = decode(Path(name), None, "crop", "rgb", "file")[1].problem or problem
        return ImageMeasures(problem=problem, file_format=file_format, content=content)
    import cv2

    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    side = (THUMBNAIL_PIXELS, THUMBNAIL_PIXELS)
    shrinks = min(grey.shape) > THUMBNAIL_PIXELS
    return ImageMeasures(
        width=header.width,
        height=header.height,
        orientation=header.orientation,
        file_format=file_format,
        content=content,
        brightness=float(grey.mean()),
        highlight=float(np.quantile(grey, 0.98)),
        spread=float(grey.std()),
        blur=blur_effect(grey),
        color=_mean_color(pixels.reshape(-1, 3)),
        border_color=_mean_color(_border(pixels)),
        thumbnail=cv2.resize(
            grey, side, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        ),
    )


def lying_extension(name: str, file_format: str) -> str | None:
    """Return the format that a file's name promises, if it holds another one.

    Args:
        name: The file's name.
        file_format: What it holds, such as `"PNG"`; empty if unknown.

    Returns:
        The promised format; `None` if the name tells the truth or nothing.

    Example:

    >>> lying_extension("tom.jpg", "PNG"), lying_extension("tom.jpeg", "JPEG")
    ('JPEG', None)
    """
    from PIL import Image

    extension = PurePath(name).suffix.lower()
    known = {**Image.registered_extensions(), ".dcm": "DICOM"}
    promised = _ALIASES.get(known.get(extension, ""), known.get(extension))
    if not file_format or promised is None or promised == file_format:
        return None
    return promised


def _size(header: Header) -> tuple[int, int]:
    """Return the `(height, width)` to measure an image at."""
    if header.problem or not header.width or not header.height:
        return _LONGEST_PIXELS, _LONGEST_PIXELS
    factor = min(1.0, _LONGEST_PIXELS / max(header.width, header.height))
    return max(1, round(header.height * factor)), max(1, round(header.width * factor))


def _file_format(data: bytes) -> str:
    """Return what a file's first bytes say that it is; empty if they say nothing."""
    if data[:3] == b"\xff\xd8\xff":
        return "JPEG"
    if dicom.is_dicom(data):
        return "DICOM"
    import io

    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            return _ALIASES.get(image.format or "", image.format or "")
    # A broken header can make a reader raise almost anything.
    except Exception:
        return ""


def _mean_color(pixels: np.ndarray) -> tuple[float, float, float]:
    red, green, blue = pixels.mean(0).tolist()
    return red, green, blue


def _border(pixels: np.ndarray) -> np.ndarray:
    """Return the outermost pixels, shape `(n, 3)`."""
    height, width = pixels.shape[:2]
    rows, columns = (max(1, round(side * _BORDER_PART)) for side in (height, width))
    outermost = np.ones((height, width), bool)
    outermost[rows : height - rows, columns : width - columns] = False
    return pixels[outermost]
