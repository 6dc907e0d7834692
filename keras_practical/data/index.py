"""What is known of every image behind a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

__all__ = ["ImageIndex", "ImageRecord", "PassedOver", "printable"]

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """One image: where it is, what it shows, how it is used.

    Attributes:
        name: Path as given or, for data that has no files, `source[position]`.
        label: Index into the class names.
        split: `"train"`, `"validation"` or `"test"`.
        width: Upright width in pixels; 0 while unknown.
        height: Upright height in pixels; 0 while unknown.
        orientation: EXIF orientation of the file, 1 (upright) to 8.
        problem: Why the image can't be used; `None` if it can.
        group: What must not be torn apart by a split, such as the patient; `None` if unknown.

    Example:

    >>> ImageRecord("cats/tom.jpg", label=0, split="train", width=640, height=480).problem is None
    True
    """

    name: str
    label: int
    split: str = "train"
    width: int = 0
    height: int = 0
    orientation: int = 1
    problem: str | None = None
    group: str | None = None

    def __str__(self) -> str:
        return f"{self.name} ({self.split}, class {self.label})"


@dataclass(frozen=True, slots=True)
class PassedOver:
    """Something in a source that was never taken for an image, and why.

    Attributes:
        name: Its path, or where it stands.
        reason: Why.

    Example:

    >>> print(PassedOver("pets/@eaDir", "a folder of the system's"))
    pets/@eaDir: a folder of the system's
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass(frozen=True)
class ImageIndex:
    """Every image behind a data set, in a fixed order, the unusable ones included.

    Predictions on an unshuffled data set line up with `index.split("validation")`.

    Attributes:
        records: The images, ordered by class and name.
        class_names: One name a class.
        passed_over: What else was found in the source: files that are no images, folders of
            systems, lines that name an image again.

    Raises:
        ValueError: From `without` and `relabelled`, if a name or a class is unknown.

    Example:

    >>> records = ImageRecord("a.jpg", 0), ImageRecord("b.jpg", 0, problem="the file is empty")
    >>> index = ImageIndex(records, class_names=("cats", "dogs"))
    >>> len(index), [record.name for record in index.split("train")]
    (2, ['a.jpg'])
    >>> [record.label for record in index.without(["b.jpg"]).relabelled({"a.jpg": "dogs"})]
    [1]
    """

    records: tuple[ImageRecord, ...]
    class_names: tuple[str, ...]
    passed_over: tuple[PassedOver, ...] = ()

    def __str__(self) -> str:
        return (
            " and ".join(
                f"{len(self.split(split)):,} {'training' if split == 'train' else split}"
                for split in SPLITS
                if self.split(split)
            )
            + f" images, {len(self.class_names)} classes"
            + f", {len(self.problems):,} unreadable" * bool(self.problems)
            + f", {len(self.passed_over):,} passed over" * bool(self.passed_over)
        )

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[ImageRecord]:
        return iter(self.records)

    def split(self, name: str) -> tuple[ImageRecord, ...]:
        """Return the usable images of the split `name`, in the data set's unshuffled order."""
        return tuple(r for r in self.records if r.split == name and r.problem is None)

    def without(self, names: Iterable[str]) -> ImageIndex:
        """Return an index that lacks the images of these names; no file is touched."""
        dropped = set(names)
        self._check(dropped)
        return replace(self, records=tuple(r for r in self.records if r.name not in dropped))

    def relabelled(self, labels: Mapping[str, str]) -> ImageIndex:
        """Return an index that gives each image named in `labels` the class it has there."""
        self._check(labels)
        for name, label in labels.items():
            if label not in self.class_names:
                raise ValueError(
                    f"{name!r} can't become {label!r}: the classes are "
                    f"{', '.join(self.class_names)}."
                )
        records = (
            replace(record, label=self.class_names.index(labels[record.name]))
            if record.name in labels
            else record
            for record in self.records
        )
        return replace(self, records=tuple(records))

    def _check(self, names: Iterable[str]) -> None:
        unknown = sorted(set(names) - {record.name for record in self.records})
        if unknown:
            raise ValueError(
                f"The index has no image {unknown[0]!r}. Names are written as in its records, "
                f"such as {self.records[0].name!r}."
                if self.records
                else "The index has no images."
            )

    @property
    def problems(self) -> tuple[ImageRecord, ...]:
        """The images that were left out; each says why in its `problem`."""
        return tuple(record for record in self.records if record.problem is not None)

    def counts(self, split: str) -> dict[str, int]:
        """Return the number of usable images of each class in `split`."""
        counted = Counter(record.label for record in self.split(split))
        return {name: counted[label] for label, name in enumerate(self.class_names)}


def printable(name: str) -> str:
    r"""Return a name that any file and screen takes; one that isn't UTF-8 is escaped.

    Args:
        name: A file's name, as Python has it.

    Returns:
        The name, such as `'caf\udce9.png'` for one in Latin-1.

    Example:

    >>> printable("a.png")
    'a.png'
    """
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
