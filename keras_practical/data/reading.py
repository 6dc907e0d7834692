"""Reading images: upright, in RGB, at the size that training needs, whatever the file holds.

`read_image` is the one place where bytes become pixels. Ordinary JPEG files take a fast road:
the decoder itself shrinks them while it decodes, which is several times faster for photos much
larger than asked. Everything else (CMYK, 16-bit, palette, alpha, animated, TIFF, ...) goes through
Pillow, DICOM through pydicom.
"""

from __future__ import annotations

import io
import math
import os
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_practical.data import dicom
from keras_practical.utils.checks import ImageSize, check_choice, check_image_size

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["read_image", "read_with_alpha"]

# What Pillow may open. Left out are the formats that start another program (EPS, PDF) or that no
# photo comes in. HEIF needs the plug-in `pillow-heif`.
_FORMATS = (
    "JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "WEBP", "AVIF", "HEIF", "TIFF", "PPM", "TGA", "ICO",
    "JPEG2000", "PCX", "SGI", "SUN", "PSD", "QOI", "DDS",
)  # fmt: skip
_PEEK_BYTES = 65536
NO_FILE = "there is no such file"
_END_MARKS = {"JPEG": b"\xff\xd9", "PNG": b"IEND"}
_HEIC_MARKS = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1"))
_EXIF_ORIENTATION = 0x0112
_ASPECTS = ("crop", "pad", "stretch")
_COLOR_MODES = ("rgb", "grayscale")


def read_image(
    source: str | Path | bytes | np.ndarray | PIL.Image.Image,
    *,
    image_size: ImageSize | None = None,
    aspect: str = "crop",
    color_mode: str = "rgb",
    window: dicom.Window = "file",
) -> np.ndarray:
    """Read one image as training sees it: upright, in [0, 255], at the size asked.

    Use it to predict a single file with a model trained on `load_images`. The plain-Keras
    equivalent, `keras.utils.load_img`, ignores the EXIF orientation that phones write (photos come
    in sideways) and stretches the image.

    Transparent parts become white, an animation gives its first frame, deeper values are scaled to
    8 bits (see `window`). No external program is started, and Pillow's limit on huge images stays
    in force.

    Args:
        source: A file's path, its bytes, an image of Pillow's, or an array of shape
            `(height, width)` or `(height, width, channels)`, 1, 3 or (with transparency) 4
            channels, with values in [0, 255] or, for a mask, of truth values.
        image_size: Pixels, one number or `(height, width)`. Default: the image's own size.
        aspect: `"crop"` keeps the middle, `"pad"` adds black borders, `"stretch"` distorts.
        color_mode: `"rgb"` or `"grayscale"`.
        window: Which of a DICOM file's values become 0 to 255: `"file"` as the file asks (all of
            them if it doesn't), `"full"` all of them, a pair `(center, width)` in the scanner's
            unit or, for CT, a name in `keras_practical.scans.CT_WINDOWS`, such as `"lung"`. Of
            other files it counts for grey values of more than 8 bits, for which `"file"` means:
            16 bits from 0 to 65,535, fractions from 0 to 1 or to 255, anything else is refused.

    Returns:
        uint8 array of shape `(height, width, 3)`, or `(height, width, 1)` for `"grayscale"`.

    Raises:
        ValueError: An argument is outside its choices, or the image can't be read: the text
            names the file and the reason.

    Warns:
        UserWarning: A file of deep grey values is nearly black, or some were cut.

    Example:

    >>> read_image(np.full((20, 10), 255, "uint8"), image_size=4)[0, 0].tolist()
    [255, 255, 255]

    Reference:
        EXIF 2.32, tag 0x0112 (orientation); windows: DICOM PS3.3, C.11.2.1.2.
    """
    check_choice("aspect", aspect, _ASPECTS)
    check_choice("color_mode", color_mode, _COLOR_MODES)
    dicom.check_window(window)
    size = None if image_size is None else check_image_size("image_size", image_size)
    pixels, header = decode(source, size, aspect, color_mode, window)
    name = source if isinstance(source, str | Path) else "the image given"
    if pixels is None:
        raise ValueError(f"Can't read {name}: {header.problem}.")
    if header.notice is not None:
        warnings.warn(f"{name}: {header.notice}.", stacklevel=2)
    return pixels


