"""Pixels on demand: decoded once into memory or into a file, or again each time."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical.data import dicom
from keras_practical.data.reading import Header, decode, inspect, readers
from keras_practical.utils.checks import ImageSize, check_image_size
from keras_practical.utils.progress import track

__all__ = ["PixelStore"]

# Handing a small image to a thread costs a fifth of decoding it.
_CHUNK = 4


class PixelStore:
    """The images of a data set as uint8 arrays of one size.

    Used by `load_images`; make one by hand for images that belong to no classes. Either
    `decode_all` or `check_files` must run before `read`.

    Args:
        images: Files' paths, their bytes, or arrays.
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
        images: Sequence[Any],
        size: tuple[int, int],
        *,
        aspect: str,
        color_mode: str,
        window: dicom.Window = "file",
    ) -> None:
        self._images = images
        self._size = size
        self._aspect = aspect
        self._color_mode = color_mode
        self._window = window
        self._pixels: np.ndarray | None = None
        self._reported: set[int] = set()

    @property
    def shape(self) -> tuple[int, int, int]:
        """The shape of one image."""
        return (*self._size, 3 if self._color_mode == "rgb" else 1)

    @property
    def nbytes(self) -> int:
        """The memory that all decoded images take, in bytes."""
        return len(self._images) * int(np.prod(self.shape))

    def decode_all(self, cache_dir: str | Path | None, *, verbose: bool) -> list[Header]:
        """Decode every image, into memory or into a file of `cache_dir`, and say what was found.

        A file left by an earlier call is used if it fits these very images.
        """
        if cache_dir is None:
            self._pixels = np.zeros((len(self._images), *self.shape), "uint8")
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
                    partial, "w+", "uint8", (len(self._images), *self.shape)
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

    def check_headers(self, *, verbose: bool) -> list[Header]:
        """Look at every image's header."""

        def check(position: int) -> Header:
            return inspect(self._images[position], window=self._window)

        return self._in_parallel(check, "Checking images", verbose, len(self._images))

    def check_rows(self, rows: Sequence[int] | np.ndarray, *, verbose: bool) -> list[Header]:
        """Decode the images at `rows`, only to find out whether that works."""

        def check(number: int) -> Header:
            return self._decode(self._images[rows[number]])[1]

        return self._in_parallel(check, "Checking held-out images", verbose, len(rows))

    def read(self, positions: Sequence[int] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the images at `positions`, and for each whether it could be read.

        The first array is uint8 of shape `(len(positions), height, width, channels)`, black where
        an image can't be read; the second is bool of shape `(len(positions),)`.
        """
        if self._pixels is not None:
            return self._pixels[positions], np.ones(len(positions), bool)
        images = np.zeros((len(positions), *self.shape), "uint8")
        readable = np.zeros(len(positions), bool)
        for row, position in enumerate(positions):
            pixels, header = self._decode(self._images[position])
            if pixels is None:
                self._report(int(position), header)
            else:
                images[row], readable[row] = pixels, True
        return images, readable

    def image(self, position: int, *, image_size: ImageSize | None = None) -> np.ndarray | None:
        """Return one image whole, at its own size or at another; `None` if it can't be read."""
        size = None if image_size is None else check_image_size("image_size", image_size)
        aspect = "crop" if size is None else "pad"
        return decode(self._images[position], size, aspect, self._color_mode, self._window)[0]

    def content_hash(self, positions: Sequence[int] | np.ndarray) -> str:
        """Return a hash of the images at `positions`, in order, and of how they are read."""
        settings = (1, self.shape, self._aspect, self._window, readers())
        digest = hashlib.sha256(repr(settings).encode())
        for position in positions:
            image = self._images[position]
            if isinstance(image, str | Path):
                # A file that is gone by now reads as one that can't be read.
                image = Path(image).read_bytes() if Path(image).is_file() else b""
            elif isinstance(image, np.ndarray):
                digest.update(repr((image.shape, str(image.dtype))).encode())
                image = np.ascontiguousarray(image).tobytes()
            digest.update(hashlib.sha256(image).digest())
        return digest.hexdigest()

    def _decode(self, image: Any) -> tuple[np.ndarray | None, Header]:
        return decode(image, self._size, self._aspect, self._color_mode, self._window)

    def _fill(self, pixels: np.ndarray, verbose: bool) -> list[Header]:
        def fill(position: int) -> Header:
            decoded, header = self._decode(self._images[position])
            if decoded is not None:
                pixels[position] = decoded
            return header

        return self._in_parallel(fill, "Reading images", verbose, len(self._images))

    def _in_parallel(
        self, task: Callable[[int], Header], description: str, verbose: bool, count: int
    ) -> list[Header]:

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
        if pixels.shape != (len(self._images), *self.shape) or len(headers) != len(pixels):
            return None
        self._pixels = pixels
        return headers

    def _fingerprint(self) -> str:
        """Return a hash that changes with any image or setting, or once more can be read."""
        settings = (1, self.shape, self._aspect, self._window, readers())
        digest = hashlib.sha256(repr(settings).encode())
        for image in self._images:
            if isinstance(image, np.ndarray):
                digest.update(np.ascontiguousarray(image).tobytes())
            elif isinstance(image, bytes):
                digest.update(image)
            else:
                path = Path(image).absolute()
                state = path.stat() if path.exists() else None
                stamp = (state.st_size, state.st_mtime_ns) if state else None
                digest.update(repr((str(path), stamp)).encode())
        return digest.hexdigest()[:20]

    def _report(self, position: int, header: Header) -> None:
        if position not in self._reported:
            self._reported.add(position)
            image = self._images[position]
            name = image if isinstance(image, str | Path) else f"image {position}"
            warnings.warn(f"Left out {name}: {header.problem}.", stacklevel=2)
