"""What annotation files say: dlib's XML, Pascal VOC, COCO and CSV, read as they stand.

Nothing is judged here; `annotations` compares what is said with the images.
"""

from __future__ import annotations

import csv
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keras_practical.detection.lined_files import Element, json_object_lines, read_json, read_xml


@dataclass(frozen=True, slots=True)
class WrittenBox:
    """One box as a file has it: edges in pixels, nothing checked."""

    class_name: str
    edges: tuple[float, float, float, float]
    line: int
    ignored: bool = False


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


class _NoBox(ValueError):
    """Something that should be a box and isn't; the text gives the line."""


def read_annotations(path: Path, *, class_name: str) -> tuple[list[WrittenImage], list[str]]:
    """Return the images that a file or a folder names, and what in it could not be read."""
    if path.is_dir():
        return _read_folder(path, class_name)
    readers = {".xml": _read_xml, ".json": _read_coco, ".csv": _read_csv}
    if path.suffix.lower() not in readers:
        raise ValueError(
            "`source` must be an .xml, .json or .csv file, or a folder with Pascal VOC's .xml "
            f"files. Received: {str(path)!r}"
        )
    problems: list[str] = []
    images = readers[path.suffix.lower()](path, class_name, problems)
    return _joined(images), problems


def _read_folder(folder: Path, class_name: str) -> tuple[list[WrittenImage], list[str]]:
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
            some, more = read_annotations(path, class_name=class_name)
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
        by_path[image.path] = WrittenImage(
            image.path, boxes, first.file, first.line, first.width, first.height
        )
    return list(by_path.values())


def _read_xml(path: Path, class_name: str, problems: list[str]) -> list[WrittenImage]:
    root = read_xml(path)
    if root.tag == "dataset":
        return _read_dlib(path, root, class_name, problems)
    if root.tag == "annotation":
        return _read_voc(path, root, problems)
    raise ValueError(
        f"{path}, line {root.line}: <{root.tag}> is neither dlib's <dataset> nor Pascal VOC's "
        "<annotation>."
    )


def _read_dlib(
    path: Path, root: Element, class_name: str, problems: list[str]
) -> list[WrittenImage]:
    images = []
    holder = root.find("images") or Element("images", {}, root.line)
    for image in holder.find_all("image"):
        if "file" not in image.attributes:
            problems.append(f"{path}, line {image.line}: an <image> without a file.")
            continue
        boxes = []
        for box in image.find_all("box"):
            try:
                numbers = {
                    name: _number(box.attributes.get(name), name, path, box.line)
                    for name in ("left", "top", "width", "height")
                }
            except _NoBox as error:
                problems.append(str(error))
                continue
            left, top = numbers["left"], numbers["top"]
            edges = (left, top, left + numbers["width"], top + numbers["height"])
            ignored = box.attributes.get("ignore", "0") not in ("0", "false")
            boxes.append(WrittenBox(box.value("label") or class_name, edges, box.line, ignored))
        size = [_whole(image.attributes.get(side)) for side in ("width", "height")]
        file = path.parent / image.attributes["file"]
        images.append(WrittenImage(file, tuple(boxes), path, image.line, *size))
    return images


def _read_voc(path: Path, root: Element, problems: list[str]) -> list[WrittenImage]:
    boxes = []
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
            continue
        # VOC counts pixels from 1, and the last one belongs to the box: a box's edges are one less
        # on the left and at the top. A box without width stays one, to be reported.
        if right > left and bottom > top:
            left, top = left - 1, top - 1
        ignored = thing.value("difficult") == "1"
        name = thing.value("name") or "object"
        boxes.append(WrittenBox(name, (left, top, right, bottom), box.line, ignored))
    size = root.find("size") or Element("size", {}, root.line)
    sides = [_whole(size.value(side)) for side in ("width", "height")]
    name = root.value("filename") or path.stem
    # The devkit keeps images beside the annotations' folder, labelling tools beside the files.
    candidates = [path.parent / name, path.parent.parent / "JPEGImages" / name]
    candidates += [path.with_suffix(suffix) for suffix in (".jpg", ".png", ".jpeg", ".JPG")]
    image = next((file for file in candidates if file.is_file()), candidates[0])
    return [WrittenImage(image, tuple(boxes), path, root.line, *sides)]