def read_with_alpha(
    source: str | Path | bytes | PIL.Image.Image,
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return an image as `read_image` does, but its transparent pixels as they are, and its alpha.

    Args:
        source: As in `read_image`, but no array.

    Returns:
        uint8 array of shape `(height, width, 3)`, and how opaque each pixel is, uint8 of shape
        `(height, width)`; `None` if the image has no transparency.

    Raises:
        ValueError: As in `read_image`.

    Example:

    >>> from PIL import Image
    >>> pixels, alpha = read_with_alpha(Image.new("LA", (2, 1), (7, 0)))
    >>> pixels.tolist(), alpha.tolist()
    ([[[7, 7, 7], [7, 7, 7]]], [[0, 0]])
    """
    from PIL import Image

    # It also says what can't be read, and why.
    pixels = read_image(source)
    if not isinstance(source, str | Path | bytes):
        return _with_alpha(source, pixels)
    data = source if isinstance(source, bytes) else _read_file(source)
    if dicom.is_dicom(data):
        return pixels, None
    with Image.open(io.BytesIO(data), formats=_readable_formats()) as image:
        return _with_alpha(image, pixels)


@dataclass(frozen=True, slots=True)
class Header:
    """What decoding found out about an image."""

    width: int = 0
    height: int = 0
    orientation: int = 1
    problem: str | None = None
    # What was assumed of its values, where the file leaves it open.
    notice: str | None = None

    @property
    def stored(self) -> tuple[int, int]:
        """Width and height as the file has them, before the EXIF orientation counts."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def decode(
    source: str | Path | bytes | np.ndarray | PIL.Image.Image,
    size: tuple[int, int] | None,
    aspect: str,
    color_mode: str,
    window: dicom.Window,
) -> tuple[np.ndarray | None, Header]:
    """Return the pixels as `read_image` does, and the header; no pixels if there is a problem."""
    try:
        if isinstance(source, np.ndarray):
            pixels, notice = _in_range(source)
            pixels, (height, width) = array_to_uint8(pixels), source.shape[:2]
            header = Header(width, height, notice=notice)
            return finish(pixels, size, aspect, color_mode, 1), header
        if not isinstance(source, str | Path | bytes):
            image, notice = _from_pillow(source, window)
        else:
            data = source if isinstance(source, bytes) else _read_file(source)
            if not data:
                return None, Header(problem="the file is empty")
            notice = None
            if dicom.is_dicom(data):
                image = _decode_dicom(data, window)
            else:
                jpeg = _decode_jpeg(data, size, aspect)
                image, notice = (jpeg, None) if jpeg else _decode_with_pillow(data, window)
        pixels, orientation, (height, width) = image
        upright = (width, height) if orientation >= 5 else (height, width)
        finished = finish(pixels, size, aspect, color_mode, orientation)
        return finished, Header(upright[1], upright[0], orientation, notice=notice)
    # A broken file can make a decoder raise almost anything, and one photo must not stop a run.
    except Exception as error:
        return None, Header(problem=_explain(source, error))


def inspect(source: str | Path | bytes | np.ndarray, *, window: dicom.Window = "file") -> Header:
    """Return the header without decoding; a file whose end is missing counts as a problem."""
    from PIL import Image

    try:
        if isinstance(source, np.ndarray):
            return Header(source.shape[1], source.shape[0])
        with io.BytesIO(source) if isinstance(source, bytes) else Path(source).open("rb") as stream:
            length = stream.seek(0, io.SEEK_END)
            if not length:
                return Header(problem="the file is empty")
            stream.seek(max(0, length - _PEEK_BYTES))
            tail = stream.read()
            stream.seek(0)
            head = stream.read(_PEEK_BYTES)
            if dicom.is_dicom(head):
                # Only decoding tells whether the pixels are there and a decoder for them is.
                return decode(source, None, "crop", "rgb", window)[1]
            plain = _inspect_plain_jpeg(head, tail)
            if plain is not None:
                return plain
            stream.seek(0)
            with Image.open(stream, formats=_readable_formats()) as image:
                end = _END_MARKS.get(image.format or "")
                # Phones append films to photos: only decoding tells those from files cut off.
                whole = end is None or end in tail
                if not whole and decode(source, None, "crop", "rgb", window)[1].problem:
                    return Header(problem="the file is cut off: its end is missing")
                # A PNG may keep its orientation behind the pixels; reading on would decode them.
                late = image.format == "PNG" and "exif" not in image.info
                # Pillow turns a TIFF upright itself, and its size is already the upright one.
                orientation = 1 if late or image.format == "TIFF" else _orientation(image)
                width, height = image.size
        if orientation >= 5:
            width, height = height, width
        return Header(width, height, orientation)
    # As in `decode`: a broken header can make a reader raise almost anything.
    except Exception as error:
        return Header(problem=_explain(source, error))


