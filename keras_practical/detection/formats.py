"""What annotation files say, whatever tool wrote them, read as they stand.

Nothing is judged here; `annotations` compares what is said with the images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from keras_practical.data.folders import SPLIT_NAMES, class_folders
from keras_practical.detection.csv_format import read_csv_file
from keras_practical.detection.json_formats import is_labelme, read_json_file
from keras_practical.detection.written import Reading, WrittenImage
from keras_practical.detection.xml_formats import read_xml_file
from keras_practical.detection.yolo_format import read_yolo

_READERS = {
    ".xml": read_xml_file,
    ".json": read_json_file,
    ".csv": read_csv_file,
    ".tsv": read_csv_file,
}
_YAML = (".yaml", ".yml")


def read_annotations(
    path: Path, reading: Reading, *, split: str | None = None
) -> tuple[list[WrittenImage], list[str]]:
    """Return the images that a file or a folder names, and what in it could not be read."""
    if path.is_dir():
        return _read_folder(path, reading, split)
    problems: list[str] = []
    if path.suffix.lower() in _YAML:
        return _joined(read_yolo(path, split, reading, problems)), problems
    if split is not None:
        raise ValueError(f"`split` means nothing for one file. Received: split={split!r}")
    if path.suffix.lower() not in _READERS:
        raise ValueError(
            "`source` must be an .xml, .json or .csv file, YOLO's data.yaml, or a folder with "
            f"annotation files. Received: {str(path)!r}"
        )
    images = _READERS[path.suffix.lower()](path, reading, problems)
    return _joined(images), problems


def _read_folder(
    folder: Path, reading: Reading, split: str | None
) -> tuple[list[WrittenImage], list[str]]:
    """Read the files of a folder: many of one image each, or the one that it has."""
    yaml = [path for path in sorted(folder.iterdir()) if path.suffix.lower() in _YAML]
    if len(yaml) == 1:
        return read_annotations(yaml[0], reading, split=split)
    parts = {
        SPLIT_NAMES[child.name.lower()]: child
        for child in class_folders(folder)
        if child.name.lower() in SPLIT_NAMES
    }
    if split is not None or len(parts) > 1:
        if split not in parts:
            raise ValueError(
                f"{folder} has the parts {', '.join(parts) or 'none'}: say which to read, such as "
                f"split={next(iter(parts), 'train')!r}. Received: split={split!r}"
            )
        return _read_folder(parts[split], reading, None)
    files = _files(folder)
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


def _files(folder: Path) -> list[Path]:
    for pattern in ("**/*.xml", "*.json", "annotations/*.json", "*.csv"):
        files = sorted(path for path in folder.glob(pattern) if path.is_file())
        single = pattern.endswith((".json", ".csv")) and len(files) > 1
        if single and not (pattern.endswith(".json") and all(map(_one_image, files))):
            names = ", ".join(path.name for path in files)
            raise ValueError(f"{folder} has several annotation files: {names}. Name one of them.")
        if files:
            return files
    raise ValueError(f"There are no .xml, .json or .csv files and no data.yaml in {folder}.")


def _one_image(file: Path) -> bool:
    try:
        return is_labelme(file)
    # A broken file is named when it is read.
    except ValueError:
        return True


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