def _read_coco(path: Path, _: str, problems: list[str]) -> list[WrittenImage]:
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
    names = {category["id"]: str(category["name"]) for category in content["categories"]}
    boxes: dict[Any, list[WrittenBox]] = {image["id"]: [] for image in content["images"]}
    for number, annotation in enumerate(content["annotations"]):
        edges = _coco_edges(annotation.get("bbox"))
        image, category = annotation.get("image_id"), annotation.get("category_id")
        line = -number - 1
        problem = None
        if edges is None:
            problem = f"bbox must be four numbers. Received: {annotation.get('bbox')!r}"
        elif image not in boxes:
            problem = f"there is no image {image!r}"
        elif category not in names:
            problem = f"there is no category {category!r}"
        else:
            crowd = bool(annotation.get("iscrowd", 0))
            boxes[image].append(WrittenBox(names[category], edges, line, crowd))
        if problem is not None:
            problems.append(f"{path}, line {line_of(path, line, 'annotations')}: {problem}")
    images = []
    for number, image in enumerate(content["images"]):
        size = [_whole(image.get(side)) for side in ("width", "height")]
        name = str(image["file_name"])
        candidates = [path.parent / name, path.parent / "images" / name, path.parent.parent / name]
        file = next((file for file in candidates if file.is_file()), candidates[0])
        images.append(WrittenImage(file, tuple(boxes[image["id"]]), path, -number - 1, *size))
    return images


def line_of(file: Path, line: int, part: str) -> int:
    """Return a line number; entry n of a JSON list has -n - 1 until somebody asks."""
    if line >= 0:
        return line
    return _json_lines(file, part, file.stat().st_mtime_ns)[-line - 1]


@functools.lru_cache(maxsize=4)
def _json_lines(file: Path, part: str, _modified: int) -> list[int]:
    return json_object_lines(file, part)


def _coco_edges(box: Any) -> tuple[float, float, float, float] | None:
    try:
        left, top, width, height = (float(number) for number in box)
    except (TypeError, ValueError):
        return None
    return left, top, left + width, top + height


# Names that tools give their columns, in lower case.
_COLUMNS = {
    "path": ("path", "filename", "file", "image", "image_path", "file_name", "image_id"),
    "label": ("class", "label", "name", "class_name", "category"),
    "left": ("xmin", "x_min", "x1", "left"),
    "top": ("ymin", "y_min", "y1", "top"),
    "right": ("xmax", "x_max", "x2", "right"),
    "bottom": ("ymax", "y_max", "y2", "bottom"),
    "width": ("width", "w"),
    "height": ("height", "h"),
}
_BARE = ("path", "left", "top", "right", "bottom", "label")


def _read_csv(path: Path, class_name: str, problems: list[str]) -> list[WrittenImage]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} isn't in UTF-8 ({error}). Save it as UTF-8.") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    columns: dict[str, int] | None = None
    images = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if columns is None:
            columns = _columns(path, row)
            if not _is_bare(row):
                continue
        cells = {role: row[n].strip() if n < len(row) else "" for role, n in columns.items()}
        line = reader.line_num
        if not cells["path"]:
            problems.append(f"{path}, line {line}: it names no image.")
            continue
        try:
            boxes = _csv_boxes(path, line, cells, class_name)
        except _NoBox as error:
            problems.append(str(error))
            continue
        images.append(WrittenImage(path.parent / cells["path"], boxes, path, line))
    return images


def _is_bare(row: Sequence[str]) -> bool:
    """Say whether a first row is data already: path, four numbers (or none), class."""
    if len(row) != len(_BARE):
        return False
    return all(not cell.strip() or _whole(cell) is not None for cell in row[1:5])


def _columns(path: Path, header: Sequence[str]) -> dict[str, int]:
    if _is_bare(header):
        return {role: index for index, role in enumerate(_BARE)}
    names = [name.strip().lower() for name in header]
    columns = {
        role: names.index(known[0])
        for role, variants in _COLUMNS.items()
        if (known := [variant for variant in variants if variant in names])
    }
    corners = {"right", "bottom"} <= set(columns)
    needed = {"path", "left", "top", *(("right", "bottom") if corners else ("width", "height"))}
    if not needed <= set(columns):
        raise ValueError(
            f"{path}, line 1: the columns must be image, left, top, right, bottom and label (or "
            "width and height instead of right and bottom; xmin, ymin, xmax and ymax will do). "
            f"Received: {', '.join(header)}"
        )
    if corners:
        # Beside corners, these two are the image's.
        columns = {role: n for role, n in columns.items() if role not in ("width", "height")}
    return columns


def _csv_boxes(
    path: Path, line: int, cells: Mapping[str, str], class_name: str
) -> tuple[WrittenBox, ...]:
    sides = [name for name in cells if name not in ("path", "label")]
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