def _read_file(path: str | Path) -> bytes:
    # `Path.read_bytes` goes through a buffer: twice the system calls, at each of which the threads
    # that read images get in each other's way.
    # `fspath` because `open` takes a number for a file that is already open, and closes it.
    with open(os.fspath(path), "rb", buffering=0) as file:  # noqa: PTH123
        return file.read()


def _decode_jpeg(
    data: bytes, size: tuple[int, int] | None, aspect: str
) -> tuple[np.ndarray, int, tuple[int, int]] | None:
    """Decode an ordinary JPEG, already shrunk; `None` sends every other file to Pillow."""
    if data[:2] != b"\xff\xd8":
        return None
    import simplejpeg
    from PIL import Image

    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(data)
        if not _is_ordinary(height, width, colorspace):
            return None
        orientation = 1
        if _has_metadata(data):
            with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
                orientation = _orientation(image)
        divisor = 1
        if size is not None:
            needed = scaled(height, width, size[::-1] if orientation >= 5 else size, aspect)
            divisor = _shrinkage(height, width, needed)
        pixels = simplejpeg.decode_jpeg(
            data,
            "RGB",
            min_height=math.ceil(height / divisor),
            min_width=math.ceil(width / divisor),
        )
    except ValueError:
        return None
    return pixels, orientation, (height, width)


def _inspect_plain_jpeg(head: bytes, tail: bytes) -> Header | None:
    """Return the header of a whole ordinary JPEG without metadata; `None` leaves it to Pillow."""
    if head[:2] != b"\xff\xd8" or _END_MARKS["JPEG"] not in tail or _has_metadata(head):
        return None
    import simplejpeg

    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(head)
    except ValueError:
        return None
    return Header(width, height) if _is_ordinary(height, width, colorspace) else None


def _is_ordinary(height: int, width: int, colorspace: str) -> bool:
    """Say whether a JPEG has no need of Pillow: of its limit on huge images, of its colours."""
    from PIL import Image

    limit = Image.MAX_IMAGE_PIXELS
    return colorspace in ("YCbCr", "Gray") and (limit is None or height * width <= limit)


def _has_metadata(data: bytes) -> bool:
    """Say whether a JPEG has an APP1 segment, where EXIF and XMP keep the orientation."""
    place = 2
    # Each segment is FF, its kind, its length in two bytes; the pixels follow the kind DA.
    while data[place : place + 1] == b"\xff":
        kind = data[place + 1 : place + 2]
        if kind in (b"\xda", b"\xe1"):
            return kind == b"\xe1"
        # FF may be repeated before a kind.
        place += 1 if kind == b"\xff" else 2 + int.from_bytes(data[place + 2 : place + 4])
    return False


def _shrinkage(height: int, width: int, needed: tuple[int, int]) -> int:
    """Return the largest divisor that the decoder is fast at and that leaves enough pixels."""
    for divisor in (8, 4, 2):
        if height >= divisor * needed[0] and width >= divisor * needed[1]:
            return divisor
    return 1


def _decode_with_pillow(
    data: bytes, window: dicom.Window
) -> tuple[tuple[np.ndarray, int, tuple[int, int]], str | None]:
    from PIL import Image

    with Image.open(io.BytesIO(data), formats=_readable_formats()) as image:
        image.load()
        return _from_pillow(image, window)


def _from_pillow(
    image: Any, window: dicom.Window
) -> tuple[tuple[np.ndarray, int, tuple[int, int]], str | None]:
    """Return the pixels, the orientation and the size of Pillow's image, and what was assumed."""
    notice = None
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        grey, notice = _to_8_bits(np.asarray(image), window, png=image.format == "PNG")
        pixels = array_to_uint8(grey)
    else:
        pixels = _pillow_to_rgb(image)
    return (pixels, _orientation(image), (image.height, image.width)), notice


