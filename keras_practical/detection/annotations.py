"""Images with boxes on them, read from the files that labelling tools write."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from keras_practical.data.reading import Header, inspect
from keras_practical.detection.formats import read_annotations
from keras_practical.detection.written import Reading, WrittenBox, WrittenImage, line_of
from keras_practical.utils.checks import check_choice

__all__ = ["AnnotatedImage", "DetectionData", "load_annotations"]


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One image and the objects on it.

    Attributes:
        source: The image: a file's path, or an array as `kp.read_image` takes it.
        boxes: float32 of shape `(n, 4)`: `(left, top, right, bottom)`, the edges in pixels of the
            upright image; `n` may be 0.
        labels: int64 of shape `(n,)`: indices into the class names.
        width: The image's width in pixels, upright.
        height: Its height.
        ignored: bool of shape `(n,)`: objects that count neither as found nor as missed (dlib's
            `ignore`, VOC's `difficult`, COCO's `iscrowd`). Default: none.

    Raises:
        ValueError: There isn't one label for each box.

    Example:

    >>> image = AnnotatedImage("a.jpg", np.array([[1, 2, 11, 22]]), np.array([0]), 40, 30)
    >>> [round(float(size), 1) for size in image.sizes]
    [14.1]
    """

    source: str | Path | np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    width: int
    height: int
    ignored: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        boxes = np.asarray(self.boxes, "float32").reshape(-1, 4)
        labels = np.asarray(self.labels, "int64").reshape(-1)
        ignored = np.asarray(self.ignored, bool).reshape(-1)
        ignored = ignored if len(ignored) else np.zeros(len(boxes), bool)
        if not len(boxes) == len(labels) == len(ignored):
            raise ValueError(
                f"{self.name} must have a label for each box. Received: {len(boxes)} boxes, "
                f"{len(labels)} labels"
            )
        for name, value in (("boxes", boxes), ("labels", labels), ("ignored", ignored)):
            object.__setattr__(self, name, value)

    def __str__(self) -> str:
        return f"{self.name}: {len(self.boxes)} boxes, {self.width} x {self.height} pixels"

    @property
    def name(self) -> str:
        """The file's path, or `"array"`."""
        return "array" if isinstance(self.source, np.ndarray) else str(self.source)

    @property
    def sizes(self) -> np.ndarray:
        """Each box's size in pixels: the side of a square of the same area."""
        return np.sqrt(np.prod(self.boxes[:, 2:] - self.boxes[:, :2], axis=1))


