"""What annotation files say: dlib's XML, Pascal VOC, COCO and CSV, read as they stand.

Nothing is judged here; `annotations` compares what is said with the images.
"""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from keras_practical.data.tables import read_rows
from keras_practical.detection.lined_files import Element, json_object_lines, read_json, read_xml


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


class _NoBox(ValueError):
    """Something that should be a box and isn't; the text gives the line."""


def read_annotations(path: Path, reading: Reading) -> tuple[list[WrittenImage], list[str]]:
    """Return the images that a file or a folder names, and what in it could not be read."""
    if path.is_dir():
        return _read_folder(path, reading)
    readers = {".xml": _read_xml, ".json": _read_coco, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(
            "`source` must be an .xml, .json or .csv file, or a folder with Pascal VOC's .xml "
            f"files. Received: {str(path)!r}"
        )
    problems: list[str] = []
    images = readers[path.suffix.lower()](path, reading, problems)
    return _joined(images), problems


def _read_folder(folder: Path, reading: Reading) -> tuple[list[WrittenImage], list[str]]:
    """Read a folder of VOC files, or the one annotation file that it has."""
    for pattern in ("**/*.xml", "*.json", "*.csv"):
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        if pattern != "**/*.xml" and len(files) > 1:
            names = ", ".join(path.name for path in files)
            raise ValueError(f"{folder} has several annotation files: {names}. Name one of them.")
        if files:
            break
    else:
        raise ValueError(f"There are no .xml, .json or .csv files in {folder}.")
    images: list[WrittenImage] = []
    problems: list[str] = []
    for path in files:
        # One broken file of many must not stop a run.
        try:
            some, more = read_annotations(path, reading)
        except ValueError as error:
            if len(files) == 1:
                raise
            some, more = [], [str(error)]
        images += some
        problems += more
    return _joined(images), problems


def _joined(images: Sequence[WrittenImage]) -> list[WrittenImage]:
    """Return one entry an image, though a file may name it many times, as CSV files do."""
    by_path: dict[Path, WrittenImage] = {}
    for image in images:
        known = by_path.get(image.path)
        boxes = image.boxes if known is None else known.boxes + image.boxes
        first = known or image
        unread = image.unread + (known.unread if known else 0)
        by_path[image.path] = replace(first, boxes=boxes, unread=unread)
    return list(by_path.values())


def _read_xml(path: Path, reading: Reading, problems: list[str]) -> list[WrittenImage]:
    root = read_xml(path)
    if root.tag == "dataset":
        return _read_dlib(path, root, reading, problems)
    if root.tag == "annotation":
        return _read_voc(path, root, reading, problems)
    raise ValueError(
        f"{path}, line {root.line}: <{root.tag}> is neither dlib's <dataset> nor Pascal VOC's "
        "<annotation>."
    )


def _read_dlib(
    path: Path, root: Element, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
    images = []
    holder = root.find("images") or Element("images", {}, root.line)
    for image in holder.find_all("image"):
        if "file" not in image.attributes:
            problems.append(f"{path}, line {image.line}: an <image> without a file.")
            continue
        boxes, unread = [], 0
        for box in image.find_all("box"):
            try:
                numbers = {
                    name: _number(box.attributes.get(name), name, path, box.line)
                    for name in ("left", "top", "width", "height")
                }
            except _NoBox as error:
                problems.append(str(error))
                unread += 1
                continue
            left, top = numbers["left"], numbers["top"]
            edges = (left, top, left + numbers["width"], top + numbers["height"])
            ignored = box.attributes.get("ignore", "0") not in ("0", "false")
            boxes.append(
                WrittenBox(box.value("label") or reading.class_name, edges, box.line, ignored)
            )
        size = [_whole(image.attributes.get(side)) for side in ("width", "height")]
        file = _image_file(path, [image.attributes["file"]], reading)
        images.append(
            WrittenImage(
                file, tuple(boxes), path, image.line, width=size[0], height=size[1], unread=unread
            )
        )
    return images


def _read_voc(
    path: Path, root: Element, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
    boxes, unread = [], 0
    for thing in root.find_all("object"):
        box = thing.find("bndbox")
        try:
            if box is None:
                raise _NoBox(f"{path}, line {thing.line}: an <object> without a <bndbox>.")
            left, top, right, bottom = (
                _number(box.value(name), name, path, box.line)
                for name in ("xmin", "ymin", "xmax", "ymax")
            )
        except _NoBox as error:
            problems.append(str(error))
            unread += 1
            continue
        # VOC counts pixels from 1, and the last one belongs to the box: a box's edges are one less
        # on the left and at the top. A box without width stays one, to be reported.
        if right > left and bottom > top:
            left, top = left - 1, top - 1
        ignored = thing.value("difficult") == "1"
        name = thing.value("name") or reading.class_name
        boxes.append(WrittenBox(name, (left, top, right, bottom), box.line, ignored))
    size = root.find("size") or Element("size", {}, root.line)
    sides = [_whole(size.value(side)) for side in ("width", "height")]
    said = root.value("filename") or path.stem
    # Pairs of files are renamed together; the text inside stays behind.
    image = _image_file(path, [path.stem, said], reading)
    if image.stem == path.stem and Path(said).stem != path.stem:
        problems.append(f"{path}: it says that its image is {said}; {image.name} was taken.")
    return [
        WrittenImage(
            image, tuple(boxes), path, root.line, width=sides[0], height=sides[1], unread=unread
        )
    ]


_IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".JPG", ".PNG", ".JPEG", ".bmp", ".tif", ".tiff")


def _image_file(file: Path, names: Sequence[str], reading: Reading) -> Path:
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


def _read_coco(path: Path, reading: Reading, problems: list[str]) -> list[WrittenImage]:
    content = read_json(path)
    needed = {"images": ("id", "file_name"), "categories": ("id", "name"), "annotations": ()}
    for part, keys in needed.items():
        entries = content.get(part) if isinstance(content, Mapping) else None
        if not isinstance(entries, list):
            raise ValueError(f"{path} isn't a COCO file: it must have a list {part!r}.")
        for entry in entries:
            if not isinstance(entry, Mapping) or any(key not in entry for key in keys):
                raise ValueError(
                    f"{path} isn't a COCO file: each of its {part} must have "
                    f"{' and '.join(keys) or 'a bbox'}. Received: {str(entry)[:60]}"
                )
    for part in ("images", "categories"):
        ids = Counter(str(entry["id"]) for entry in content[part])
        twice = [key for key, count in ids.items() if count > 1]
        if twice:
            raise ValueError(f"{path}: the id {twice[0]} stands for two of its {part}.")
    # Some tools write ids as text in one list and as numbers in another.
    names = {str(category["id"]): str(category["name"]) for category in content["categories"]}
    boxes: dict[str, list[WrittenBox]] = {str(image["id"]): [] for image in content["images"]}
    unread: Counter[str] = Counter()
    for number, annotation in enumerate(content["annotations"]):
        edges = _coco_edges(annotation)
        image, category = str(annotation.get("image_id")), str(annotation.get("category_id"))
        line = -number - 1
        problem = None
        if image not in boxes:
            problem = f"there is no image {annotation.get('image_id')!r}"
        elif edges is None:
            problem = f"bbox must be four numbers. Received: {annotation.get('bbox')!r}"
        elif category not in names:
            problem = f"there is no category {annotation.get('category_id')!r}"
        else:
            crowd = bool(annotation.get("iscrowd", 0))
            boxes[image].append(WrittenBox(names[category], edges, line, crowd))
        if problem is not None:
            unread[image] += 1
            problems.append(f"{path}, line {line_of(path, line, 'annotations')}: {problem}")
    images = []
    for number, entry in enumerate(content["images"]):
        size = [_whole(entry.get(side)) for side in ("width", "height")]
        file, key = _image_file(path, [str(entry["file_name"])], reading), str(entry["id"])
        written = WrittenImage(
            file,
            tuple(boxes[key]),
            path,
            -number - 1,
            width=size[0],
            height=size[1],
            unread=unread[key],
        )
        images.append(written)
    return images


def line_of(file: Path, line: int, part: str) -> int:
    """Return a line number; entry n of a JSON list has -n - 1 until somebody asks."""
    if line >= 0:
        return line
    return _json_lines(file, part, file.stat().st_mtime_ns)[-line - 1]


@functools.lru_cache(maxsize=4)
def _json_lines(file: Path, part: str, _modified: int) -> list[int]:
    return json_object_lines(file, part)


def _coco_edges(annotation: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    """Return an object's edges: its box or, without one, the box around its polygons."""
    try:
        if annotation.get("bbox"):
            left, top, width, height = (float(number) for number in annotation["bbox"])
            edges = (left, top, left + width, top + height)
        else:
            points = [float(number) for part in annotation["segmentation"] for number in part]
            xs, ys = points[::2], points[1::2]
            edges = (min(xs), min(ys), max(xs), max(ys))
    except (KeyError, TypeError, ValueError):
        return None
    return edges if all(math.isfinite(edge) for edge in edges) else None


# Names that tools give their columns, in lower case.
_COLUMNS = {
    "path": ("path", "filename", "file", "image", "image_path", "file_name", "image_id"),
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


def _read_csv(path: Path, reading: Reading, problems: list[str]) -> list[WrittenImage]:
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
        except _NoBox as error:
            problems.append(str(error))
            unread = 1
        file = _image_file(path, [cells["path"]], reading)
        size = [_whole(cells.get(side)) for side in ("image width", "image height")]
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
    return all(not cell.strip() or _whole(cell) is not None for cell in row[1:5])


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
        or any(_whole(row[number]) is None and row[number].strip() for _, row in rows[1:])
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
    numbers = {name: _number(cells[name], name, path, line) for name in sides}
    left, top = numbers["left"], numbers["top"]
    right = numbers["right"] if "right" in numbers else left + numbers["width"]
    bottom = numbers["bottom"] if "bottom" in numbers else top + numbers["height"]
    return (WrittenBox(cells.get("label") or class_name, (left, top, right, bottom), line),)


def _number(text: str | None, name: str, path: Path, line: int) -> float:
    try:
        number = float(text or "")
    except ValueError:
        raise _NoBox(f"{path}, line {line}: {name} must be a number. Received: {text!r}") from None
    if number != number or abs(number) == float("inf"):
        raise _NoBox(f"{path}, line {line}: {name} must be a number. Received: {text!r}")
    return number


def _whole(value: Any) -> int | None:
    """Return a number, `None` if there is none; 0, which some tools write, counts as none."""
    try:
        return round(float(value)) or None
    except (TypeError, ValueError):
        return None