def _with_alpha(image: Any, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return what `read_with_alpha` does, from Pillow's image and its pixels on white."""
    if not image.has_transparency_data:
        return pixels, None
    image.load()
    orientation = _orientation(image)
    if image.mode.startswith("I"):
        # Deep grey values, one of which stands for nothing; Pillow would cut them at 255.
        opaque = np.asarray(image) != image.info["transparency"]
        alpha = np.where(opaque, 255, 0).astype("uint8")[:, :, None]
    else:
        rgba = np.asarray(image.convert("RGBA"))
        pixels, alpha = _upright(rgba[..., :3], orientation), rgba[..., 3:]
    return pixels, _upright(alpha, orientation)[..., 0]


def _decode_dicom(data: bytes, window: dicom.Window) -> tuple[np.ndarray, int, tuple[int, int]]:
    pixels = array_to_uint8(next(dicom.windowed(dicom.dicom_slices(data, first=True), window)))
    return pixels, 1, (pixels.shape[0], pixels.shape[1])


def _readable_formats() -> tuple[str, ...]:
    """Return the formats that this Pillow has a reader for; it refuses to be asked for others."""
    from PIL import Image

    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def readers() -> tuple[str, ...]:
    """Return all that can be read here: what couldn't be may be once more is installed."""
    decoders = [name for name in ("pydicom", "gdcm", "openjpeg") if find_spec(name)]
    return (*_readable_formats(), *decoders)


def _orientation(image: Any) -> int:
    """Return the EXIF orientation, 1 where there is none or it can't be read."""
    try:
        orientation = image.getexif().get(_EXIF_ORIENTATION, 1)
    # Broken metadata is common in photos that are otherwise fine.
    except Exception:
        return 1
    return orientation if orientation in range(1, 9) else 1


def _pillow_to_rgb(image: Any) -> np.ndarray:
    from PIL import Image

    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.asarray(image.convert("RGB"))


def _to_8_bits(
    values: np.ndarray, window: dicom.Window, *, png: bool
) -> tuple[np.ndarray, str | None]:
    """Scale deep grey values to [0, 255], and say what was assumed if the file doesn't tell.

    The kind of number decides, not the image's own largest value, or two images of one set would
    be scaled differently.
    """
    if values.dtype.kind == "f":
        values = np.nan_to_num(values, posinf=0.0, neginf=0.0)
    low, top = float(values.min()), float(values.max())
    if isinstance(window, tuple | list):
        return 255.0 * dicom.between(window[0] - window[1] / 2, window[0] + window[1] / 2)(
            values
        ), None
    if window == "full":
        return 255.0 * dicom.between(low, top)(values), None
    answer = 'pass window=(center, width) or window="full" to say which values are black and white'
    # Compared by kind and size: Pillow also gives big-endian arrays, and PNG of 16 bits as 32.
    if values.dtype.str[1:] == "u2" or (png and values.dtype.kind in "iu"):
        notice = None
        if 0 < top < 4096:
            notice = f"its 16-bit values end at {top:g} of 65,535, so it is nearly black: {answer}"
        return 255.0 * dicom.between(0.0, 65535.0)(values), notice
    if values.dtype.kind == "f" and low >= 0 and top <= 2.0:
        over = f"its values go to {top:g}; those above 1 count as white: {answer}"
        return 255.0 * dicom.between(0.0, 1.0)(values), over if top > 1.0 else None
    if low >= 0 and top <= 255.0:
        return np.clip(values, 0.0, 255.0), None
    raise ValueError(f"its values go from {low:g} to {top:g}: {answer}")


def _in_range(values: np.ndarray) -> tuple[np.ndarray, str | None]:
    """Return an array's values in [0, 255], and what was assumed; refuse those of other ranges."""
    if values.dtype == bool:
        return values * np.uint8(255), "truth values were taken for a mask: white where true"
    if values.dtype == np.uint8 or not values.size:
        return values, None
    check_range(values)
    return values, None


def check_range(values: np.ndarray) -> None:
    """Refuse values that can't be pixels from 0 to 255, fractions up to 1 among them."""
    low, high = float(values.min()), float(values.max())
    # Written so that NaN fails as well.
    if not (low >= 0 and high <= 255) or (values.dtype.kind == "f" and 0 < high <= 1):
        raise ValueError(
            f"pixel values must lie in [0, 255]. Received: values from {low:g} to {high:g}. Scale "
            "them first, for instance images * 255"
        )


def _explain(source: Any, error: Exception) -> str:
    """Say in one line why an image can't be read, and what to do where that is known."""
    from PIL import UnidentifiedImageError

    if isinstance(error, FileNotFoundError):
        return NO_FILE
    if isinstance(error, UnidentifiedImageError):
        head = _head(source)
        if head.startswith(b"version https://git-lfs"):
            return "it is a Git LFS pointer instead of the image: run `git lfs pull`"
        if head.lstrip()[:1] in (b"<", b"{"):
            return "it is a text (a web page or an error message?) instead of an image"
        name = str(source).lower() if isinstance(source, str | Path) else ""
        # The kind of file stands behind `ftyp`, whatever its name says.
        if name.endswith((".heic", ".heif")) or head[4:12] in _HEIC_MARKS:
            return (
                "HEIC photos need `pip install pillow-heif` and "
                "`pillow_heif.register_heif_opener()` before loading"
            )
        if name.endswith((".nii", ".nii.gz")):
            return "a NIfTI file holds a volume: use load_volumes or read_volume"
        return "it is not an image in a known format, or its header is damaged"
    text = " ".join(str(error).split()) or type(error).__name__
    return text[:200]


def _head(source: Any) -> bytes:
    """Return the first bytes of a file, to say what it is."""
    if isinstance(source, bytes):
        return source[:64]
    try:
        with Path(source).open("rb") as file:
            return file.read(64)
    except OSError:
        return b""


def finish(
    pixels: np.ndarray,
    size: tuple[int, int] | None,
    aspect: str,
    color_mode: str,
    orientation: int,
) -> np.ndarray:
    """Resize, turn upright and convert the colours of `(height, width, 3)` uint8 pixels."""
    if size is not None:
        # Turning the small image afterwards is cheaper than turning the large one before.
        pixels = _resize(pixels, size[::-1] if orientation >= 5 else size, aspect)
    pixels = _upright(pixels, orientation)
    if color_mode == "grayscale":
        # ITU-R 601 luma, as in Pillow and in JPEG.
        grey = pixels @ np.array([0.299, 0.587, 0.114], "float32")
        pixels = np.rint(grey).astype("uint8")[:, :, None]
    # The caller's own: neither read-only nor the array that came in.
    return np.require(pixels, requirements=["C", "W"])


def array_to_uint8(values: np.ndarray) -> np.ndarray:
    """Return an array's pixels as uint8 of shape `(height, width, 3)`."""
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.shape[2] not in (1, 3, 4) or 0 in values.shape:
        raise ValueError(
            "an array must be of shape (height, width) or (height, width, channels), with 1, 3 or "
            f"4 channels, not {values.shape}"
        )
    if values.shape[2] == 4:
        # As of a file: what is transparent becomes white.
        share = values[..., 3:] / np.float32(255.0)
        values = values[..., :3] * share + 255.0 * (1.0 - share)
    if values.dtype != np.uint8:
        values = np.rint(np.clip(values, 0, 255)).astype("uint8")
    return np.broadcast_to(values, (*values.shape[:2], 3))


def scaled(height: int, width: int, size: tuple[int, int], aspect: str) -> tuple[int, int]:
    """Return the size that a whole `height` x `width` image has once it fits `size`."""
    if aspect == "stretch":
        return size
    choose = max if aspect == "crop" else min
    factor = choose(size[0] / height, size[1] / width)
    return max(1, math.ceil(height * factor - 1e-6)), max(1, math.ceil(width * factor - 1e-6))


def _resize(pixels: np.ndarray, size: tuple[int, int], aspect: str) -> np.ndarray:
    height, width = pixels.shape[:2]
    target = size
    if aspect == "crop":
        factor = max(size[0] / height, size[1] / width)
        box = (
            min(height, max(1, round(size[0] / factor))),
            min(width, max(1, round(size[1] / factor))),
        )
        top, left = (height - box[0]) // 2, (width - box[1]) // 2
        pixels = pixels[top : top + box[0], left : left + box[1]]
    elif aspect == "pad":
        target = scaled(height, width, size, aspect)
    resized = _interpolate(pixels, target)
    if target == size:
        return resized
    padded = np.zeros((*size, 3), "uint8")
    row, column = (size[0] - target[0]) // 2, (size[1] - target[1]) // 2
    padded[row : row + target[0], column : column + target[1]] = resized
    return padded


def _interpolate(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize, several times faster than Pillow does."""
    height, width = pixels.shape[:2]
    if size == (height, width):
        return pixels
    import cv2

    # Bilinear interpolation looks at 2 x 2 pixels: it would skip some when shrinking further.
    skips = height > 2 * size[0] or width > 2 * size[1]
    filter_ = cv2.INTER_AREA if skips else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(pixels), size[::-1], interpolation=filter_)


def _upright(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the turn and the mirroring that the EXIF orientation tells of."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return pixels