@dataclass(frozen=True, eq=False)
class DetectionData:
    """Annotated images, the classes' names, and what was wrong; prints as a summary.

    Attributes:
        images: The usable images.
        class_names: One name a class.
        problems: What was left out or mended, each with its file and line.

    Raises:
        ValueError: From `to_coco` and `to_yolo`, if the images can't be named there.

    Example:

    >>> image = AnnotatedImage("a.jpg", np.array([[1, 2, 11, 22]]), np.array([0]), 40, 30)
    >>> print(DetectionData((image,), ("cat",)))
    1 image, 1 box: cat 1; sizes 14–14 pixels
    """

    images: tuple[AnnotatedImage, ...]
    class_names: tuple[str, ...]
    problems: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[AnnotatedImage]:
        return iter(self.images)

    def select(self, indexes: Iterable[int]) -> DetectionData:
        """Return the data set of some of the images, by their indexes: to hold some back."""
        return replace(self, images=tuple(self.images[index] for index in indexes))

    def to_coco(self, file: str | Path) -> Path:
        """Write the boxes as a COCO file; one of this name is replaced.

        Boxes are on the upright images. Of a photo that its EXIF turns by a quarter, the sizes in
        the file say so; for others that are turned or mirrored, `load_annotations` needs
        `frame="upright"`.

        Args:
            file: Where to; images are named relative to its folder where they are below it.

        Returns:
            The file's path.
        """
        path = Path(file)
        annotations: list[dict[str, Any]] = []
        images = []
        for number, image in enumerate(self.images, start=1):
            name = _relative(image, path.parent)
            images.append(
                {"id": number, "file_name": name, "width": image.width, "height": image.height}
            )
            for box, label, crowd in zip(image.boxes, image.labels, image.ignored, strict=True):
                left, top, right, bottom = (round(float(edge), 3) for edge in box)
                sides = [round(right - left, 3), round(bottom - top, 3)]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": int(label) + 1,
                        "bbox": [left, top, *sides],
                        "area": round(sides[0] * sides[1], 3),
                        "iscrowd": int(crowd),
                    }
                )
        categories = [{"id": n, "name": name} for n, name in enumerate(self.class_names, start=1)]
        content = {"images": images, "annotations": annotations, "categories": categories}
        path.write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
        return path

    def to_yolo(self, folder: str | Path) -> Path:
        """Write the boxes as YOLO has them: labels, images and `data.yaml`.

        Args:
            folder: Where to; it must not hold anything yet. Images are copied into
                `images/train`. Objects that are ignored are left out, as YOLO knows none.

        Returns:
            The path of `data.yaml`.

        Raises:
            ValueError: The folder isn't empty, an image is an array, two have one name, or one is
                turned by its EXIF, which YOLO's readers see differently.
        """
        root = Path(folder)
        if root.exists() and any(root.iterdir()):
            raise ValueError(f"{str(folder)!r} must be a new or an empty folder.")
        stems = Counter(Path(image.name).stem for image in self.images)
        for image in self.images:
            if isinstance(image.source, np.ndarray) or stems[Path(image.name).stem] > 1:
                raise ValueError(
                    f"YOLO needs a file of its own name for each image. Received: {image.name}"
                )
            if inspect(image.source).orientation != 1:
                raise ValueError(
                    f"{image.name} is turned by its EXIF, which readers of YOLO's files see "
                    "differently: save it upright first."
                )
        for kind in ("images", "labels"):
            (root / kind / "train").mkdir(parents=True)
        for image in self.images:
            source = Path(image.name)
            shutil.copy2(source, root / "images" / "train" / source.name)
            sides = np.array([image.width, image.height])
            lines = []
            for box, label in zip(
                image.boxes[~image.ignored], image.labels[~image.ignored], strict=True
            ):
                center, size = (box[:2] + box[2:]) / 2 / sides, (box[2:] - box[:2]) / sides
                lines.append(f"{label} " + " ".join(f"{n:.6f}" for n in (*center, *size)))
            labels = root / "labels" / "train" / f"{source.stem}.txt"
            labels.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        # JSON is YAML, and quotes every name as it must be.
        names = json.dumps(list(self.class_names), ensure_ascii=False)
        file = root / "data.yaml"
        file.write_text(f"train: images/train\nnames: {names}\n", encoding="utf-8")
        return file

    @property
    def sizes(self) -> np.ndarray:
        """The sizes in pixels of all boxes that count."""
        return np.concatenate([np.zeros(0), *(i.sizes[~i.ignored] for i in self.images)])

    @property
    def counts(self) -> dict[str, int]:
        """Number of boxes of each class, those ignored left out."""
        counted = Counter(n for image in self.images for n in image.labels[~image.ignored].tolist())
        return {name: counted[number] for number, name in enumerate(self.class_names)}

    def __str__(self) -> str:
        counts = self.counts
        boxes, n = sum(counts.values()), len(self.images)
        lines = [f"{n} image{'s' * (n != 1)}, {boxes} box{'es' * (boxes != 1)}"]
        if boxes:
            lines[0] += ": " + ", ".join(f"{name} {count}" for name, count in counts.items())
            lines[0] += f"; sizes {self.sizes.min():.0f}–{self.sizes.max():.0f} pixels"
        return "\n".join([*lines, *(f"problem: {text}" for text in self.problems)])


