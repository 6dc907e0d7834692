"""Reading scans: a folder of slices, a NIfTI file or a DICOM file of many frames."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical.data import dicom
from keras_practical.data.reading import array_to_uint8, decode, finish
from keras_practical.utils.checks import (
    ImageSize,
    check_choice,
    check_count,
    check_image_size,
)

__all__ = ["is_nifti", "nifti_slices", "read_volume"]


def read_volume(
    source: str | Path,
    *,
    image_size: ImageSize | None = None,
    max_slices: int | None = None,
    aspect: str = "crop",
    color_mode: str = "grayscale",
    window: dicom.Window = "file",
) -> np.ndarray:
    """Read a scan as a stack of slices, in order, in [0, 255].

    Use it to predict a single scan. Slices of DICOM come in the order of their place in the body,
    from the feet to the head, as those of NIfTI do; other images in the order of their names,
    numbers by value: `slice_2` before `slice_10`. It has no equivalent in plain Keras.

    Args:
        source: A folder that holds the slices of one scan (DICOM or any images), a `.nii` or
            `.nii.gz` file, or one DICOM file, of one frame or many.
        image_size: Pixels, one number or `(height, width)`. Default: the first slice's own.
        max_slices: Of more slices than this, so many are taken at equal distances, >= 1. Default:
            all.
        aspect: As in `read_image`.
        color_mode: `"grayscale"` (1 channel) or `"rgb"` (3 channels).
        window: As in `read_image`. `"full"`, and `"file"` where the files name no window, take
            the range of the whole scan, so that slices can be compared.

    Returns:
        uint8 array of shape `(depth, height, width, channels)`.

    Raises:
        ValueError: An argument is outside its choices, or a slice can't be read: the text names
            the file and the reason.

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
            images = _file(path, max_slices, window)
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


def nifti_slices(path: str | Path) -> list[dicom.Slice]:
    """Read the slices of a NIfTI volume: axial ones, from the feet to the head.

    Args:
        path: A `.nii` or `.nii.gz` file.

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
    if len(shape) != 3 or image.get_data_dtype().kind not in "iuf":
        raise ValueError(f"it isn't one volume of grey values, but of shape {image.shape}")
    values = np.nan_to_num(np.asarray(image.dataobj, "float32").reshape(shape))
    # Nibabel's axes grow to the patient's right, front and head.
    values = np.ascontiguousarray(values[::-1, ::-1].transpose(2, 1, 0))
    low, high = float(image.header["cal_min"]), float(image.header["cal_max"])
    own = dicom.between(low, high) if high > low else None
    height = float(image.affine[2, 2])
    return [dicom.Slice(part, own_window=own, position=z * height) for z, part in enumerate(values)]


def _file(path: Path, max_slices: int | None, window: dicom.Window) -> list[np.ndarray]:
    """Return the slices of one file as uint8 of shape `(height, width, 3)`."""
    if is_nifti(path):
        slices = nifti_slices(path)
    elif not path.is_file():
        raise ValueError("there is no such file or folder")
    else:
        data = path.read_bytes()
        if not dicom.is_dicom(data):
            raise ValueError("a scan is a folder of slices, a NIfTI file or a DICOM file")
        slices = dicom.dicom_slices(data)
        if (
            len({slice_.position for slice_ in slices}) == len(slices)
            and slices[0].position is not None
        ):
            slices.sort(key=lambda slice_: slice_.position or 0.0)
    slices = _spread(slices, max_slices)
    return [array_to_uint8(image) for image in dicom.windowed(slices, window)]


def _folder(folder: Path, max_slices: int | None, window: dicom.Window) -> list[np.ndarray]:
    """Return the slices of a folder as uint8 of shape `(height, width, 3)`."""
    files = [path for path in folder.iterdir() if path.is_file() and path.name[0] != "."]
    if not files:
        raise ValueError(f"Can't read {folder}: the folder holds no files.")
    files.sort(key=_natural)
    contents = [path.read_bytes() for path in files]
    if all(dicom.is_dicom(data) for data in contents):
        return _dicom_folder(folder, files, contents, max_slices, window)
    images = []
    for path, data in _spread(list(zip(files, contents, strict=True)), max_slices):
        pixels, header = decode(data, None, "crop", "rgb", window)
        if pixels is None:
            raise ValueError(f"Can't read {path}: {header.problem}.")
        images.append(pixels)
    return images


def _dicom_folder(
    folder: Path,
    files: list[Path],
    contents: list[bytes],
    max_slices: int | None,
    window: dicom.Window,
) -> list[np.ndarray]:
    slices: list[dicom.Slice] = []
    for path, data in zip(files, contents, strict=True):
        try:
            slices += dicom.dicom_slices(data)
        # As above.
        except Exception as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise ValueError(f"Can't read {path}: {reason}.") from error
    series = {slice_.series for slice_ in slices}
    if len(series) > 1:
        raise ValueError(
            f"Can't read {folder}: it holds slices of {len(series)} series. Put each into a folder "
            "of its own."
        )
    if all(slice_.position is not None for slice_ in slices):
        slices.sort(key=lambda slice_: slice_.position or 0.0)
    slices = _spread(slices, max_slices)
    return [array_to_uint8(image) for image in dicom.windowed(slices, window)]


def _spread(items: list[Any], most: int | None) -> list[Any]:
    """Return at most so many items, at equal distances."""
    if most is None or len(items) <= most:
        return items
    # The middle of each of so many equal parts.
    indexes = (np.arange(most) + 0.5) * len(items) / most
    return [items[int(index)] for index in indexes]


def _natural(path: Path) -> list[Any]:
    """Return a key that sorts numbers in names by value."""
    parts = re.split(r"(\d+)", path.name)
    return [int(part) if part.isdigit() else part.lower() for part in parts]
