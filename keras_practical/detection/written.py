"""One annotated image as a file has it, and what all readers of such files share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_practical.detection.lined_files import json_object_lines


@dataclass(frozen=True, slots=True)
class WrittenBox:
    """One box as a file has it: edges in pixels or, if so marked, parts of the image's sides."""

    class_name: str
    edges: tuple[float, float, float, float]
    line: int
    ignored: bool = False
    fractions: bool = False


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """One image as a file has it."""

    path: Path
    boxes: tuple[WrittenBox, ...]
    # Which annotation file says so, and where in it.
    file: Path
    line: int
    # As the file has them, `None` where it doesn't.
    width: int | None = None
    height: int | None = None
    # Objects on it whose boxes can't be read: without them it would teach that nothing is there.
    unread: int = 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What the user says of the files."""

    class_name: str
    columns: Mapping[str, str] | None = None
    images: Path | None = None


Reader = Callable[[Path, Any, Reading, list[str]], list[WrittenImage]]


class NoBox(ValueError):
    """Something that should be a box and isn't; the text gives the line."""


_IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG", ".bmp", ".tif", ".tiff")


def image_file(file: Path, names: Sequence[str], reading: Reading) -> Path:
    """Return where the image of an annotation file is: the first place that has it.

    Args:
        file: The annotation file.
        names: The image's name as the file has it, with or without folder and extension; the
            surer one first.
        reading: Where the user says that images are.
    """
    above = file.parent.parent
    places = [file.parent, file.parent / "images", above / "JPEGImages", above / "images", above]
    # COCO's own `instances_val2017.json` is about the images in `val2017`.
    if file.suffix.lower() == ".json" and above.is_dir():
        places += sorted(p for p in above.iterdir() if p.is_dir() and p.name in file.stem)
    if reading.images is not None:
        places = [reading.images]
    for name in names:
        for place in places:
            image = place / name
            if image.is_file():
                return image
            # `x.y` may be a name without extension.
            for suffix in _IMAGE_SUFFIXES:
                guess = image.with_name(f"{image.name}{suffix}")
                if guess.is_file():
                    return guess
    return places[0] / names[-1]


def line_of(file: Path, line: int, part: str) -> int:
    """Return a line number; entry n of a JSON list has -n - 1 until somebody asks."""
    if line >= 0:
        return line
    return _json_lines(file, part, file.stat().st_mtime_ns)[-line - 1]


@functools.lru_cache(maxsize=4)
def _json_lines(file: Path, part: str, _modified: int) -> list[int]:
    return json_object_lines(file, part)


def number_of(text: str | None, name: str, path: Path, line: int) -> float:
    """Return a number of a file; what is none, or not finite, is no box."""
    try:
        number = float(text or "")
    except ValueError:
        raise NoBox(f"{path}, line {line}: {name} must be a number. Received: {text!r}") from None
    if number != number or abs(number) == float("inf"):
        raise NoBox(f"{path}, line {line}: {name} must be a number. Received: {text!r}")
    return number


def whole(value: Any) -> int | None:
    """Return a number, `None` if there is none; 0, which some tools write, counts as none."""
    try:
        return round(float(value)) or None
    except (TypeError, ValueError):
        return None


def around(points: Sequence[tuple[float, float]]) -> tuple[float, float, float, float]:
    """Return the edges of the box around some points."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)
