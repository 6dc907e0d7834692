"""What an audit found: to read, to look at, to hand on, to act on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_practical.data.decisions import ReviewItem, apply_decisions, write_decisions
from keras_practical.data.image_set import ImageFinder
from keras_practical.data.index import ImageIndex, printable
from keras_practical.data.plots import contact_sheet
from keras_practical.utils.checks import check_choice, check_count

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["AuditFindings", "Case", "Finding"]

# Every kind of finding and how grave it is, the gravest first.
KINDS = {
    "leakage": "error",
    "two labels": "error",
    "unreadable": "error",
    "group across splits": "warning",
    "shortcut": "warning",
    "too few": "warning",
    "exact duplicate": "warning",
    "near duplicate": "warning",
    "wrong extension": "note",
    "EXIF-rotated": "note",
    "nearly blank": "note",
    "very dark": "note",
    "very blurred": "note",
    "tiny": "note",
    "huge": "note",
    "extreme aspect": "note",
    "imbalance": "note",
}
# `drop` leaves out copies and unreadable files by default; other findings need a person's
# decision first.
DROPPED_BY_DEFAULT = ("leakage", "two labels", "unreadable", "exact duplicate", "near duplicate")
_COLUMNS = ("given", "split", "kind", "severity", "case", "drop", "evidence", "advice")
_CONTACT_PIXELS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One image, or several that belong to one another, with what is wrong.

    Attributes:
        names: The images' names in the index; none where a whole class or data set is meant.
        evidence: What was seen.
        drop: The names that `drop` leaves out: for copies, all but one.

    Example:

    >>> Case(names=("a.jpg", "b.jpg"), evidence="the same file", drop=("b.jpg",)).drop
    ('b.jpg',)
    """

    names: tuple[str, ...]
    evidence: str
    drop: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{', '.join(self.names)}: {self.evidence}" if self.names else self.evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One kind of fault, with all its cases.

    Attributes:
        kind: One of `KINDS`, such as `"leakage"`.
        severity: `"error"` (results will be wrong), `"warning"` (they may be) or `"note"`.
        evidence: What was seen, in a sentence.
        advice: What to do about it.
        cases: The images or sets of images concerned.

    Example:

    >>> finding = Finding(
    ...     kind="tiny",
    ...     severity="note",
    ...     evidence="1 image ...",
    ...     advice="Look.",
    ...     cases=(Case(names=("a.jpg",), evidence="8 x 8"),),
    ... )
    >>> finding.files
    ('a.jpg',)
    """

    kind: str
    severity: str
    evidence: str
    advice: str
    cases: tuple[Case, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The images concerned, each once."""
        return tuple(dict.fromkeys(name for case in self.cases for name in case.names))

    def __str__(self) -> str:
        return f"{self.severity:<7}  {self.kind}: {self.evidence}\n         → {self.advice}"


