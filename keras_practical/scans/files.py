"""Reading scans: a folder of slices, a NIfTI file or a DICOM file of many frames."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical.data import dicom
from keras_practical.data.folders import is_bystander
from keras_practical.data.reading import array_to_uint8, decode, finish
from keras_practical.utils.checks import (
    ImageSize,
    check_choice,
    check_count,
    check_image_size,
)

__all__ = ["is_nifti", "is_volume", "nifti_slices", "read_volume"]

_ITK = (".nrrd", ".nhdr", ".mha", ".mhd")


def read_volume(
    source: str | Path,
    *,
    image_size: ImageSize | None = None,
    max_slices: int | None = None,
    aspect: str = "crop",
    color_mode: str = "grayscale",
    window: dicom.Window = "file",
    volume: int | None = None,
) -> np.ndarray:
    """Read a scan as a stack of slices, in order, in [0, 255].

    Use it to predict a single scan. Slices of DICOM come in the order of their place in the body,
    from the feet to the head, as those of NIfTI do: by the position along their normal or, where
    not all have one, by slice location or instance number, which is said; otherwise the scan is
    refused. Other images come in the order of their names, numbers by value: `slice_2` before
    `slice_10`. What lies beside a scan (Thumbs.db, DICOMDIR, licences, texts) is passed over. It
    has no equivalent in plain Keras.

    Args:
        source: A folder that holds the slices of one scan (DICOM or any images); a NIfTI file
            (`.nii`, `.nii.gz`), NRRD (`.nrrd`, `.nhdr`) or MetaImage (`.mha`, `.mhd`); one DICOM
            file, of one frame or many; a TIFF of several pages; or a `.npy` array of shape
            `(depth, height, width)`.
        image_size: Pixels, one number or `(height, width)`. Default: the first slice's own.
        max_slices: Of more slices than this, so many are taken at equal distances, >= 1. Default:
            all.
        aspect: As in `read_image`.
        color_mode: `"grayscale"` (1 channel) or `"rgb"` (3 channels).
        window: As in `read_image`. `"full"`, and `"file"` where the files name no window, take
            the range of the whole scan, so that slices can be compared; 8-bit values stay.
        volume: Which volume of a NIfTI file that holds several (a film, or several echoes), from 0.

    Returns:
        uint8 array of shape `(depth, height, width, channels)`.

    Raises:
        ValueError: An argument is outside its choices, or a slice can't be read: the text names
            the file and the reason.

    Warns:
        UserWarning: Something in the folder was left out, or slices have no position.

    Example:

    >>> from pydicom.data import get_testdata_file
    >>> read_volume(get_testdata_file("rtdose.dcm"), image_size=8).shape
    (15, 8, 8, 1)

    Reference:
        DICOM PS3.3, C.7.6.2 (image plane).
    """
    check_choice("aspect", aspect, ("crop", "pad", "stretch"))
    check_choice("color_mode", color_mode, ("grayscale", "rgb"))
    dicom.check_window(window)
    size = None if image_size is None else check_image_size("image_size", image_size)
    if max_slices is not None:
        check_count("max_slices", max_slices)
    path = Path(source)
    if path.is_dir():
        images = _folder(path, max_slices, window)
    else:
        try:
            images = _file(path, max_slices, window, volume)
        # A broken file can make a reader raise almost anything.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"Can't read {path}: {reason}.") from error
    size = size or (images[0].shape[0], images[0].shape[1])
    return np.stack([finish(image, size, aspect, color_mode, 1) for image in images])


def is_nifti(path: str | Path) -> bool:
    """Say whether a file's name is that of a NIfTI volume.

    Args:
        path: The file's path.

    Returns:
        Whether it ends in `.nii` or `.nii.gz`.

    Example:

    >>> is_nifti("scan.nii.gz")
    True
    """
    return str(path).lower().endswith((".nii", ".nii.gz"))


def is_volume(path: str | Path) -> bool:
    """Say whether a file's name is that of a format whose files each hold a whole scan.

    Args:
        path: The file's path.

    Returns:
        Whether it is NIfTI, NRRD, MetaImage or `.npy`.

    Example:

    >>> is_volume("scan.mha"), is_volume("slice_1.png")
    (True, False)
    """
    return is_nifti(path) or str(path).lower().endswith((*_ITK, ".npy"))


def nifti_slices(path: str | Path, *, volume: int | None = None) -> list[dicom.Slice]:
    """Read the slices of a NIfTI volume: axial ones, from the feet to the head.

    Args:
        path: A `.nii` or `.nii.gz` file.
        volume: Which one, from 0, of a file that holds several.

    Returns:
        The slices, each with the patient's front at the top and their left at the right.

    Raises:
        ValueError: The file isn't a volume of three dimensions, or it is broken.
        ImportError: nibabel isn't installed.

    Example:

    >>> nifti_slices("no_such.nii")
    Traceback (most recent call last):
    ValueError: there is no such file

    Reference:
        https://nipy.org/nibabel/image_orientation.html
    """
    try:
        import nibabel
    except ImportError as error:
        raise ImportError(f"NIfTI files need {dicom.INSTALL}") from error
    if not Path(path).is_file():
        raise ValueError("there is no such file")
    image = nibabel.as_closest_canonical(nibabel.load(path))
    shape = tuple(side for index, side in enumerate(image.shape) if index < 3 or side > 1)
    several = len(shape) == 4 and image.get_data_dtype().kind in "iuf"
    if several and volume is None:
        raise ValueError(
            f"it isn't one volume but {shape[3]}: pass volume=0 for the first (of shape {shape})"
        )
    if several and not 0 <= volume < shape[3]:  # type: ignore[operator]
        raise ValueError(f"it has the volumes 0 to {shape[3] - 1}, and no {volume}")
    if not several and (len(shape) != 3 or image.get_data_dtype().kind not in "iuf"):
        raise ValueError(f"it isn't one volume of grey values, but of shape {image.shape}")
    chosen = image.dataobj[..., volume] if several else image.dataobj
    values = np.asarray(chosen, "float32").reshape(shape[:3])
    # Nibabel's axes grow to the patient's right, front and head.
    values = np.ascontiguousarray(values[::-1, ::-1].transpose(2, 1, 0))
    measured = np.isfinite(values)
    if not measured.any():
        raise ValueError("it has no finite value")
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    shown = (values[measured] >= low) & (values[measured] <= high)
    # Some programs leave a range there that has nothing to do with the values.
    if high > low and not shown.mean() >= 0.05:
        _say(
            Path(path), [f"cal_min and cal_max, {low:g} and {high:g}, leave out nearly all values"]
        )
        high = low
    own = dicom.between(low, high) if high > low else None
    height = float(image.affine[2, 2])
    return [
        dicom.Slice(
            np.where(known, part, 0.0).astype("float32"),
            own_window=own,
            outside=None if known.all() else ~known,
            position=z * height,
        )
        for z, (part, known) in enumerate(zip(values, measured, strict=True))
    ]


def _file(
    path: Path, max_slices: int | None, window: dicom.Window, volume: int | None
) -> list[np.ndarray]:
    """Return the slices of one file as uint8 of shape `(height, width, 3)`."""
    if is_nifti(path):
        slices = nifti_slices(path, volume=volume)
    elif not path.is_file():
        raise ValueError("there is no such file or folder")
    elif path.suffix.lower() in _ITK:
        slices = _itk_slices(path)
    elif path.suffix.lower() == ".npy":
        slices = _array_slices(np.load(path, allow_pickle=False))
    elif path.suffix.lower() in (".tif", ".tiff"):
        slices = _array_slices(_pages(path))
    else:
        data = path.read_bytes()
        if not dicom.is_dicom(data):
            raise ValueError(
                "a scan is a folder of slices, or a file of NIfTI, NRRD, MetaImage, DICOM, TIFF or "
                ".npy"
            )
        slices = dicom.dicom_slices(data)
        places = {slice_.position for slice_ in slices}
        # The frames of a film, or of a projection, have no places: theirs is the file's order.
        if len(slices) > 1 and None not in places and len(places) > 1:
            slices, said = dicom.in_order(slices)
            _say(path, said)
    slices = _spread(slices, max_slices)
    return [array_to_uint8(image) for image in dicom.windowed(slices, window)]


def _itk_slices(path: Path) -> list[dicom.Slice]:
    """Read NRRD or MetaImage: axial slices, from the feet to the head, as of DICOM."""
    try:
        import SimpleITK
    except ImportError as error:
        raise ImportError(f"{path.suffix} files need {dicom.INSTALL}") from error
    image = SimpleITK.ReadImage(str(path))
    if image.GetDimension() != 3 or image.GetNumberOfComponentsPerPixel() != 1:
        raise ValueError(
            f"it isn't one volume of grey values, but of {image.GetDimension()} dimensions and "
            f"{image.GetNumberOfComponentsPerPixel()} values a voxel"
        )
    # The axes then grow to the patient's left, back and head.
    values = SimpleITK.GetArrayFromImage(SimpleITK.DICOMOrient(image, "LPS"))
    return _array_slices(values)


def _array_slices(values: np.ndarray) -> list[dicom.Slice]:
    """Return the slices of an array of shape `(depth, height, width)`, in its order."""
    if values.ndim != 3 or values.dtype.kind not in "iuf" or 0 in values.shape:
        raise ValueError(
            f"it isn't one volume of grey values, but {values.dtype} of shape {values.shape}"
        )
    own = dicom.between(0.0, 255.0) if values.dtype == np.uint8 else None
    measured = np.isfinite(values)
    if not measured.any():
        raise ValueError("it has no finite value")
    return [
        dicom.Slice(
            np.where(known, part, 0).astype("float32"),
            own_window=own,
            outside=None if known.all() else ~known,
        )
        for part, known in zip(values, measured, strict=True)
    ]


def _pages(path: Path) -> np.ndarray:
    from PIL import Image, ImageSequence

    with Image.open(path, formats=("TIFF",)) as image:
        pages = [np.asarray(page) for page in ImageSequence.Iterator(image)]
    if len({page.shape for page in pages}) > 1 or pages[0].ndim != 2:
        raise ValueError("its pages aren't grey images of one size")
    return np.stack(pages)


def _folder(folder: Path, max_slices: int | None, window: dicom.Window) -> list[np.ndarray]:
    """Return the slices of a folder as uint8 of shape `(height, width, 3)`."""
    below = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    files = [path for path in below if not is_bystander(path.name)]
    if not files:
        raise ValueError(f"Can't read {folder}: the folder holds no files.")
    files.sort(key=_natural)
    contents = [path.read_bytes() for path in files]
    marks = [dicom.is_dicom(data) for data in contents]
    if any(marks):
        others = [path.name for path, mark in zip(files, marks, strict=True) if not mark]
        scan = [
            (path, data) for path, data, mark in zip(files, contents, marks, strict=True) if mark
        ]
        if others:
            _say(folder, [f"left out what isn't DICOM: {', '.join(others[:5])}"])
        return _dicom_folder(folder, scan, max_slices, window)
    _check_names(folder, files)
    images = []
    for path, data in _spread(list(zip(files, contents, strict=True)), max_slices):
        pixels, header = decode(data, None, "crop", "rgb", window)
        if pixels is None:
            raise ValueError(f"Can't read {path}: {header.problem}.")
        images.append(pixels)
    return images


def _dicom_folder(
    folder: Path,
    files: list[tuple[Path, bytes]],
    max_slices: int | None,
    window: dicom.Window,
) -> list[np.ndarray]:
    slices: list[dicom.Slice] = []
    for path, data in files:
        try:
            slices += dicom.dicom_slices(data)
        # As above.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"Can't read {path}: {reason}.") from error
    try:
        slices, said = dicom.in_order(slices)
    except ValueError as error:
        raise ValueError(f"Can't read {folder}: {error}.") from error
    _say(folder, said)
    slices = _spread(slices, max_slices)
    return [array_to_uint8(image) for image in dicom.windowed(slices, window)]


def _say(source: Path, texts: list[str]) -> None:
    if texts:
        warnings.warn(f"{source}: {'; '.join(texts)}.", stacklevel=5)


def _spread(items: list[Any], most: int | None) -> list[Any]:
    """Return at most so many items, at equal distances."""
    if most is None or len(items) <= most:
        return items
    # The middle of each of so many equal parts.
    indexes = (np.arange(most) + 0.5) * len(items) / most
    return [items[int(index)] for index in indexes]


_NUMBER = r"((?:(?<![^\W_])-)?(?<!\d\.)\d+\.\d+(?!\.?\d)|(?:(?<![^\W_])-)?\d+)"


def _natural(path: Path) -> list[Any]:
    """Return a key that sorts numbers in names by value, with their sign and fraction.

    A minus counts after a separator only (`slice-5` is number 5), a point between two numbers only
    (the dots of DICOM's long names are none).
    """
    parts = re.split(_NUMBER, path.stem)
    key: list[Any] = []
    for number, part in enumerate(parts):
        key.append(float(part) if number % 2 else part.lower())
    return [*key, path.suffix.lower()]


def _check_names(folder: Path, files: list[Path]) -> None:
    """Refuse images of two kinds in one folder: a mask isn't the next slice."""
    suffixes = Counter(path.suffix.lower() for path in files)
    if len(suffixes) > 1:
        named = ", ".join(
            f"{count} {suffix or 'without extension'}" for suffix, count in suffixes.items()
        )
        raise ValueError(
            f"Can't read {folder}: it holds files of several kinds ({named}), and which of them "
            "are the scan isn't clear. Leave one kind there."
        )
