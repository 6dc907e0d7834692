"""Annotations in XML: dlib's, Pascal VOC's and CVAT's."""

from __future__ import annotations

from pathlib import Path

from keras_practical.detection.lined_files import Element, read_xml
from keras_practical.detection.written import (
    NoBox,
    Reading,
    WrittenBox,
    WrittenImage,
    around,
    image_file,
    number_of,
    whole,
)


def read_xml_file(path: Path, reading: Reading, problems: list[str]) -> list[WrittenImage]:
    """Return the images of an XML file."""
    root = read_xml(path)
    readers = {"dataset": _read_dlib, "annotation": _read_voc, "annotations": _read_cvat}
    if root.tag not in readers:
        raise ValueError(
            f"{path}, line {root.line}: <{root.tag}> is neither dlib's <dataset> nor Pascal VOC's "
            "<annotation> nor CVAT's <annotations>."
        )
    return readers[root.tag](path, root, reading, problems)


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
                    name: number_of(box.attributes.get(name), name, path, box.line)
                    for name in ("left", "top", "width", "height")
                }
            except NoBox as error:
                problems.append(str(error))
                unread += 1
                continue
            left, top = numbers["left"], numbers["top"]
            edges = (left, top, left + numbers["width"], top + numbers["height"])
            ignored = box.attributes.get("ignore", "0") not in ("0", "false")
            boxes.append(
                WrittenBox(box.value("label") or reading.class_name, edges, box.line, ignored)
            )
        size = [whole(image.attributes.get(side)) for side in ("width", "height")]
        file = image_file(path, [image.attributes["file"]], reading)
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
                raise NoBox(f"{path}, line {thing.line}: an <object> without a <bndbox>.")
            left, top, right, bottom = (
                number_of(box.value(name), name, path, box.line)
                for name in ("xmin", "ymin", "xmax", "ymax")
            )
        except NoBox as error:
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
    sides = [whole(size.value(side)) for side in ("width", "height")]
    said = root.value("filename") or path.stem
    # Pairs of files are renamed together; the text inside stays behind.
    image = image_file(path, [path.stem, said], reading)
    if image.stem == path.stem and Path(said).stem != path.stem:
        problems.append(f"{path}: it says that its image is {said}; {image.name} was taken.")
    return [
        WrittenImage(
            image, tuple(boxes), path, root.line, width=sides[0], height=sides[1], unread=unread
        )
    ]


def _read_cvat(
    path: Path, root: Element, reading: Reading, problems: list[str]
) -> list[WrittenImage]:
    """Read "CVAT for images"; of polygons and the like, the box around them."""
    images = []
    for image in root.find_all("image"):
        boxes, unread = [], 0
        for thing in image.children:
            try:
                edges = _cvat_edges(path, thing)
            except NoBox as error:
                problems.append(str(error))
                unread += 1
                continue
            if edges is not None:
                name = thing.attributes.get("label") or reading.class_name
                boxes.append(WrittenBox(name, edges, thing.line))
        size = [whole(image.attributes.get(side)) for side in ("width", "height")]
        file = image_file(path, [image.attributes.get("name", "")], reading)
        images.append(
            WrittenImage(
                file, tuple(boxes), path, image.line, width=size[0], height=size[1], unread=unread
            )
        )
    return images


def _cvat_edges(path: Path, thing: Element) -> tuple[float, float, float, float] | None:
    """Return the edges of a shape; a tag of the whole image has none."""
    if thing.tag == "box":
        left, top, right, bottom = (
            number_of(thing.attributes.get(name), name, path, thing.line)
            for name in ("xtl", "ytl", "xbr", "ybr")
        )
        return left, top, right, bottom
    if thing.tag in ("polygon", "polyline", "points"):
        points = []
        for point in thing.attributes.get("points", "").split(";"):
            x, _, y = point.partition(",")
            points.append(
                (number_of(x, "points", path, thing.line), number_of(y, "points", path, thing.line))
            )
        return around(points)
    if thing.tag == "tag":
        return None
    raise NoBox(f"{path}, line {thing.line}: a <{thing.tag}> has no box.")
