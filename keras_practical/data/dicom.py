"""DICOM: from what a scanner measured to pixels from 0 to 255.

A scanner's values have a unit, such as Hounsfield's for CT, and a range that no screen shows at
once. A *window* says which part of the range becomes 0 to 255.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pydicom

__all__ = [
    "CT_WINDOWS",
    "Slice",
    "check_window",
    "dicom_slices",
    "in_order",
    "is_dicom",
    "windowed",
]

Window = str | tuple[float, float]

# Centre and width in Hounsfield units, as radiologists use them.
CT_WINDOWS: dict[str, tuple[float, float]] = {
    "abdomen": (40, 400),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (30, 150),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
}
INSTALL = 'pip install "keras-practical[medical]"'
# What tells several stacks of slices of one place apart, and isn't a slice's own.
_STACKS = ("AcquisitionNumber", "EchoNumbers", "TemporalPositionIdentifier", "TriggerTime")
_COLORS = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")


@dataclass(frozen=True)
class Slice:
    """One slice as it was measured.

    Attributes:
        values: float32 of shape `(height, width)` in the scanner's unit or, for an image in
            colour, uint8 of shape `(height, width, 3)`.
        modality: The kind of scanner, such as `"CT"`; empty if unknown.
        own_window: How the file wants its values shown: from them to [0, 1]; `None` if it doesn't
            say.
        bright_is_low: Whether small values are to be bright (DICOM's MONOCHROME1).
        outside: Where nothing was measured, bool of shape `(height, width)`; `None` for nowhere.
        position: Place along the body in millimetres, growing towards the head; `None` if unknown.
        series: What the slice belongs to; empty if unknown.
        location: The file's own SliceLocation, which has no direction; `None` if unknown.
        number: The file's InstanceNumber; `None` if unknown.
        axes: The directions of rows and columns, to tell slices that lie otherwise; `None` if
            unknown.
        stack: Which acquisition, echo or moment it belongs to, as far as the file says so.
        is_localizer: Whether it is an overview that the others were planned on.

    Example:

    >>> Slice(np.zeros((4, 4), "float32"), "CT").position is None
    True
    """

    values: np.ndarray
    modality: str = ""
    own_window: Callable[[np.ndarray], np.ndarray] | None = None
    bright_is_low: bool = False
    outside: np.ndarray | None = None
    position: float | None = None
    series: str = ""
    location: float | None = None
    number: int | None = None
    axes: tuple[float, ...] | None = None
    stack: tuple[str, ...] = ()
    is_localizer: bool = False

    def __str__(self) -> str:
        height, width = self.values.shape
        return f"a slice of {width} x {height} {self.modality or 'values'}"


def check_window(window: Any) -> None:
    """Check a window as `read_image` and `load_images` take it.

    Args:
        window: `"file"`, `"full"`, a name in `CT_WINDOWS` or a pair `(center, width)`.

    Raises:
        ValueError: It is none of these.

    Example:

    >>> check_window("lung")
    """
    if isinstance(window, str) and window in ("file", "full", *CT_WINDOWS):
        return
    if isinstance(window, tuple | list) and len(window) == 2:
        numbers = [isinstance(value, int | float) and np.isfinite(value) for value in window]
        if all(numbers) and window[1] > 0:
            return
    names = ", ".join(f'"{name}"' for name in CT_WINDOWS)
    raise ValueError(
        f'`window` must be "file", "full", one of {names}, or a (center, width) pair in the '
        f"scanner's unit, width > 0. Received: window={window!r}"
    )


def is_dicom(data: bytes) -> bool:
    """Say whether a file's first bytes are those of DICOM, with its preamble or, as old, without.

    Args:
        data: At least 132 bytes.

    Returns:
        Whether the mark is there, or the first element is one of group 2 or 8 that is well-formed.

    Example:

    >>> is_dicom(bytes(128) + b"DICM")
    True

    Reference:
        DICOM PS3.10, section 7.1.
    """
    return data[128:132] == b"DICM" or _starts_with_element(data)


def _starts_with_element(data: bytes) -> bool:
    group, element = data[:2], int.from_bytes(data[2:4], "little")
    if group not in (b"\x02\x00", b"\x08\x00") or element > 0x20:
        return False
    # Written explicitly: the kind of value. Implicitly: a length, which is short here.
    return (
        data[4:6] in (b"UL", b"UI", b"CS", b"OB", b"SH")
        or 0 < int.from_bytes(data[4:8], "little") <= 64
    )


def dicom_slices(data: bytes, *, first: bool = False) -> list[Slice]:
    """Read the slices of a DICOM file: one, or as many as it has frames.

    Values go through the file's modality LUT or its rescale slope and intercept. Compressed pixels
    are decoded where a decoder is installed.

    Args:
        data: The file's bytes.
        first: Whether to read the first frame only.

    Returns:
        The slices, in the file's order.

    Raises:
        ValueError: The file has no image, or it is broken, too large, or compressed in a way
            that can't be read here.
        ImportError: pydicom isn't installed.

    Example:

    >>> from pathlib import Path
    >>> from pydicom.data import get_testdata_file
    >>> [slice_] = dicom_slices(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    >>> slice_.modality, slice_.values.shape, float(slice_.values.min())
    ('CT', (128, 128), -896.0)

    Reference:
        DICOM PS3.3, C.7.6.3 (pixels), C.11.1 (modality LUT), C.11.2 (window).
    """
    try:
        import pydicom
    except ImportError as error:
        raise ImportError(f"DICOM files need {INSTALL}") from error
    dataset = pydicom.dcmread(io.BytesIO(data), force=data[128:132] != b"DICM")
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise ValueError(f"it is DICOM without an image ({dataset.get('Modality', 'no modality')})")
    if "TransferSyntaxUID" not in dataset.file_meta:
        # Without a preamble there is none; such files are written in DICOM's default.
        dataset.file_meta.TransferSyntaxUID = (
            pydicom.uid.ImplicitVRLittleEndian
            if dataset.original_encoding[0]
            else pydicom.uid.ExplicitVRLittleEndian
        )
    _check_size(dataset)
    frames = 1 if first else int(dataset.get("NumberOfFrames") or 1)
    return [_frame(dataset, frame) for frame in range(frames)]


def windowed(slices: Sequence[Slice], window: Window) -> Iterator[np.ndarray]:
    """Turn measured values into pixels, all slices of a scan alike.

    Args:
        slices: Slices of one scan.
        window: `"file"` as the files themselves ask for, or like `"full"` if they don't;
            `"full"` from the smallest to the largest value of the scan; a name in `CT_WINDOWS`
            (CT only) or a pair `(center, width)`. Images in colour stay as they are.

    Returns:
        An iterator over uint8 arrays of shape `(height, width)` or `(height, width, 3)`.

    Raises:
        ValueError: A window of `CT_WINDOWS` was asked for, and the scanner isn't a CT.

    Example:

    >>> values = np.array([[-1350.0, -600.0, 150.0]])
    >>> next(windowed([Slice(values, "CT")], "lung")).tolist()
    [[0, 128, 255]]

    Reference:
        DICOM PS3.3, C.11.2.1.2.
    """
    low, high = _range(slices)
    for slice_ in slices:
        if slice_.values.ndim == 3:
            yield slice_.values
            continue
        if isinstance(window, str) and window in CT_WINDOWS:
            if slice_.modality not in ("CT", ""):
                raise ValueError(
                    f"window {window!r} is in Hounsfield units, which only CT has, and this is "
                    f'{slice_.modality}; pass (center, width) or "file"'
                )
            function = _linear(*CT_WINDOWS[window])
        elif not isinstance(window, str):
            function = _linear(*window)
        else:
            own = slice_.own_window if window == "file" else None
            function = own or between(low, high)
        light = function(slice_.values)
        light = 1.0 - light if slice_.bright_is_low else light
        if slice_.outside is not None:
            light = np.where(slice_.outside, 0.0, light)
        yield np.rint(255.0 * light).astype("uint8")


def _check_size(dataset: pydicom.Dataset) -> None:
    """Refuse images that Pillow would refuse: small files can unpack to very large ones."""
    from PIL import Image

    height, width = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and height * width > limit:
        raise ValueError(f"{height} x {width} pixels are more than Pillow's limit of {limit:,}")


def _frame(dataset: pydicom.Dataset, frame: int) -> Slice:
    from pydicom import pixels

    stored = _decoded(dataset, frame)
    kind = str(dataset.get("PhotometricInterpretation", "MONOCHROME2"))
    if kind in _COLORS or kind == "PALETTE COLOR":
        if kind == "PALETTE COLOR":
            stored = pixels.apply_color_lut(stored, dataset)
        depth = 8 * stored.dtype.itemsize
        colors = (stored >> (depth - 8)).astype("uint8")
        return Slice(colors, str(dataset.get("Modality", "")), **_place(dataset, frame))
    if stored.ndim != 2 or not kind.startswith("MONOCHROME"):
        raise ValueError(f"pixels of kind {kind!r} and shape {stored.shape} can't be read")
    if dataset.get("ModalityLUTSequence"):
        values = pixels.apply_modality_lut(stored, dataset)
    else:
        slope = _attribute(dataset, frame, "RescaleSlope", 1.0)
        values = stored * float(slope) + float(_attribute(dataset, frame, "RescaleIntercept", 0.0))
    return Slice(
        values.astype("float32"),
        str(dataset.get("Modality", "")),
        _own_window(dataset, frame),
        kind == "MONOCHROME1",
        _outside(stored, dataset),
        **_place(dataset, frame),
    )


def _place(dataset: pydicom.Dataset, frame: int) -> dict[str, Any]:
    """Return what tells where a slice belongs, as arguments of `Slice`."""
    number = str(dataset.get("InstanceNumber") or "")
    stack = [f"{name} {dataset[name].value}" for name in _STACKS if dataset.get(name) is not None]
    kinds = [str(value).upper() for value in _values(dataset.get("ImageType"))]
    return {
        "position": _position(dataset, frame),
        "series": str(dataset.get("SeriesInstanceUID", "")),
        "location": _first(_attribute(dataset, frame, "SliceLocation")),
        "number": int(number) if number.isdigit() else None,
        "axes": _axes(dataset, frame),
        "stack": tuple(stack),
        "is_localizer": "LOCALIZER" in kinds,
    }


def _decoded(dataset: pydicom.Dataset, frame: int) -> np.ndarray:
    """Return a frame's stored values; the error for a missing decoder says what to install."""
    from pydicom import pixels

    try:
        return pixels.pixel_array(dataset, index=frame)
    except (RuntimeError, NotImplementedError) as error:
        syntax = getattr(dataset.file_meta.get("TransferSyntaxUID"), "name", "an unknown syntax")
        raise ValueError(
            f"no decoder here reads its pixels, compressed as {syntax}. Try {INSTALL}, or "
            "decompress the file with gdcmconv or dcmdjpeg"
        ) from error


def _attribute(dataset: pydicom.Dataset, frame: int, name: str, default: Any = None) -> Any:
    """Return an attribute of a frame; enhanced files keep those in functional groups."""
    if dataset.get(name) is not None:
        return dataset.get(name)
    for groups, index in (("PerFrame", frame), ("Shared", 0)):
        sequence = dataset.get(f"{groups}FunctionalGroupsSequence")
        if sequence and index < len(sequence):
            for element in sequence[index]:
                if element.VR == "SQ" and element.value and element.value[0].get(name) is not None:
                    return element.value[0].get(name)
    return default


def _own_window(dataset: pydicom.Dataset, frame: int) -> Callable[[np.ndarray], np.ndarray] | None:
    from pydicom import pixels

    if dataset.get("VOILUTSequence"):
        top = 2.0 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1.0
        return lambda values: pixels.apply_voi(values.astype("int64"), dataset) / top
    center = _first(_attribute(dataset, frame, "WindowCenter"))
    width = _first(_attribute(dataset, frame, "WindowWidth"))
    if center is None or width is None:
        return None
    function = str(_attribute(dataset, frame, "VOILUTFunction", "LINEAR")).upper()
    if function == "SIGMOID":
        return lambda values: 1.0 / (1.0 + np.exp(-4.0 * (values - center) / width))
    if function == "LINEAR_EXACT":
        return between(center - width / 2, center + width / 2)
    return _linear(center, width)


def _first(value: Any) -> float | None:
    """Return a number, the first one where there are several windows to choose from."""
    if value is None:
        return None
    many = not isinstance(value, str | int | float) and hasattr(value, "__len__")
    if many and not len(value):
        return None
    return float(value[0] if many else value)


def _outside(stored: np.ndarray, dataset: pydicom.Dataset) -> np.ndarray | None:
    """Return where the scanner measured nothing: round scans on square images."""
    padding = dataset.get("PixelPaddingValue")
    if not isinstance(padding, int):
        return None
    end = dataset.get("PixelPaddingRangeLimit")
    end = end if isinstance(end, int) else padding
    outside = (stored >= min(padding, end)) & (stored <= max(padding, end))
    return outside if outside.any() and not outside.all() else None


def _position(dataset: pydicom.Dataset, frame: int) -> float | None:
    """Return the place along the normal of the slice, turned so that it grows towards the head."""
    position = _attribute(dataset, frame, "ImagePositionPatient")
    if position is None or len(position) != 3:
        return None
    axes = _axes(dataset, frame)
    # Without directions, slices lie across the body, as nearly all do.
    normal = np.array([0.0, 0.0, 1.0]) if axes is None else np.cross(axes[:3], axes[3:])
    # Rows may run from back to front: the normal then points to the feet. The largest part counts,
    # so slices along the body grow towards their left or front.
    main = normal[np.argmax(np.abs(normal))]
    sign = 1.0 if main >= 0 else -1.0
    if abs(main) < 0.5:
        return None
    # In DICOM the axes grow to the patient's left, back and head.
    back = int(np.argmax(np.abs(normal))) == 1
    place = float(np.dot(normal, [float(value) for value in position])) * sign
    return -place if back else place


def _axes(dataset: pydicom.Dataset, frame: int) -> tuple[float, ...] | None:
    axes = _attribute(dataset, frame, "ImageOrientationPatient")
    if axes is None or len(axes) != 6:
        return None
    return tuple(float(value) for value in axes)


def _values(value: Any) -> list[Any]:
    """Return an element's values, be there none, one or several."""
    if value is None:
        return []
    return [value] if isinstance(value, str) else list(value)


def in_order(slices: Sequence[Slice]) -> tuple[list[Slice], list[str]]:
    """Put the slices of one scan in the order of their places in the body.

    The position along the normal decides, towards the head; where a slice lacks it, the slice
    location, and where one lacks that too, the instance number. Neither of these has a direction
    that can be trusted, so it is said.

    Args:
        slices: Slices of one folder or file.

    Returns:
        The slices, and what there is to say of them.

    Raises:
        ValueError: They are of several series, lie in several directions, or are several stacks of
            the same places; or nothing tells their order.

    Example:

    >>> values = np.zeros((2, 2), "float32")
    >>> upper, lower = Slice(values, position=5.0), Slice(values, position=-5.0)
    >>> [slice_.position for slice_ in in_order([upper, lower])[0]]
    [-5.0, 5.0]

    Reference:
        DICOM PS3.3, C.7.6.2 (image plane).
    """
    said = []
    kept = [slice_ for slice_ in slices if not slice_.is_localizer] or list(slices)
    if len(kept) < len(slices):
        said.append(f"left out {len(slices) - len(kept)} localizers")
    series = {slice_.series for slice_ in kept}
    if len(series) > 1:
        raise ValueError(
            f"it holds slices of {len(series)} series. Put each into a folder of its own"
        )
    if len(kept) < 2:
        return kept, said
    axes = [np.array(slice_.axes) for slice_ in kept if slice_.axes is not None]
    if any(np.abs(other - axes[0]).max() > 0.1 for other in axes):
        raise ValueError(
            "its slices lie in several directions. Put those of each into a folder of its own"
        )
    for name, what in (
        ("position", "position"),
        ("location", "SliceLocation"),
        ("number", "InstanceNumber"),
    ):
        places = [getattr(slice_, name) for slice_ in kept]
        if any(place is None for place in places) or len(set(places)) == 1:
            continue
        if len(set(places)) < len(places):
            stacks = sorted({slice_.stack for slice_ in kept})
            told = f" ({'; '.join(', '.join(stack) for stack in stacks[:3])})" * (len(stacks) > 1)
            raise ValueError(
                f"several of its slices have one {what}: they are more than one stack{told}, or "
                "copies. Put each stack into a folder of its own"
            )
        if name != "position":
            said.append(
                f"not every slice has a position: the order is that of {what}, whose direction "
                "isn't known"
            )
        return [kept[row] for row in np.argsort(places, kind="stable")], said
    raise ValueError(
        "nothing in its slices tells their order: not all have a position (with "
        "ImagePositionPatient), a SliceLocation or an InstanceNumber"
    )


def _range(slices: Sequence[Slice]) -> tuple[float, float]:
    """Return the smallest and the largest value that was measured."""
    low, high = np.inf, -np.inf
    for slice_ in slices:
        if slice_.values.ndim == 2:
            values = slice_.values if slice_.outside is None else slice_.values[~slice_.outside]
            if not values.size:
                continue
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return low, high


def between(low: float, high: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return the window from `low` to `high`."""
    width = max(high - low, 1e-12)
    return lambda values: np.clip((values - low) / width, 0.0, 1.0)


def _linear(center: float, width: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return DICOM's linear window, whose ends are half a value inside."""
    middle, span = center - 0.5, max(width - 1.0, 1e-12)
    return lambda values: np.clip((values - middle) / span + 0.5, 0.0, 1.0)