@dataclass(frozen=True, kw_only=True)
class AuditFindings:
    """What `audit` found; prints as a table, the gravest first.

    Attributes:
        findings: One `Finding` a kind of fault that was found.
        index: Every image that was looked at, with its size and its problem, if it has one.
        images: Fetches the pixels of an image by its name.

    Raises:
        ValueError: From the methods, if a kind of finding is unknown or wasn't found.

    Example:

    >>> from keras_practical.data.index import ImageRecord
    >>> index = ImageIndex((ImageRecord("a.jpg", 0), ImageRecord("b.jpg", 0)), ("cats", "dogs"))
    >>> case = Case(names=("a.jpg", "b.jpg"), evidence="the same file", drop=("b.jpg",))
    >>> copies = Finding(
    ...     kind="exact duplicate",
    ...     severity="warning",
    ...     evidence="1 set",
    ...     advice="Drop the copies.",
    ...     cases=(case,),
    ... )
    >>> findings = AuditFindings(findings=(copies,), index=index, images=ImageFinder(index))
    >>> [record.name for record in findings.drop("exact duplicate")]
    ['a.jpg']
    """

    findings: tuple[Finding, ...]
    index: ImageIndex
    images: ImageFinder

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    def __len__(self) -> int:
        return len(self.findings)

    def __contains__(self, kind: object) -> bool:
        return kind in self.kinds

    def __getitem__(self, kind: str) -> Finding:
        check_choice("kind", kind, KINDS)
        for finding in self.findings:
            if finding.kind == kind:
                return finding
        kinds = ", ".join(map(repr, self.kinds)) or "nothing at all"
        raise ValueError(f"No finding of kind {kind!r}. Found were: {kinds}")

    def __str__(self) -> str:
        counts = {s: len(self.index.split(s)) for s in ("train", "validation", "test")}
        parts = ", ".join(f"{count:,} {split}" for split, count in counts.items() if count)
        head = (
            f"audit: {len(self.index):,} images in {len(self.index.class_names)} classes "
            f"({parts or 'none usable'})"
        )
        if not self.findings:
            return f"{head}: nothing found"
        return "\n".join([f"{head}, {_counted(len(self), 'finding')}", *map(str, self.findings)])

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of fault that were found, the gravest first."""
        return tuple(finding.kind for finding in self.findings)

    def drop(self, *kinds: str) -> ImageIndex:
        """Return the index without the images that `kinds` of findings say to leave out.

        No file is touched; give the index to `load_images` or to `with_index` of what it returned.
        Of each set of copies one is kept: of those across the splits (leakage) the validation or
        test image, so that results stay comparable. Of a photo with two labels none is, since
        nobody knows which label is right.

        Args:
            kinds: Such as `"leakage"`; a kind of which nothing was found changes nothing. Default:
                `DROPPED_BY_DEFAULT`, all unreadable images and copies.

        Returns:
            The index without them.

        Raises:
            ValueError: A kind is unknown, or it's nothing that leaving out images would mend.
        """
        dropped: set[str] = set()
        for kind in kinds or DROPPED_BY_DEFAULT:
            check_choice("kind", kind, KINDS)
            if kind in self:
                drops = {name for case in self[kind].cases for name in case.drop}
                if not drops:
                    raise ValueError(
                        f"{kind!r} can't be mended by dropping images. {self[kind].advice}"
                    )
                dropped |= drops
        return self.index.without(dropped)

    def apply(self, decisions: str | Path) -> ImageIndex:
        """Return the index as a person decided, from the CSV file that the page of `review` gives.

        Args:
            decisions: As in `decisions.apply_decisions`.

        Returns:
            The new index; no file is touched.
        """
        return apply_decisions(self.index, decisions)

    def review_items(self) -> tuple[ReviewItem, ...]:
        """Return what a person should look at: one item an image and finding."""
        records = {record.name: record for record in self.index}
        return tuple(
            ReviewItem(
                name=name,
                finding=finding.kind,
                evidence=case.evidence,
                label=self.index.class_names[records[name].label],
                split=records[name].split,
                others=tuple(other for other in case.names if other != name),
            )
            for finding in self.findings
            for case in finding.cases
            for name in case.names
        )

    def plot(self, kind: str, *, n: int = 18, columns: int = 6, ax: Axes | None = None) -> Axes:
        """Draw a contact sheet of a finding's images, those of a set next to one another.

        Args:
            kind: The kind of finding, such as `"leakage"`.
            n: Images at most, >= 1.
            columns: Images in a row, >= 1.
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes.

        Raises:
            ValueError: Nothing of this kind was found, or it concerns no single images.
        """
        check_count("n", n)
        finding = self[kind]
        cases = enumerate(finding.cases, start=1)
        shown = [(number, name) for number, case in cases for name in case.names]
        if not shown:
            raise ValueError(f"{kind!r} concerns no single images: {finding.evidence}")
        records = {record.name: record for record in self.index}
        sets = any(len(case.names) > 1 for case in finding.cases)
        images, titles = [], []
        for number, name in shown[:n]:
            images.append(self.images(name, image_size=_CONTACT_PIXELS))
            label = _shortened(self.index.class_names[records[name].label])
            head = f"{number}: " if sets else ""
            titles.append(f"{head}{_shortened(Path(name).name)}\n{label}\n{records[name].split}")
        ax = contact_sheet(images, titles, image_size=_CONTACT_PIXELS, columns=columns, ax=ax)
        more = f", {n} of them shown" if len(shown) > n else ""
        # In two lines, since a sheet of one image is narrow.
        ax.set_title(f"{kind}\n{_counted(len(finding.files), 'image')}{more}", fontsize=10)
        return ax

    def to_csv(self, file: str | Path) -> Path:
        """Write a table that a person fills in, for `apply`; a file of this name is replaced.

        One line an image and finding. Its columns are `name`, `decision` (empty: write keep,
        relabel or delete), `label` (the new class, for relabel), `given` (the label it has),
        `split`, `kind`, `severity`, `case` (the images of a set share the number), `drop` (yes
        for what `drop` leaves out), `evidence` and `advice`.

        Args:
            file: Where to.

        Returns:
            The file's path.
        """
        records = {record.name: record for record in self.index}
        rows = (
            {
                "name": name,
                "given": self.index.class_names[records[name].label],
                "split": records[name].split,
                "kind": finding.kind,
                "severity": finding.severity,
                "case": str(number),
                "drop": "yes" if name in case.drop else "",
                "evidence": case.evidence,
                "advice": finding.advice,
            }
            for finding in self.findings
            for number, case in enumerate(finding.cases, start=1)
            for name in case.names
        )
        return write_decisions(file, rows, more=_COLUMNS)

    def to_json(self, file: str | Path) -> Path:
        """Write the findings with their cases, also those that concern no single images.

        Args:
            file: Where to; a file of this name is replaced.

        Returns:
            The file's path.
        """
        path = Path(file)
        report = {
            "images": len(self.index),
            "class_names": self.index.class_names,
            "findings": [asdict(finding) for finding in self.findings],
        }
        text = printable(json.dumps(report, indent=1, ensure_ascii=False))
        path.write_text(text, encoding="utf-8")
        return path


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _shortened(name: str) -> str:
    """Return a name that fits below a small image."""
    return name if len(name) <= 18 else f"{name[:7]}…{name[-10:]}"
