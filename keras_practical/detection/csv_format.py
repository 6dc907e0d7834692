"""Boxes in tables: CSV and TSV with a line for each box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from keras_practical.data.tables import read_rows
from keras_practical.detection.written import (
    NoBox,
    Reading,
    WrittenBox,
    WrittenImage,
    image_file,
    number_of,
    whole,
)

# Names that tools give their columns, in lower case.
_COLUMNS = {
    "path": (
        "path",
        "filename",
        "file",
        "image",
        "image_path",
        "file_name",
        "image_name",
        "image_names",
        "image_id",
        "imageid",
    ),
    "label": (
        "class",
        "label",
        "name",
        "class_name",
        "category",
        "labelname",
        "label_name",
        "category_name",
        "category_id",
        "class_id",
    ),
    "left": ("xmin", "x_min", "x1", "left"),
    "top": ("ymin", "y_min", "y1", "top"),
    "right": ("xmax", "x_max", "x2", "right"),
    "bottom": ("ymax", "y_max", "y2", "bottom"),
    "width": ("width", "w"),
    "height": ("height", "h"),
}
_BARE = ("path", "left", "top", "right", "bottom", "label")
_SIDES = ("left", "top", "right", "bottom", "width", "height")


def read_csv_file(path: Path, reading: Reading, problems: list[str]) -> list[WrittenImage]:
    """Return the images of a table."""
    rows = read_rows(path)
    if not rows:
        raise ValueError(f"{path} is empty.")
    bare = _is_bare(rows[0][1]) and reading.columns is None
    columns = _columns(path, rows, reading, problems)
    images = []
    for line, row in rows if bare else rows[1:]:
        cells = {role: row[number].strip() for role, number in columns.items()}
        if not cells["path"]:
            problems.append(f"{path}, line {line}: it names no image.")
            continue
        boxes: tuple[WrittenBox, ...] = ()
        unread = 0
        try:
            boxes = _csv_boxes(path, line, cells, reading.class_name)
        except NoBox as error:
            problems.append(str(error))
            unread = 1
        file = image_file(path, [cells["path"]], reading)
        size = [whole(cells.get(side)) for side in ("image width", "image height")]
        images.append(
            WrittenImage(file, boxes, path, line, width=size[0], height=size[1], unread=unread)
        )
    return _with_fractions(path, images, problems)


def _with_fractions(
    path: Path, images: list[WrittenImage], problems: list[str]
) -> list[WrittenImage]:
    """Mark the boxes as parts of the sides if no edge is above 1, as in OpenImages' files."""
    edges = [edge for image in images for box in image.boxes for edge in box.edges]
    if not edges or max(edges) > 1 or min(edges) < 0 or all(edge in (0, 1) for edge in edges):
        return images
    problems.append(
        f"{path}: all edges are between 0 and 1: taken for parts of the images' width and height."
    )
    return [
        replace(image, boxes=tuple(replace(box, fractions=True) for box in image.boxes))
        for image in images
    ]


def _is_bare(row: Sequence[str]) -> bool:
    """Say whether a first row is data already: path, four numbers (or none), class."""
    if len(row) != len(_BARE):
        return False
    return all(not cell.strip() or whole(cell) is not None for cell in row[1:5])


def _columns(
    path: Path,
    rows: Sequence[tuple[int, Sequence[str]]],
    reading: Reading,
    problems: list[str],
) -> dict[str, int]:
    """Return where each role's column is."""
    header = [name.strip() for name in rows[0][1]]
    told = reading.columns
    if told is None and _is_bare(header):
        return {role: index for index, role in enumerate(_BARE)}
    names = [name.lower() for name in header]
    columns = {
        role: names.index(known[0])
        for role, variants in _COLUMNS.items()
        if (known := [variant for variant in variants if variant in names])
    }
    for role, name in (told or {}).items():
        if role not in _COLUMNS or name not in header:
            raise ValueError(
                f"`columns` says which columns are {', '.join(_COLUMNS)}, and {path} has "
                f"{', '.join(header)}. Received: columns={told!r}"
            )
        columns[role] = header.index(name)
    corners = {"right", "bottom"} <= set(columns)
    needed = {"path", "left", "top", *(("right", "bottom") if corners else ("width", "height"))}
    if not needed <= set(columns):
        raise ValueError(
            f"{path}, line 1: the columns must be image, left, top, right, bottom and label (or "
            "width and height instead of right and bottom; xmin, ymin, xmax and ymax will do); or "
            "say which is which, such as columns={'path': 'photo', 'label': 'cell_type'}. "
            f"Received: {', '.join(header)}"
        )
    if corners:
        # Beside corners, these two are the image's.
        names_of = {"width": "image width", "height": "image height"}
        columns = {names_of.get(role, role): number for role, number in columns.items()}
    if "label" not in columns:
        _guess_label(path, header, rows, columns, problems)
    return columns


def _guess_label(
    path: Path,
    header: Sequence[str],
    rows: Sequence[tuple[int, Sequence[str]]],
    columns: dict[str, int],
    problems: list[str],
) -> None:
    """Take the one column that is left for the classes, and say so; refuse to choose of several."""
    others = [number for number in range(len(header)) if number not in columns.values()]
    words = [
        number
        for number in others
        if len({row[number].strip() for _, row in rows[1:]}) > 1
        or any(whole(row[number]) is None and row[number].strip() for _, row in rows[1:])
    ]
    if len(words) == 1:
        columns["label"] = words[0]
        problems.append(f"{path}: column {header[words[0]]!r} was taken for the classes.")
    elif words:
        raise ValueError(
            f"{path}: which column has the classes? Say it, such as "
            f"columns={{'label': {header[words[0]]!r}}}. It has {', '.join(header)}."
        )


def _csv_boxes(
    path: Path, line: int, cells: Mapping[str, str], class_name: str
) -> tuple[WrittenBox, ...]:
    sides = [name for name in cells if name in _SIDES]
    if not any(cells[name] for name in sides):
        # A row with nothing but a path is an image without objects.
        return ()
    numbers = {name: number_of(cells[name], name, path, line) for name in sides}
    left, top = numbers["left"], numbers["top"]
    right = numbers["right"] if "right" in numbers else left + numbers["width"]
    bottom = numbers["bottom"] if "bottom" in numbers else top + numbers["height"]
    return (WrittenBox(cells.get("label") or class_name, (left, top, right, bottom), line),)