def load_annotations(
    source: str | Path,
    *,
    class_names: Sequence[str] | None = None,
    class_name: str = "object",
    columns: Mapping[str, str] | None = None,
    images: str | Path | None = None,
    frame: str | None = None,
    split: str | None = None,
    verbose: bool = True,
) -> DetectionData:
    """Read images with boxes, as labelling tools write them.

    It knows dlib's, Pascal VOC's and CVAT's XML; COCO's, labelme's, VIA's and CreateML's JSON; CSV,
    OpenImages' among them; and YOLO's text files with their `data.yaml`. Of polygons and masks it
    takes the box around them.

    Use it on what your labelling tool wrote. Keras has no equivalent. Boxes are checked against the
    images, which are opened but not decoded: one that lies outside its image or has no area is
    left out, one that sticks out is cut, swapped corners are put in order; each is told with its
    file and line, and so is an image that can't be read. None of these stops the run.

    Args:
        source: An `.xml`, `.json`, `.csv` or `.tsv` file; YOLO's `data.yaml`; or a folder: with
            `data.yaml`, with a file for each image, or with one for all. A CSV file has columns
            such as image, left, top, right, bottom, label, or xmin, ymin, …; a row without numbers
            is an image without objects; without a header line: path, four edges, class. Images are
            looked for from the file's own folder and where tools put them: `images`, `../images`,
            `../JPEGImages`, for COCO `../val2017` and the like.
        class_names: The classes and their order, to read test data with a model's classes; boxes of
            others are told and left out. Default: those in the file, sorted.
        class_name: The class of boxes that have none, as in dlib's files of one class.
        columns: A CSV file's own names for `path`, `label`, `left`, `top`, `right`, `bottom`,
            `width` and `height`, such as `{"label": "cell_type"}`. Default: the usual ones.
        images: The folder that paths in the files count from, if it is another.
        frame: What boxes on photos with an EXIF orientation were drawn on: `"upright"`, the photo
            as it is shown, or `"stored"`, its pixels as the file has them. Default: what the
            image's size in the annotation file tells; a photo of which it doesn't is left out.
        split: Which part to read of a folder or `data.yaml` that is divided: `"train"`,
            `"validation"` or `"test"`. Default: all, where nothing is divided.
        verbose: Whether to print what was found.

    Returns:
        A `DetectionData`; print it.

    Raises:
        ValueError: There is no such file, it's in no known format, or no image in it can be used.

    Example:

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> from PIL import Image
    >>> Image.new("RGB", (40, 30)).save(folder / "a.png")
    >>> rows = "image,left,top,right,bottom,label", "a.png,5,5,25,25,cat", "a.png,9,9,9,9,cat"
    >>> _ = (folder / "boxes.csv").write_text(chr(10).join(rows))
    >>> data = load_annotations(folder / "boxes.csv", verbose=False)
    >>> data.images[0].boxes.tolist(), data.problems[0][-48:]
    ([[5.0, 5.0, 25.0, 25.0]], 'boxes.csv, line 3: the box has no area: left out')

    Reference:
        dlib's `imglab` format, http://dlib.net; Everingham et al., *The PASCAL Visual Object
        Classes Challenge* (2010); https://cocodataset.org/#format-data.
    """
    path = Path(source)
    if not path.exists():
        raise ValueError(f"There is no file or folder {str(source)!r}. (Looked in {Path.cwd()}.)")
    if frame is not None:
        check_choice("frame", frame, ("upright", "stored"))
    folder = None if images is None else Path(images)
    if folder is not None and not folder.is_dir():
        raise ValueError(f"There is no folder {str(images)!r} for `images`.")
    written, problems = read_annotations(path, Reading(class_name, columns, folder), split=split)
    named = {box.class_name for image in written for box in image.boxes}
    names = tuple(sorted(named) if class_names is None else class_names)
    usable = []
    for entry in written:
        image = _checked(entry, names, frame, problems)
        if image is not None:
            usable.append(image)
    if not usable:
        reasons = "; ".join(problems[:3]) or "it names none"
        raise ValueError(f"No image of {source} can be used: {reasons}")
    data = DetectionData(tuple(usable), names or (class_name,), tuple(problems))
    if verbose:
        print(f"load: {data}")
    return data


def _relative(image: AnnotatedImage, folder: Path) -> str:
    if isinstance(image.source, np.ndarray):
        raise ValueError("COCO names files, and one of the images is an array: save it first.")
    path, root = Path(image.name).resolve(), folder.resolve()
    return (path.relative_to(root) if path.is_relative_to(root) else path).as_posix()


