"""`load_volumes`: scans of any depth as batches that `fit` takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical.data import dicom, sources
from keras_practical.data.index import SPLITS, ImageIndex
from keras_practical.data.loading import index_of, report_problems
from keras_practical.data.reading import Header
from keras_practical.data.splitting import Groups, divided
from keras_practical.scans.batches import VolumeBatches
from keras_practical.scans.files import is_volume, read_volume
from keras_practical.utils.checks import (
    ImageSize,
    check_between,
    check_choice,
    check_count,
    check_image_size,
)
from keras_practical.utils.progress import track

__all__ = ["VolumeData", "load_volumes"]

_MEMORY_LIMIT_BYTES = 2 * 1024**3


@dataclass(frozen=True, kw_only=True)
class VolumeData:
    """Scans for training and judging a classifier, and what is behind them.

    Attributes:
        train: Training data, in a new order each epoch.
        validation: Validation data in the order of `index.split("validation")`, `None` if none was
            asked for.
        test: Test data, `None` if the source has none.
        class_names: One name a class.
        index: Every scan of the source, the unusable ones included.
        image_size: `(height, width)` in pixels.

    Example:

    >>> batches = VolumeBatches([np.zeros((5, 4, 4, 1))], [0])
    >>> VolumeData(
    ...     train=batches,
    ...     validation=None,
    ...     test=None,
    ...     class_names=("ill", "well"),
    ...     index=ImageIndex((), ()),
    ...     image_size=(4, 4),
    ... ).class_names
    ('ill', 'well')
    """

    train: VolumeBatches
    validation: VolumeBatches | None
    test: VolumeBatches | None
    class_names: tuple[str, ...]
    index: ImageIndex
    image_size: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.index}, {self.image_size[0]} x {self.image_size[1]} pixels".replace(
            " images,", " scans,"
        )


def load_volumes(
    source: str | Path,
    *,
    image_size: ImageSize = 224,
    max_slices: int | None = None,
    batch_size: int = 2,
    validation_fraction: float = 0.2,
    seed: int = 0,
    aspect: str = "crop",
    color_mode: str = "grayscale",
    window: dicom.Window = "file",
    volume: int | None = None,
    groups: Groups | None = None,
    on_error: str = "skip",
    columns: Mapping[str, Any] | None = None,
    verbose: bool = True,
) -> VolumeData:
    """Load labelled scans of any depth for `scans.classifier`.

    Use it as `load_images`, where a label belongs to a stack of slices. Up to 2 GiB of decoded
    scans stay in memory; what is beyond is read again in each epoch. It has no equivalent in plain
    Keras.

    Args:
        source: A folder of class folders (with or without `train/`, `validation/` and `test/`
            above them), or a `.csv` or `.tsv` file whose paths are folders or files of one scan.
            Below a class folder, each folder that holds slices is a scan, as is each file of NIfTI,
            NRRD, MetaImage or `.npy`, and each file that lies in the class folder itself.
        image_size: Pixels, one number or `(height, width)`.
        max_slices: As in `read_volume`. A step of training needs memory for all slices of its
            batch: with MobileNetV2 at 224 pixels some 40 MB each once everything trains.
        batch_size: Scans a batch, >= 1.
        validation_fraction: As in `load_images`.
        seed: As in `load_images`.
        aspect: As in `load_images`.
        color_mode: `"grayscale"` (1 channel) or `"rgb"` (3 channels).
        window: As in `read_volume`.
        volume: As in `read_volume`.
        groups: As in `load_images`.
        on_error: As in `load_images`: a scan of which a slice can't be read is left out as a whole.
        columns: As in `load_images`.
        verbose: As in `load_images`.

    Returns:
        A `VolumeData` with `train`, `validation`, `test`, `class_names` and `index`.

    Raises:
        ValueError: An argument or the source is wrong, or a scan is unreadable and
            `on_error="raise"`.

    Example:

    >>> load_volumes("no/such/folder")
    Traceback (most recent call last):
    ValueError: There is no folder 'no/such/folder'. ...
    """
    check_count("batch_size", batch_size)
    check_count("seed", seed, minimum=0)
    check_between("validation_fraction", validation_fraction, 0.0, 0.9)
    check_choice("on_error", on_error, ("skip", "raise"))
    size = check_image_size("image_size", image_size)
    options: dict[str, Any] = {
        "image_size": size,
        "max_slices": max_slices,
        "aspect": aspect,
        "color_mode": color_mode,
        "window": window,
        "volume": volume,
    }
    # Wrong options would otherwise look like broken scans.
    check_choice("aspect", aspect, ("crop", "pad", "stretch"))
    check_choice("color_mode", color_mode, ("grayscale", "rgb"))
    dicom.check_window(window)
    if max_slices is not None:
        check_count("max_slices", max_slices)
    listing = _list(source, columns, groups if isinstance(groups, str) else None)
    scans = _Scans([Path(path) for path in listing.images], options)
    headers = scans.read_all(verbose=verbose)
    group_names, splits = divided(
        listing,
        fraction=validation_fraction,
        seed=seed,
        groups=groups,
        usable=[header.problem is None for header in headers],
    )
    index = index_of(listing, splits, headers, group_names)
    report_problems(index, on_error)
    parts: list[VolumeBatches | None] = []
    for split in SPLITS:
        rows = [row for row, r in enumerate(index) if r.split == split and r.problem is None]
        order = seed if split == "train" else None
        labels = [index.records[row].label for row in rows]
        names = listing.class_names
        parts.append(
            VolumeBatches(
                scans.take(rows),
                labels,
                batch_size=batch_size,
                seed=order,
                class_names=names,
                depths=[headers[row].depth for row in rows],
            )
            if rows
            else None
        )
    train, validation, test = parts
    assert train is not None  # `report_problems` has stopped otherwise.
    if verbose:
        counts = [(len(index.split(split)), split) for split in SPLITS]
        said = [f"{n:,} {'training' if s == 'train' else s}" for n, s in counts if n]
        depths = [header.depth for header in headers if header.problem is None]
        print(
            f"load_volumes: {' and '.join(said)} scans of {min(depths)} to {max(depths)} slices, "
            f"{len(listing.class_names)} classes, {size[0]} x {size[1]} pixels"
        )
    return VolumeData(
        train=train,
        validation=validation,
        test=test,
        class_names=listing.class_names,
        index=index,
        image_size=size,
    )


def _list(
    source: str | Path, columns: Mapping[str, Any] | None, group_column: str | None
) -> sources.Listing:
    """List the scans of a source."""
    if sources.source_kind(source) == "csv":
        return sources.from_csv(source, columns=columns, group=group_column)
    for name, value in (("columns", columns), ("groups", group_column)):
        if value is not None:
            raise ValueError(
                f"`{name}` can name columns of a CSV file only. Received: {name}={value!r} with a "
                "folder"
            )
    files = sources.from_folder(source)
    scans: dict[str, tuple[Path, int, str | None]] = {}
    for path, name, label, split in zip(
        files.images, files.names, files.labels, files.splits, strict=True
    ):
        parts = name.split("/")
        # The class's folder is the first or, below those of a split, a later one.
        depth = parts.index(files.class_names[label]) + 1
        # The values of a MetaImage or NRRD header that lies beside them.
        if name.lower().endswith((".raw", ".zraw", ".raw.gz")):
            continue
        alone = is_volume(path) or len(parts) == depth + 1
        scan = name if alone else "/".join(parts[:-1])
        scans[scan] = (path if alone else path.parent, label, split)
    paths, labels, splits = zip(*scans.values(), strict=True)
    return replace(files, images=paths, names=list(scans), labels=labels, splits=splits)


@dataclass(frozen=True, slots=True)
class _ScanHeader(Header):
    depth: int = 0


class _Scans(Sequence[np.ndarray]):
    """Scans, of which as many as fit stay in memory."""

    def __init__(self, paths: Sequence[Path], options: Mapping[str, Any]) -> None:
        self._paths = paths
        self._options = options
        self._kept: dict[int, np.ndarray] = {}
        self._rows = list(range(len(paths)))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        row = self._rows[index]
        kept = self._kept.get(row)
        return self._read(row) if kept is None else kept

    def take(self, rows: Sequence[int]) -> _Scans:
        """Return some of the scans, which share the memory."""
        part = _Scans(self._paths, self._options)
        part._kept, part._rows = self._kept, list(rows)
        return part

    def read_all(self, *, verbose: bool) -> list[_ScanHeader]:
        """Read every scan once, keep what fits, and say what was found."""
        scans = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = track(self._tried(pool), "Reading scans", len(self), show=verbose)
            room = _MEMORY_LIMIT_BYTES
            for row, result in enumerate(read):
                if isinstance(result, str):
                    scans.append(_ScanHeader(problem=result))
                    continue
                room -= result.nbytes
                if room >= 0:
                    self._kept[row] = result
                scans.append(_ScanHeader(result.shape[2], result.shape[1], depth=len(result)))
        return scans

    def _tried(self, pool: ThreadPoolExecutor) -> Iterator[np.ndarray | str]:
        """Yield each scan or its problem; only a few are read ahead."""
        step = 2 * (os.cpu_count() or 1)
        for start in range(0, len(self), step):
            yield from pool.map(self._try, self._rows[start : start + step])

    def _try(self, row: int) -> np.ndarray | str:
        try:
            return self._read(row)
        except ValueError as error:
            return str(error).removeprefix(f"Can't read {self._paths[row]}: ").rstrip(".")

    def _read(self, row: int) -> np.ndarray:
        return read_volume(self._paths[row], **self._options)
