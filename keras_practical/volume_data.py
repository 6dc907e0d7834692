"""`load_volumes`: scans of any depth as batches that `fit` takes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_practical import medical, sources
from keras_practical._progress import track
from keras_practical._validation import (
    ImageSize,
    check_between,
    check_choice,
    check_count,
    check_image_size,
)
from keras_practical.images import Header
from keras_practical.index import ImageIndex
from keras_practical.indexing import SPLITS, index_of, report_problems
from keras_practical.pixels import EpochOrder
from keras_practical.splitting import Groups, decide_splits, groups_of
from keras_practical.volume_files import is_nifti, read_volume

__all__ = ["VolumeBatches", "VolumeData", "load_volumes", "pad_volumes"]

PADDING = -1.0
_MEMORY_LIMIT_BYTES = 2 * 1024**3


def pad_volumes(volumes: Sequence[np.ndarray], *, depth: int | None = None) -> np.ndarray:
    """Stack scans of different depth; what is missing is filled with -1, which no pixel is.

    `transfer.volume_classifier` leaves such slices out. Use it to predict several scans at once.

    Args:
        volumes: Arrays of shape `(depth, height, width, channels)` with values in [0, 255], alike
            but for their depth.
        depth: Number of slices to fill up to. Default: that of the deepest scan.

    Returns:
        float32 array of shape `(n, depth, height, width, channels)`.

    Raises:
        ValueError: There are no scans, their shapes don't fit, or one is deeper than `depth`.

    Example:

    >>> pad_volumes([np.ones((2, 1, 1, 1)), np.ones((1, 1, 1, 1))])[:, :, 0, 0, 0].tolist()
    [[1.0, 1.0], [1.0, -1.0]]
    """
    shapes = [np.shape(volume) for volume in volumes]
    if not shapes or any(len(shape) != 4 or shape[1:] != shapes[0][1:] for shape in shapes):
        raise ValueError(
            "`volumes` must be arrays of shape (depth, height, width, channels), alike but for "
            f"their depth. Received: shapes {shapes[:5]}"
        )
    deepest = max(shape[0] for shape in shapes)
    if depth is not None and depth < deepest:
        raise ValueError(
            f"`depth` must be at least that of the deepest scan, {deepest}. Received: depth={depth}"
        )
    padded = np.full((len(shapes), depth or deepest, *shapes[0][1:]), PADDING, "float32")
    for row, volume in enumerate(volumes):
        padded[row, : len(volume)] = volume
    return padded


class VolumeBatches(keras.utils.PyDataset):
    """Batches of scans, filled up to the depth of the deepest one.

    All batches have one depth, because `fit` allows for no other, and each depth would compile the
    model anew. Slices that only fill up cost as much as real ones: where depths differ much, take
    the slices of the deepest scans at larger distances (`max_slices` of `load_volumes`).

    `load_volumes` makes them; make one by hand of scans that are in memory. `fit`, `fine_tune` and
    `evaluate` take it.

    Args:
        volumes: Arrays of shape `(depth, height, width, channels)`, alike but for their depth.
        labels: Their classes, integers of shape `(n,)`.
        batch_size: Scans a batch, >= 1.
        seed: Decides the order, a new one each epoch. Default: always in the order given.
        class_names: One name a class.
        depth: Number of slices to fill up to. Default: that of the deepest scan.

    Raises:
        ValueError: There isn't one label for each scan.

    Example:

    >>> batches = VolumeBatches([np.zeros((5, 4, 4, 1)), np.zeros((9, 4, 4, 1))], [0, 1])
    >>> batches[0][0].shape
    (2, 9, 4, 4, 1)
    """

    def __init__(
        self,
        volumes: Sequence[np.ndarray],
        labels: Any,
        *,
        batch_size: int = 2,
        seed: int | None = None,
        class_names: Sequence[str] | None = None,
        depth: int | None = None,
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size)
        self.volumes = volumes
        self.labels = np.asarray(labels, "int64")
        if self.labels.shape != (len(volumes),) or not len(volumes):
            raise ValueError(
                "There must be one label for each of at least one scan. "
                f"Received: {len(volumes)} scans, labels of shape {self.labels.shape}"
            )
        self.class_names = None if class_names is None else list(class_names)
        self._batch_size = batch_size
        self._depth = depth or max(len(volume) for volume in volumes)
        self.epoch_order = None if seed is None else EpochOrder(len(volumes), seed)

    def __len__(self) -> int:
        return -(-len(self.volumes) // self._batch_size)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a batch of scans, float32, and their labels."""
        rows = slice(index * self._batch_size, (index + 1) * self._batch_size)
        places = np.arange(len(self.volumes))[rows]
        if self.epoch_order is not None:
            places = self.epoch_order.current()[rows]
        volumes = [self.volumes[place] for place in places]
        return pad_volumes(volumes, depth=self._depth), self.labels[places]

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's order."""
        if self.epoch_order is not None:
            self.epoch_order.set_epoch(self.epoch_order.epoch + 1)