def _checked(
    entry: WrittenImage, names: tuple[str, ...], frame: str | None, problems: list[str]
) -> AnnotatedImage | None:
    """Return an image with the boxes that can be used; say what was wrong with the others."""

    def where(line: int, part: str) -> str:
        return f"{entry.file}, line {line_of(entry.file, line, part)}"

    header = inspect(entry.path)
    if header.problem is not None:
        problems.append(f"{where(entry.line, 'images')}: {entry.path}: {header.problem}")
        return None
    if entry.unread:
        problems.append(
            f"{where(entry.line, 'images')}: image left out: {entry.unread} of its objects have no "
            f"box that can be read, and would count as background: {entry.path}"
        )
        return None
    width, height = header.width, header.height
    stored, problem = _frame(entry, header, frame)
    if problem is not None:
        problems.append(f"{where(entry.line, 'images')}: {entry.path}: {problem}: image left out")
        return None
    if stored and entry.boxes:
        problems.append(
            f"{where(entry.line, 'images')}: {entry.path}: its boxes are on the pixels as the file "
            "has them: turned upright with the photo"
        )
    boxes, labels, ignored = [], [], []
    for box in entry.boxes:
        if box.fractions:
            across, down = header.stored if stored else (width, height)
            left, top, right, bottom = box.edges
            edges = (left * across, top * down, right * across, bottom * down)
            box = replace(box, edges=edges)
        if stored:
            box = replace(box, edges=_turned(box.edges, header))
        mended, problem = _mended(box, width, height)
        if problem is None and box.class_name not in names:
            mended, problem = None, f"there is no class {box.class_name!r}: left out"
        if problem is not None:
            problems.append(f"{where(box.line, 'annotations')}: {problem}")
        if mended is not None:
            boxes.append(mended)
            labels.append(names.index(box.class_name))
            ignored.append(box.ignored)
    return AnnotatedImage(
        entry.path, np.array(boxes), np.array(labels), width, height, np.array(ignored, bool)
    )


def _frame(entry: WrittenImage, header: Header, frame: str | None) -> tuple[bool, str | None]:
    """Return whether boxes count on the stored pixels, and why an image can't be used."""
    upright = (header.width, header.height)
    said = (entry.width or upright[0], entry.height or upright[1])
    if header.orientation == 1:
        if said == upright:
            return False, None
        return (
            False,
            f"it says {said[0]} x {said[1]} pixels, but it has {upright[0]} x {upright[1]}",
        )
    if entry.width and entry.height:
        if said not in (upright, header.stored):
            return False, (
                f"it says {said[0]} x {said[1]} pixels, but it has {upright[0]} x {upright[1]}"
            )
        if upright != header.stored:
            return said == header.stored, None
    if frame is None:
        return False, (
            f"its EXIF turns it (orientation {header.orientation}), and nothing tells which way "
            'its boxes were drawn: pass frame="upright" or frame="stored"'
        )
    return frame == "stored", None


def _turned(
    edges: tuple[float, float, float, float], header: Header
) -> tuple[float, float, float, float]:
    """Return edges on the upright image, of edges on the pixels as the file has them."""
    left, top, right, bottom = edges
    if header.orientation >= 5:
        left, top, right, bottom = top, left, bottom, right
    if header.orientation in (2, 3, 6, 7):
        left, right = header.width - right, header.width - left
    if header.orientation in (3, 4, 7, 8):
        top, bottom = header.height - bottom, header.height - top
    return left, top, right, bottom


def _mended(
    box: WrittenBox, width: int, height: int
) -> tuple[tuple[float, float, float, float] | None, str | None]:
    """Return a box's edges inside the image, if there are any, and what was wrong with it."""
    left, top, right, bottom = box.edges
    if left == right or top == bottom:
        return None, "the box has no area: left out"
    problem = None
    if left > right or top > bottom:
        left, right = sorted((left, right))
        top, bottom = sorted((top, bottom))
        problem = "the box's corners are swapped: put in order"
    cut = (max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
    if cut[0] >= cut[2] or cut[1] >= cut[3]:
        return None, f"the box lies outside the image of {width} x {height} pixels: left out"
    # Tools disagree on whether the first pixel is 0 or 1: a pixel over the edge says nothing.
    if max(cut[0] - left, cut[1] - top, right - cut[2], bottom - cut[3]) > 1:
        problem = f"the box sticks out of the image of {width} x {height} pixels: cut"
    return cut, problem
