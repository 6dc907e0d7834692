"""What a person decided about images, from a CSV file to a new index."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_practical.data.index import ImageIndex, printable
from keras_practical.data.tables import read_table

__all__ = ["DECISIONS", "ReviewItem", "apply_decisions", "spreadsheet_cell", "write_decisions"]

DECISIONS = ("keep", "relabel", "delete")
_COLUMNS = ("name", "decision", "label")
# What a spreadsheet takes for the start of a formula.
_FORMULA = tuple("=+-@\t\r")


def apply_decisions(index: ImageIndex, decisions: str | Path) -> ImageIndex:
    r"""Return an index with the changes that a person decided on; no image's file is touched.

    Use it with the CSV file that the page of `review` downloads, or with one that was filled in by
    hand, then `load_images(index)` or `photos.with_index(index)`. All lines are checked before any
    of them counts.

    Args:
        index: The images.
        decisions: A CSV file with the columns `name` (as in the index's records), `decision` (keep,
            relabel or delete; empty where nothing was decided, which keeps the image) and
            `label` (the new class, for relabel).

    Returns:
        The index without the images to delete, the others labelled as decided.

    Raises:
        ValueError: A column is missing, or a line names an unknown image, decision or class, or
            decides again what an earlier line decided otherwise. The text gives the line.

    Example:

    >>> import tempfile
    >>> from keras_practical.data.index import ImageRecord
    >>> records = ImageRecord("a.jpg", 0), ImageRecord("b.jpg", 0)
    >>> index = ImageIndex(records, class_names=("cats", "dogs"))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "decisions.csv"
    ...     _ = file.write_text("name,decision,label\na.jpg,relabel,dogs\nb.jpg,delete,\n")
    ...     cleaned = apply_decisions(index, file)
    >>> [(record.name, record.label) for record in cleaned]
    [('a.jpg', 1)]
    """
    file = Path(decisions)
    # A file's name may begin with a blank.
    table = read_table(file, strip=False)
    for column in _COLUMNS:
        if column not in table.columns:
            raise ValueError(
                f"{file} has no column {column!r}; its columns are "
                f"{', '.join(table.columns) or 'none'}."
            )
    # A name that isn't UTF-8 stands in the file as `printable` writes it.
    known = {printable(record.name): record.name for record in index}
    names = set(known.values())
    decided: dict[str, tuple[int, str, str]] = {}
    for line, cells in table.rows:
        name, decision, label = (_as_written(cells[column]) for column in _COLUMNS)
        name = known.get(name) or known.get(name.strip(), name.strip())
        label = label if label in index.class_names else label.strip()
        decision = decision.strip().lower()
        if not decision:
            continue
        _check_line(f"{file}, line {line}", name in names, name, decision, label, index.class_names)
        first = decided.setdefault(name, (line, decision, label))
        if first[1:] != (decision, label):
            raise ValueError(
                f"{file}, line {line}: {name!r} was decided otherwise on line {first[0]}."
            )
    relabelled = {name: to for name, (_, what, to) in decided.items() if what == "relabel"}
    deleted = [name for name, (_, what, _) in decided.items() if what == "delete"]
    return index.relabelled(relabelled).without(deleted)


def write_decisions(
    file: str | Path, rows: Iterable[Mapping[str, str]], *, more: Sequence[str] = ()
) -> Path:
    """Write the table that a person fills in for `apply_decisions`, over a file of this name.

    Args:
        file: Where to.
        rows: For each line its `name`, its `label` if one is suggested, and what `more` names.
        more: Further columns, which say what the person needs to know.

    Returns:
        The file's path.

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "decisions.csv"
    >>> rows = [{"name": "a.jpg", "given": "cats"}]
    >>> write_decisions(file, rows, more=["given"]).read_text("utf-8-sig").splitlines()
    ['name,decision,label,given', 'a.jpg,,,cats']
    """
    path = Path(file)
    with path.open("w", newline="", encoding="utf-8-sig") as stream:
        writer = csv.writer(stream)
        writer.writerow([*_COLUMNS, *more])
        for row in rows:
            cells = (printable(row.get(name, "")) for name in (*_COLUMNS, *more))
            writer.writerow([spreadsheet_cell(cell) for cell in cells])
    return path


def spreadsheet_cell(text: str) -> str:
    """Return a name or class as a cell of a CSV file that a spreadsheet can't take for a formula.

    An apostrophe goes before what would be one (`=cmd|...`), and `apply_decisions` takes it off
    again. Without it, opening a table of images could run what a file's name says.

    Args:
        text: The name.

    Returns:
        The text of the cell, which the `csv` module still has to quote.

    Example:

    >>> spreadsheet_cell("=1+1.jpg"), spreadsheet_cell("tom's cat.jpg")
    ("'=1+1.jpg", "tom's cat.jpg")

    Reference:
        OWASP, *CSV Injection*, owasp.org/www-community/attacks/CSV_Injection.
    """
    return f"'{text}" if _looks_like_formula(text) else text


def _as_written(cell: str) -> str:
    """Undo `spreadsheet_cell`."""
    return cell[1:] if cell.startswith("'") and _looks_like_formula(cell) else cell


def _looks_like_formula(text: str) -> bool:
    # With the apostrophes of an earlier time, so that any text comes back as it was.
    return text.lstrip("'").startswith(_FORMULA)


def _check_line(
    where: str, known: bool, name: str, decision: str, label: str, class_names: tuple[str, ...]
) -> None:
    if not known:
        raise ValueError(f"{where}: the index has no image {name!r}.")
    if decision not in DECISIONS:
        raise ValueError(f"{where}: {decision!r} is no decision; use {', '.join(DECISIONS)}.")
    if decision == "relabel" and label not in class_names:
        raise ValueError(
            f"{where}: {label!r} is no class; the classes are {', '.join(class_names)}."
        )


@dataclass(frozen=True, kw_only=True)
class ReviewItem:
    """One image that a person should decide on.

    Attributes:
        name: The image's name in its index.
        finding: What kind of fault it may have, such as `"near duplicate"`.
        evidence: Why, in a sentence.
        label: The class that it has.
        split: The part of the data that it is in.
        suggestion: The class that it may belong to, if another.
        confidence: How sure that is, in [0, 1], if known.
        others: Names of the images to look at beside it, such as its duplicates.

    Example:

    >>> item = ReviewItem(name="a.jpg", finding="blurred", evidence="sharpness 3", label="cats")
    >>> item.split, item.suggestion
    ('train', None)
    """

    name: str
    finding: str
    evidence: str
    label: str
    split: str = "train"
    suggestion: str | None = None
    confidence: float | None = None
    others: tuple[str, ...] = ()
