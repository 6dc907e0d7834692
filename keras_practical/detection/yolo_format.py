"""YOLO's layout: a text file of fractions beside each image, and a `data.yaml` with the names."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_practical.detection.written import NoBox, Reading, WrittenBox, WrittenImage, number_of

_IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
_SPLITS = {"train": "train", "validation": "val", "test": "test"}


def read_yolo(
    file: Path, split: str | None, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
    """Return the images that a `data.yaml` names for a split."""
    content = _read_yaml(file)
    names = content.get("names")
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, Mapping) or not names:
        raise ValueError(f"{file} isn't YOLO's: it must say the classes' `names`.")
    there = [name for name, key in _SPLITS.items() if content.get(key)]
    if split is None and len(there) == 1:
        split = there[0]
    if split not in there:
        raise ValueError(
            f"{file} has the parts {', '.join(there) or 'none'}: say which to read, such as "
            f"split={there[0] if there else 'train'!r}. Received: split={split!r}"
        )
    given = content[_SPLITS[split]]
    folders = [
        _place(file, content, str(part)) for part in (given if isinstance(given, list) else [given])
    ]
    images = []
    for folder in folders:
        for image in sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGES):
            images.append(_image(image, names, problems))
    return images


def _read_yaml(file: Path) -> Mapping[str, Any]:
    import yaml

    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} isn't whole YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"{file} isn't YOLO's: it must say `names` and `train`.")
    return content


def _place(file: Path, content: Mapping[str, Any], part: str) -> Path:
    """Return the folder of a split: relative to `path`, or to the file as exports have it."""
    root = Path(str(content.get("path") or "."))
    inside = part[3:] if part.startswith("../") else part
    for candidate in (file.parent / root / part, file.parent / part, file.parent / inside):
        if candidate.is_dir():
            return candidate
    raise ValueError(f"{file} says that images are in {part!r}, and there is no such folder.")


def _image(image: Path, names: Mapping[Any, Any], problems: list[str]) -> WrittenImage:
    """Read the boxes of an image; without a file of them it has none."""
    # The last folder called `images` becomes `labels`, as YOLO itself does it.
    labels = Path(re.sub(r"(.*)(^|/)images/", r"\1\2labels/", image.as_posix())).with_suffix(".txt")
    labels = labels if labels.is_file() else image.with_suffix(".txt")
    boxes, unread = [], 0
    lines = labels.read_text(encoding="utf-8-sig").splitlines() if labels.is_file() else []
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        try:
            boxes.append(_box(labels, line, text.split(), names))
        except NoBox as error:
            problems.append(str(error))
            unread += 1
    return WrittenImage(image, tuple(boxes), labels, 1, unread=unread)


def _box(file: Path, line: int, cells: list[str], names: Mapping[Any, Any]) -> WrittenBox:
    """Return the box of a line: class, centre and sides, or class and the points of a polygon."""
    numbers = [number_of(cell, "a coordinate", file, line) for cell in cells[1:]]
    key = int(cells[0]) if cells[0].isdigit() else cells[0]
    if key not in names:
        raise NoBox(f"{file}, line {line}: there is no class {cells[0]!r}.")
    if len(numbers) == 4:
        x, y, across, down = numbers
        edges = (x - across / 2, y - down / 2, x + across / 2, y + down / 2)
    elif len(numbers) >= 6 and len(numbers) % 2 == 0:
        edges = (min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2]))
    else:
        raise NoBox(
            f"{file}, line {line}: a box is a class and four numbers. Received: {len(cells)} cells"
        )
    return WrittenBox(str(names[key]), edges, line, fractions=True)
