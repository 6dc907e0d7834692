"""Tables in text files: the one reader of CSV and TSV, every row with the line that it stands on.

It is stricter than pandas, which fills short rows up and lets a quotation mark that is never closed
swallow rows: here each of these is an error that names the line.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["TABLES", "Table", "by_position", "read_rows", "read_table", "read_text"]

# How names of files end that hold tables.
TABLES = (".csv", ".tsv", ".jsonl", ".csv.gz", ".tsv.gz", ".jsonl.gz")
_SEPARATORS = "\t,;"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16, whose mark it begins with.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        columns: Its columns' names.
        rows: Its rows, each `(line, cells by column)`.

    Example:

    >>> Table(("path",), ((2, {"path": "1.jpg"}),)).rows[0][0]
    2
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]


def read_text(file: str | Path, *, encoding: str | None = None) -> str:
    """Return a file's text with plain line ends; `.gz` files are unpacked.

    Args:
        file: The file.
        encoding: Its encoding. Default: what a byte-order mark says, otherwise UTF-8.

    Returns:
        The text.

    Raises:
        ValueError: There is no such file, it is in another encoding (the text names the line), or
            it isn't text.

    Example:

    >>> read_text("no_such.txt")
    Traceback (most recent call last):
    ValueError: There is no file 'no_such.txt' ...
    """
    source = Path(file)
    if not source.is_file():
        raise ValueError(f"There is no file {str(file)!r} (looked in {Path.cwd()}).")
    content = source.read_bytes()
    if source.suffix.lower() == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError) as error:
            raise ValueError(f"{source} can't be unpacked: {error}") from error
    name = encoding or next((name for mark, name in _MARKS if content.startswith(mark)), "utf-8")
    try:
        text = content.decode(name)
    except LookupError as error:
        raise ValueError(f"`encoding` is unknown. Received: encoding={encoding!r}") from error
    except UnicodeError as error:
        line = content[: getattr(error, "start", 0)].count(b"\n") + 1
        raise ValueError(
            f"{source}, line {line}: this isn't {name}. Save the file as UTF-8, or say what it is, "
            'such as encoding="cp1256" (Arabic script), "cp1251" (Cyrillic), "cp1252" (Western).'
        ) from error
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        raise ValueError(
            f"{source} isn't text in {name}: it has zero bytes. If it is UTF-16 without a mark, "
            'pass encoding="utf-16-le".'
        )
    return text


def read_table(
    file: str | Path,
    *,
    encoding: str | None = None,
    strip: bool = True,
    prose: bool = False,
    header: bool = True,
) -> Table:
    r"""Read a table separated by tabs, commas or semicolons, or one JSON object a line (`.jsonl`).

    Args:
        file: The file.
        encoding: As in `read_text`.
        strip: Whether cells lose the blanks around them; column names always do.
        prose: Whether cells hold texts, which may go over several lines in quotes.
        header: Whether the first line has the columns' names. Otherwise they are `"0"`, `"1"`, ...

    Returns:
        The table.

    Raises:
        ValueError: As `read_rows`, or the file is empty or has a column twice.

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "pets.csv"
    >>> _ = file.write_text("path; label\n1.jpg; cat\n")
    >>> read_table(file).rows
    ((2, {'path': '1.jpg', 'label': 'cat'}),)
    """
    if str(file).lower().removesuffix(".gz").endswith(".jsonl"):
        return _json_table(file, read_text(file, encoding=encoding), strip)
    rows = read_rows(file, encoding=encoding, prose=prose)
    if not rows:
        raise ValueError(f"{file} is empty.")
    first = rows[0][1] if header else map(str, range(len(rows[0][1])))
    columns = tuple(cell.strip() for cell in first)
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(f"{file} has two columns {column!r}. Rename one.")
    table = []
    for line, cells in rows[1:] if header else rows:
        stripped = [cell.strip() for cell in cells] if strip else cells
        table.append((line, dict(zip(columns, stripped, strict=True))))
    return Table(columns, tuple(table))


def _json_table(file: str | Path, text: str, strip: bool) -> Table:
    """Return the objects of a file, one a line; a key that one of them lacks is an empty cell."""
    objects = []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            parsed = json.loads(content)
        except json.JSONDecodeError as error:
            raise ValueError(f"{file}, line {line}: it isn't JSON: {error.msg}.") from error
        if not isinstance(parsed, dict):
            raise ValueError(f"{file}, line {line}: it must be an object such as {{...}}.")
        objects.append((line, parsed))
    if not objects:
        raise ValueError(f"{file} is empty.")
    columns = tuple(dict.fromkeys(key for _, parsed in objects for key in parsed))
    rows = []
    for line, parsed in objects:
        cells = {}
        for column in columns:
            value = parsed.get(column)
            value = "" if value is None else value
            # Lists and objects stay JSON: who needs such a column says what to do with it.
            cell = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            cells[column] = cell.strip() if strip else cell
        rows.append((line, cells))
    return Table(columns, tuple(rows))


def by_position(
    columns: Mapping[str, Any] | None,
) -> tuple[Mapping[str, Any] | None, bool]:
    """Return columns by name, and whether the table has a header: positions say that it hasn't.

    Args:
        columns: What the user said, such as `{"text": 1, "label": 0}`.

    Returns:
        The same with names as `read_table(header=False)` gives them, and whether there is a header.

    Example:

    >>> by_position({"text": 1, "label": 0})
    ({'text': '1', 'label': '0'}, False)
    """
    if not columns or not any(isinstance(value, int) for value in columns.values()):
        return columns, True
    return {role: str(value) for role, value in columns.items()}, False


def read_rows(
    file: str | Path, *, encoding: str | None = None, prose: bool = False
) -> list[tuple[int, list[str]]]:
    r"""Read a table's rows, the first as well, each with the line on which it begins.

    Lines without anything are passed over; so are columns at the end that have no name and are
    empty throughout.

    Args:
        file: The file.
        encoding: As in `read_text`.
        prose: As in `read_table`.

    Returns:
        `(line, cells)` of each row, all with as many cells as the first.

    Raises:
        ValueError: A row has more or fewer cells than the first, or a quotation mark isn't closed.
            The text names the line.

    Example:

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "pets.csv"
    >>> _ = file.write_text("path,label\n1.jpg\n")
    >>> read_rows(file)
    Traceback (most recent call last):
    ValueError: ...pets.csv, line 2: 1 cells where the first line has 2 (path, label). ...
    """
    text = read_text(file, encoding=encoding)
    header = text.lstrip("\n").partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    rows = _plain_rows(text) if separator == "\t" else None
    if rows is None:
        rows = _quoted_rows(file, text, separator, prose=prose)
    if not rows:
        return []
    width = len(rows[0][1])
    while width > 1 and not any(cell.strip() for _, cells in rows for cell in cells[width - 1 :]):
        width -= 1
    even = []
    for line, cells in rows:
        if len(cells) < width or any(cell.strip() for cell in cells[width:]):
            raise ValueError(
                f"{file}, line {line}: {len(cells)} cells where the first line has {width} "
                f"({', '.join(rows[0][1][:width])}). A separator or a line break inside a cell "
                "must stand in quotes."
            )
        even.append((line, cells[:width]))
    return even


def _plain_rows(text: str) -> list[tuple[int, list[str]]] | None:
    """Split at tabs and line ends; `None` if that gives no table.

    Most files with tabs don't quote, and a text that merely begins with a quotation mark would make
    the `csv` module swallow all lines up to the next one.
    """
    lines = [(n, line.split("\t")) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    if len({len(cells) for _, cells in lines}) > 1:
        return None
    return [(n, [_unquoted(cell) for cell in cells]) for n, cells in lines]


def _unquoted(cell: str) -> str:
    """Take off the quotes that a spreadsheet has put around a cell, not those of a quotation."""
    inner = cell[1:-1]
    spreadsheet = len(cell) > 1 and cell[0] == cell[-1] == '"' and '""' in inner
    if spreadsheet and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _quoted_rows(
    file: str | Path, text: str, separator: str, *, prose: bool
) -> list[tuple[int, list[str]]]:
    """Parse with quotes around cells, as spreadsheets write them."""
    rows: list[tuple[int, list[str]]] = []
    lines = text.split("\n")
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    before = csv.field_size_limit(max(len(text), 1))  # A long article is no broken file.
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                width = len(rows[0][1] if rows else cells)
                if not prose and _swallows(lines[start - 1 : reader.line_num], separator, width):
                    raise ValueError(
                        f"{file}, line {start}: a quotation mark opens a cell that ends on line "
                        f"{reader.line_num} only, and the lines between look like rows. Remove the "
                        "mark, or double it inside a quoted cell."
                    )
                rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{file}, line {start}: {error}. Is there a quotation mark that isn't closed? Inside a "
            "quoted cell, one must be doubled."
        ) from error
    finally:
        csv.field_size_limit(before)
    return rows


def _swallows(lines: Sequence[str], separator: str, width: int) -> bool:
    """Say whether the lines of one row would each be a row of that many cells."""
    return len(lines) > 1 and all(line.count(separator) == width - 1 for line in lines)
