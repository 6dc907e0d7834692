"""Annotations in JSON: COCO's, labelme's, VGG's VIA and CreateML's."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_practical.detection.lined_files import read_json
from keras_practical.detection.written import (
    Reader,
    Reading,
    WrittenBox,
    WrittenImage,
    around,
    image_file,
    line_of,
    whole,
)


def read_json_file(path: Path, reading: Reading, problems: list[str]) -> list[WrittenImage]:
    """Return the images of a JSON file."""
    content = read_json(path)
    return _reader_of(content)(path, content, reading, problems)


def is_labelme(path: Path) -> bool:
    """Say whether a file is one of labelme's, which writes one for each image."""
    return _reader_of(read_json(path)) is _read_labelme


def _reader_of(content: Any) -> Reader:
    if isinstance(content, Mapping):
        if isinstance(content.get("shapes"), list) and "imagePath" in content:
            return _read_labelme
        if _via_entries(content) is not None:
            return _read_via
    listed = content if isinstance(content, list) else []
    if listed and all(isinstance(entry, Mapping) and "image" in entry for entry in listed):
        return _read_createml
    return _read_coco


def _read_coco(
    path: Path, content: Any, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
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
        size = [whole(entry.get(side)) for side in ("width", "height")]
        file, key = image_file(path, [str(entry["file_name"])], reading), str(entry["id"])
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


def _read_labelme(
    path: Path, content: Any, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
    boxes, unread = [], 0
    for number, shape in enumerate(content["shapes"], start=1):
        try:
            points = [(float(x), float(y)) for x, y in shape["points"]]
            if shape.get("shape_type") == "circle":
                (x, y), edge = points
                radius = math.dist((x, y), edge)
                points = [(x - radius, y - radius), (x + radius, y + radius)]
            edges = around(points)
        except (KeyError, TypeError, ValueError):
            problems.append(f"{path}: its shape {number} has no points that can be read.")
            unread += 1
            continue
        # Labelme's two corners may come in any order, and so they are: `around` puts them right.
        boxes.append(WrittenBox(str(shape.get("label") or reading.class_name), edges, 1))
    said = str(content["imagePath"]).replace("\\", "/").rsplit("/", 1)[-1]
    image = image_file(path, [path.stem, said], reading)
    width, height = (whole(content.get(key)) for key in ("imageWidth", "imageHeight"))
    return [WrittenImage(image, tuple(boxes), path, 1, width=width, height=height, unread=unread)]


def _via_entries(content: Mapping[str, Any]) -> list[Mapping[str, Any]] | None:
    """Return VIA's entries, one an image; its project files have them one level deeper."""
    entries = content.get("_via_img_metadata", content)
    if not isinstance(entries, Mapping) or not entries:
        return None
    listed = list(entries.values())
    fits = all(
        isinstance(entry, Mapping) and {"filename", "regions"} <= set(entry) for entry in listed
    )
    return listed if fits else None


def _read_via(
    path: Path, content: Any, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
    images = []
    for entry in _via_entries(content) or []:
        regions = entry["regions"]
        # Version 1 numbers them in a mapping.
        regions = list(regions.values()) if isinstance(regions, Mapping) else regions
        boxes, unread = [], 0
        for region in regions:
            edges = _via_edges(region.get("shape_attributes", {}))
            if edges is None:
                problems.append(f"{path}: a region of {entry['filename']} has no box.")
                unread += 1
                continue
            boxes.append(WrittenBox(_via_class(region, reading), edges, 1))
        file = image_file(path, [str(entry["filename"])], reading)
        images.append(WrittenImage(file, tuple(boxes), path, 1, unread=unread))
    return images


def _via_edges(shape: Mapping[str, Any]) -> tuple[float, float, float, float] | None:
    try:
        if shape.get("name") == "rect":
            left, top = float(shape["x"]), float(shape["y"])
            return left, top, left + float(shape["width"]), top + float(shape["height"])
        if "all_points_x" in shape:
            xs, ys = map(float, shape["all_points_x"]), map(float, shape["all_points_y"])
            return around(list(zip(xs, ys, strict=True)))
        across = float(shape.get("rx", shape.get("r", math.nan)))
        down = float(shape.get("ry", shape.get("r", math.nan)))
        x, y = float(shape["cx"]), float(shape["cy"])
        edges = (x - across, y - down, x + across, y + down)
    except (KeyError, TypeError, ValueError):
        return None
    return edges if all(map(math.isfinite, edges)) else None


def _via_class(region: Mapping[str, Any], reading: Reading) -> str:
    """Return what a region is: the one attribute that it has, or the one of a usual name."""
    attributes = region.get("region_attributes") or {}
    for name in ("class", "label", "name", "type", "category"):
        if isinstance(attributes.get(name), str) and attributes[name]:
            return str(attributes[name])
    words = [value for value in attributes.values() if isinstance(value, str) and value]
    return words[0] if len(words) == 1 else reading.class_name


def _read_createml(
    path: Path, content: Any, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
    """Read CreateML's list, whose boxes are given by their centres."""
    images = []
    for number, entry in enumerate(content, start=1):
        boxes, unread = [], 0
        for thing in entry.get("annotations", []):
            try:
                place = {key: float(thing["coordinates"][key]) for key in ("x", "y")}
                across, down = (float(thing["coordinates"][key]) / 2 for key in ("width", "height"))
            except (KeyError, TypeError, ValueError):
                problems.append(f"{path}: an object of entry {number} has no box.")
                unread += 1
                continue
            x, y = place["x"], place["y"]
            name = str(thing.get("label") or reading.class_name)
            boxes.append(WrittenBox(name, (x - across, y - down, x + across, y + down), 1))
        file = image_file(path, [str(entry["image"])], reading)
        images.append(WrittenImage(file, tuple(boxes), path, 1, unread=unread))
    return images