@dataclass(frozen=True)
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
    >>> VolumeData(batches, None, None, ("ill", "well"), ImageIndex((), ()), (4, 4)).class_names
    ('ill', 'well')
    """

    train: VolumeBatches
    validation: VolumeBatches | None
    test: VolumeBatches | None
    class_names: tuple[str, ...]
    index: ImageIndex
    image_size: tuple[int, int]


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
    window: medical.Window = "file",
    groups: Groups | None = None,
    on_error: str = "skip",
    columns: Mapping[str, str] | None = None,
    verbose: bool = True,
) -> VolumeData:
    """Load labelled scans of any depth for `transfer.volume_classifier`.

    Use it as `load_images`, where a label belongs to a stack of slices. Up to 2 GiB of decoded
    scans stay in memory; what is beyond is read again in each epoch. It has no equivalent in plain
    Keras.

    Args:
        source: A folder of class folders (with or without `train/`, `validation/` and `test/`
            above them), or a `.csv` or `.tsv` file whose paths are folders or files of one scan.
            Below a class folder, each folder that holds slices is a scan, as is each NIfTI file
            and each file that lies in the class folder itself.
        image_size: Pixels, one number or `(height, width)`.
        max_slices: As in `read_volume`. A step of training needs memory for all slices of its
            batch: with MobileNetV2 at 224 pixels some 40 MB each once everything trains.
        batch_size: Scans a batch, >= 1.
        validation_fraction: As in `load_images`.
        seed: As in `load_images`.
        aspect: As in `load_images`.
        color_mode: `"grayscale"` (1 channel) or `"rgb"` (3 channels).
        window: As in `read_volume`.
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
    }
    # Wrong options would otherwise look like broken scans.
    check_choice("aspect", aspect, ("crop", "pad", "stretch"))
    check_choice("color_mode", color_mode, ("grayscale", "rgb"))
    medical.check_window(window)
    if max_slices is not None:
        check_count("max_slices", max_slices)
    listing = _list(source, columns, groups if isinstance(groups, str) else None)
    group_names = groups_of(listing, groups)
    splits = decide_splits(listing, validation_fraction, seed, groups=group_names)
    scans = _Scans([Path(path) for path in listing.pictures], options)
    headers = scans.read_all(verbose=verbose)
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
                depth=max(headers[row].depth for row in rows),
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
    return VolumeData(train, validation, test, listing.class_names, index, size)


def _list(
    source: str | Path, columns: Mapping[str, str] | None, group_column: str | None
) -> sources.Listing:
    """List the scans of a source."""
    if str(source).lower().endswith((".csv", ".tsv")):
        return sources.from_csv(source, columns=columns, group=group_column)
    for name, value in (("columns", columns), ("groups", group_column)):
        if value is not None:
            raise ValueError(
                f"`{name}` can name columns of a CSV file only. Received: {name}={value!r} with a "
                "folder"
            )
    files = sources.from_folder(source)
    found: dict[str, tuple[Path, int, str | None]] = {}
    for path, name, label, split in zip(
        files.pictures, files.names, files.labels, files.splits, strict=True
    ):
        parts = name.split("/")
        # The class folder is the first or, below one of a split, the second.
        depth = 1 if parts[0] == files.class_names[label] else 2
        alone = is_nifti(path) or len(parts) == depth + 1
        scan = name if alone else "/".join(parts[:-1])
        found[scan] = (path if alone else path.parent, label, split)
    paths, labels, splits = zip(*found.values(), strict=True)
    return replace(files, pictures=paths, names=list(found), labels=labels, splits=splits)


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

    def __getitem__(self, place: Any) -> Any:
        row = self._rows[place]
        kept = self._kept.get(row)
        return self._read(row) if kept is None else kept

    def take(self, rows: Sequence[int]) -> _Scans:
        """Return some of the scans, which share the memory."""
        part = _Scans(self._paths, self._options)
        part._kept, part._rows = self._kept, list(rows)
        return part

    def read_all(self, *, verbose: bool) -> list[_ScanHeader]:
        """Read every scan once, keep what fits, and say what was found."""
        found = []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            read = track(self._tried(pool), "Reading scans", len(self), show=verbose)
            room = _MEMORY_LIMIT_BYTES
            for row, result in enumerate(read):
                if isinstance(result, str):
                    found.append(_ScanHeader(problem=result))
                    continue
                room -= result.nbytes
                if room >= 0:
                    self._kept[row] = result
                found.append(_ScanHeader(result.shape[2], result.shape[1], depth=len(result)))
        return found

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
