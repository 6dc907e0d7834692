"""One big array on disk, written piece by piece, that survives a kill and notices damage."""

from __future__ import annotations

import os
import warnings
import zlib
from pathlib import Path
from types import TracebackType

import numpy as np

__all__ = ["FeatureFile"]


class FeatureFile:
    """A float32 array in a file whose pieces are computed once.

    Used by `embed`. Beside the array stands a log with one line for each piece that is complete,
    and its checksum; a piece counts only if both agree. So a killed run loses the piece that it
    was at, and a damaged one is computed again. A lock lets one process write at a time.

    Args:
        folder: Where the files are; made if it isn't there.
        key: Names the content: another key, another file.
        shape: Views, images and features of the array.
        piece: Images in a piece.

    Raises:
        OSError: The folder can't be written to.

    Example:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with FeatureFile(folder, "abc", (1, 3, 5), piece=2) as file:
    ...         file.write(1, 0, np.ones((1, 5), "float32"))
    ...     with FeatureFile(folder, "abc", (1, 3, 5), piece=2) as file:
    ...         file.needs(0, 0), file.needs(1, 0)
    (True, False)
    """

    def __init__(
        self, folder: str | Path, key: str, shape: tuple[int, int, int], *, piece: int
    ) -> None:
        from filelock import FileLock

        Path(folder).mkdir(parents=True, exist_ok=True)
        self._file = Path(folder) / f"features-{key}.npy"
        self._log = self._file.with_suffix(".log")
        self._lock = FileLock(self._file.with_suffix(".lock"))
        self._shape = shape
        self._piece = piece
        self._offset = 0
        self._done: set[tuple[int, int]] = set()
        self._nan_rows: set[int] = set()

    def __enter__(self) -> FeatureFile:
        self._lock.acquire()
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    @property
    def nan_rows(self) -> set[int]:
        """The images that couldn't be read."""
        return self._nan_rows

    def needs(self, piece: int, view: int) -> bool:
        """Return whether a piece isn't there yet."""
        return (piece, view) not in self._done

    def write(self, piece: int, view: int, values: np.ndarray) -> None:
        """Store a piece; it counts from now on, even if the process is killed."""
        values = np.ascontiguousarray(values, "float32")
        # Not through a memory map: its pages would stay in memory.
        with self._file.open("r+b") as file:
            file.seek(self._position(piece, view))
            file.write(values.data)
            file.flush()
            os.fsync(file.fileno())
        with self._log.open("a") as log:
            log.write(f"{piece} {view} {zlib.crc32(values.data)} .\n")
            log.flush()
            os.fsync(log.fileno())
        self._accept(piece, view, values)

    def read(self) -> np.ndarray:
        """Return the array, mapped from the file: its pages are read when they are needed."""
        return np.load(self._file, mmap_mode="r")

    def _open(self) -> None:
        try:
            array = np.load(self._file, mmap_mode="r")
            if array.shape != self._shape or array.dtype != np.float32:
                raise ValueError(f"it holds {array.dtype} of shape {array.shape}")
        except FileNotFoundError:
            array = self._new()
        except (OSError, EOFError, ValueError) as error:
            warnings.warn(
                f"{self._file} is damaged ({error}); all of it is computed again.", stacklevel=4
            )
            array = self._new()
        self._offset = array.offset
        self._done, self._nan_rows = set(), set()
        damaged = 0
        with self._file.open("rb") as file:
            for (piece, view), checksum in self._noted().items():
                file.seek(self._position(piece, view))
                rows = min(self._piece, self._shape[1] - piece * self._piece)
                values = np.fromfile(file, "float32", rows * self._shape[2])
                if zlib.crc32(values.data) == checksum:
                    self._accept(piece, view, values.reshape(rows, -1))
                else:
                    damaged += 1
        if damaged:
            warnings.warn(
                f"{damaged} pieces of {self._file} are damaged; they are computed again.",
                stacklevel=4,
            )

    def _new(self) -> np.memmap:
        self._log.unlink(missing_ok=True)
        return np.lib.format.open_memmap(self._file, "w+", "float32", self._shape)

    def _noted(self) -> dict[tuple[int, int], int]:
        """Return the checksum of each piece in the log, whose last line may have been cut short."""
        noted = {}
        for line in self._log.read_text().splitlines() if self._log.exists() else []:
            *words, end = line.split(" ")
            if end == "." and len(words) == 3 and all(word.isdigit() for word in words):
                piece, view, checksum = map(int, words)
                noted[piece, view] = checksum
        return noted

    def _position(self, piece: int, view: int) -> int:
        """Return where in the file a piece begins, in bytes."""
        row = view * self._shape[1] + piece * self._piece
        return self._offset + row * self._shape[2] * 4

    def _accept(self, piece: int, view: int, values: np.ndarray) -> None:
        rows = np.flatnonzero(np.isnan(values[:, 0]))
        self._nan_rows |= {piece * self._piece + int(row) for row in rows}
        self._done.add((piece, view))
