"""Pixels on demand: decoded once into memory or into a file, or again each time."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical import medical
from keras_practical._progress import track
from keras_practical._validation import ImageSize, check_image_size
from keras_practical.images import Header, decode, inspect, readers
from keras_practical.index import ImageRecord

__all__ = ["EpochOrder", "PixelSource", "PixelStore"]

# Handing a small picture to a thread costs a fifth of decoding it.
_CHUNK = 4


class PixelStore:
    """The pictures of a data set as uint8 arrays of one size.

    Used by `load_images`; make one by hand for pictures that belong to no classes. Either
    `decode_all` or `check_files` must run before `read`.

    Args:
        pictures: Files' paths, their bytes, or arrays.
        size: `(height, width)` in pixels.
        aspect: `"crop"`, `"pad"` or `"stretch"`, as in `read_image`.
        color_mode: `"rgb"` or `"grayscale"`.
        window: As in `read_image`.

    Example:

    >>> store = PixelStore([np.zeros((8, 8), "uint8")], (4, 4), aspect="crop", color_mode="rgb")
    >>> headers = store.decode_all(None, verbose=False)
    >>> store.read([0])[0].shape
    (1, 4, 4, 3)
    """

    def __init__(
        self,
        pictures: Sequence[Any],
        size: tuple[int, int],
        *,
        aspect: str,
        color_mode: str,
        window: medical.Window = "file",
    ) -> None:
        self._pictures = pictures
        self._size = size
        self._aspect = aspect
        self._color_mode = color_mode
        self._window = window
        self._pixels: np.ndarray | None = None
        self._reported: set[int] = set()

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one picture."""
        return (*self._size, 3 if self._color_mode == "rgb" else 1)

    @property
    def nbytes(self) -> int:
        """The memory that all decoded pictures take, in bytes."""
        return len(self._pictures) * int(np.prod(self.shape))

    def decode_all(self, cache_dir: str | Path | None, *, verbose: bool) -> list[Header]:
        """Decode every picture, into memory or into a file of `cache_dir`, and say what was found.

        A file left by an earlier call is used if it fits these very pictures.
        """
        if cache_dir is None:
            self._pixels = np.zeros((len(self._pictures), *self.shape), "uint8")
            return self._fill(self._pixels, verbose)
        folder = Path(cache_dir)
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"pixels-{self._fingerprint()}.npy"
        notes = file.with_suffix(".json")
        headers = self._open(file, notes)
        if headers is None:
            # The names appear only when everything is written: a killed run leaves no half cache.
            partial = file.with_suffix(f".{os.getpid()}.partial")
            try:
                pixels = np.lib.format.open_memmap(
                    partial, "w+", "uint8", (len(self._pictures), *self.shape)
                )
                headers = self._fill(pixels, verbose)
                pixels.flush()
                del pixels
                notes.write_text(json.dumps([asdict(header) for header in headers]))
                partial.replace(file)
            finally:
                partial.unlink(missing_ok=True)
            self._pixels = np.load(file, mmap_mode="r")
        return headers

    def check_files(self, decoded: Sequence[bool], *, verbose: bool) -> list[Header]:
        """Look at every header; decode, to be certain, the pictures marked in `decoded`."""

        def check(position: int) -> Header:
            picture = self._pictures[position]
            if decoded[position]:
                return self._decode(picture)[1]
            return inspect(picture, window=self._window)

        return self._in_parallel(check, "Checking pictures", verbose)

    def read(self, positions: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pictures at `positions`, and for each whether it could be read.

        The first array is uint8 of shape `(len(positions), height, width, channels)`, black where
        a picture can't be read; the second is bool of shape `(len(positions),)`.
        """
        if self._pixels is not None:
            return self._pixels[positions], np.ones(len(positions), bool)
        images = np.zeros((len(positions), *self.shape), "uint8")
        readable = np.zeros(len(positions), bool)
        for row, position in enumerate(positions):
            pixels, header = self._decode(self._pictures[position])
            if pixels is None:
                self._report(int(position), header)
            else:
                images[row], readable[row] = pixels, True
        return images, readable

    def picture(self, position: int, *, image_size: ImageSize | None = None) -> np.ndarray | None:
        """Return one picture whole, at its own size or at another; `None` if it can't be read."""
        size = None if image_size is None else check_image_size("image_size", image_size)
        aspect = "crop" if size is None else "pad"
        return decode(self._pictures[position], size, aspect, self._color_mode, self._window)[0]

    def content_hash(self, positions: Sequence[int] | np.ndarray) -> str:
        """Return a hash of the pictures at `positions`, in order, and of how they are read."""
        settings = (1, self.shape, self._aspect, self._window, readers())
        digest = hashlib.sha256(repr(settings).encode())
        for position in positions:
            picture = self._pictures[position]
            if isinstance(picture, str | Path):
                # A file that is gone by now reads as one that can't be read.
                picture = Path(picture).read_bytes() if Path(picture).is_file() else b""
            elif isinstance(picture, np.ndarray):
                digest.update(repr((picture.shape, str(picture.dtype))).encode())
                picture = np.ascontiguousarray(picture).tobytes()
            digest.update(hashlib.sha256(picture).digest())
        return digest.hexdigest()

    def _decode(self, picture: Any) -> tuple[np.ndarray | None, Header]:
        return decode(picture, self._size, self._aspect, self._color_mode, self._window)

    def _fill(self, pixels: np.ndarray, verbose: bool) -> list[Header]:
        def fill(position: int) -> Header:
            decoded, header = self._decode(self._pictures[position])
            if decoded is not None:
                pixels[position] = decoded
            return header

        return self._in_parallel(fill, "Reading pictures", verbose)

    def _in_parallel(
        self, task: Callable[[int], Header], description: str, verbose: bool
    ) -> list[Header]:
        count = len(self._pictures)

        def work(start: int) -> list[Header]:
            return [task(position) for position in range(start, min(start + _CHUNK, count))]

        # Decoders release Python's lock, so threads use every core.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            chunks = pool.map(work, range(0, count, _CHUNK))
            headers = itertools.chain.from_iterable(chunks)
            return list(track(headers, description, count, show=verbose))

    def _open(self, file: Path, notes: Path) -> list[Header] | None:
        """Take over a cache file; `None` if there is none or it's damaged."""
        try:
            headers = [Header(**entry) for entry in json.loads(notes.read_text())]
            pixels = np.load(file, mmap_mode="r")
        except (OSError, EOFError, ValueError, TypeError):
            return None
        if pixels.shape != (len(self._pictures), *self.shape) or len(headers) != len(pixels):
            return None
        self._pixels = pixels
        return headers

    def _fingerprint(self) -> str:
        """Return a hash that changes with any picture or setting, or once more can be read."""
        settings = (1, self.shape, self._aspect, self._window, readers())
        digest = hashlib.sha256(repr(settings).encode())
        for picture in self._pictures:
            if isinstance(picture, np.ndarray):
                digest.update(np.ascontiguousarray(picture).tobytes())
            elif isinstance(picture, bytes):
                digest.update(picture)
            else:
                path = Path(picture).absolute()
                state = path.stat() if path.exists() else None
                stamp = (state.st_size, state.st_mtime_ns) if state else None
                digest.update(repr((str(path), stamp)).encode())
        return digest.hexdigest()[:20]

    def _report(self, position: int, header: Header) -> None:
        if position not in self._reported:
            self._reported.add(position)
            picture = self._pictures[position]
            name = picture if isinstance(picture, str | Path) else f"picture {position}"
            warnings.warn(f"Left out {name}: {header.problem}.", stacklevel=2)


@dataclass(frozen=True)
class PixelSource:
    """What stands behind a data set of `load_images`, to reach its pictures out of their turn.

    `origin_of(dataset).source` finds it, also after `.cache` and `.prefetch`.

    Attributes:
        store: All pictures of the listing.
        rows: Where in `store` this data set's pictures are, int64 of shape `(n,)`.
        labels: Their classes, int64 of shape `(n,)`.
        records: What is known of each of them.
        class_names: One name a class.
        batch_size: Pictures a batch.
        order: Draws the order of each epoch; `None` for a data set that isn't shuffled.

    Raises:
        ValueError: From `read_filled`, if not one picture can be read any more.

    Example:

    >>> store = PixelStore([np.zeros((8, 8), "uint8")] * 2, (4, 4), aspect="crop", color_mode="rgb")
    >>> records = ImageRecord("a", 0), ImageRecord("b", 1)
    >>> source = PixelSource(store, np.arange(2), np.arange(2), records, ("x", "y"), 32)
    >>> source.take([1]).records[0].name
    'b'
    """

    store: PixelStore
    rows: np.ndarray
    labels: np.ndarray
    records: tuple[ImageRecord, ...]
    class_names: tuple[str, ...]
    batch_size: int
    order: EpochOrder | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Sequence[int] | np.ndarray) -> PixelSource:
        """Return a source of the pictures at `places` only, in that order."""
        places = np.asarray(places, "int64")
        order = self.order and EpochOrder(len(places), self.order.seed)
        return replace(
            self,
            rows=self.rows[places],
            labels=self.labels[places],
            records=tuple(self.records[place] for place in places),
            order=order,
        )

    def read_filled(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pictures at `places`, and the places that they really are of.

        A readable picture stands in for each that can't be read: one of the same batch or, if there
        is none, any other. So batches keep their size and an epoch its number of steps, on which
        schedules rely.
        """
        images, readable = self.store.read(self.rows[places])
        if readable.all():
            return images, places
        places = np.array(places)
        gaps, whole = np.flatnonzero(~readable), np.flatnonzero(readable)
        if len(whole):
            fillers = np.resize(whole, len(gaps))
            images[gaps], places[gaps] = images[fillers], places[fillers]
            return images, places
        for other, row in enumerate(self.rows):
            image, readable = self.store.read([row])
            if readable[0]:
                return np.repeat(image, len(places), 0), np.full(len(places), other)
        raise ValueError("Not one of the training pictures can be read any more.")


class EpochOrder:
    """A new order of the pictures for each epoch, the same on every machine.

    Used by `load_images`. `tf.data`'s `shuffle` counts how often it was read in this process, so
    that a run which continues after a crash would see other orders than the run that went through.

    Args:
        count: Number of pictures.
        seed: Whole number >= 0.

    Example:

    >>> order = EpochOrder(3, seed=0)
    >>> first, second = order.draw().tolist(), order.draw().tolist()
    >>> order.set_epoch(1)
    >>> order.draw().tolist() == second
    True
    """

    def __init__(self, count: int, seed: int) -> None:
        self._count = count
        self._seed = seed
        self._epoch = 0

    @property
    def seed(self) -> int:
        """The seed."""
        return self._seed

    @property
    def epoch(self) -> int:
        """The epoch whose order the next reading has."""
        return self._epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order the next reading has; the ones after it count on."""
        self._epoch = epoch

    def draw(self) -> np.ndarray:
        """Return the next epoch's order, int64 of shape `(count,)`, and count on."""
        order = self.current()
        self._epoch += 1
        return order

    def current(self) -> np.ndarray:
        """Return the next epoch's order as `draw` does, without counting on."""
        # The stream of `RandomState` never changes; that of newer generators may.
        seeds = [self._seed % 2**32, self._seed // 2**32 % 2**32, self._epoch]
        return np.random.RandomState(seeds).permutation(self._count).astype("int64")
