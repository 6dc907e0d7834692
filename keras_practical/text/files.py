"""Text from files as people have them: any Unicode encoding, any line ends, stray quotes."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # Before UTF-16, whose mark it begins with.
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class TextTable:
    """A table's column names and its rows, each `(line, cells by column)`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]


def read_file(file: str | Path, *, encoding: str | None = None) -> str:
    """Return a file's text with plain line ends; `.gz` files are unpacked.

    Without `encoding`, a byte-order mark decides, otherwise it must be UTF-8.
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


def read_text_table(file: str | Path, *, encoding: str | None = None) -> TextTable:
    """Read a table of text with a header line, separated by tabs, commas or semicolons."""
    text = read_file(file, encoding=encoding)
    header = text.partition("\n")[0]
    separator = max("\t,;", key=header.count)
    parsed = _plain_rows(text) if separator == "\t" else None
    rows = _quoted_rows(file, text, separator) if parsed is None else parsed
    if not rows:
        raise ValueError(f"{file} is empty.")
    columns = tuple(cell.strip() for cell in rows[0][1])
    for column in columns:
        if columns.count(column) > 1:
            raise ValueError(f"{file} has two columns {column!r}. Rename one.")
    for line, cells in rows[1:]:
        if len(cells) != len(columns):
            raise ValueError(
                f"{file}, line {line}: {len(cells)} cells where the header has {len(columns)} "
                f"({', '.join(columns)}). A separator or a line break inside a text must stand "
                "in quotes."
            )
    named = tuple((line, dict(zip(columns, cells, strict=True))) for line, cells in rows[1:])
    return TextTable(columns, named)


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


def _quoted_rows(file: str | Path, text: str, separator: str) -> list[tuple[int, list[str]]]:
    """Parse with quotes around cells, as spreadsheets write them."""
    rows = []
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    before = csv.field_size_limit(max(len(text), 1))  # A long article is no broken file.
    start = 1
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append((start, cells))
            start = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{file}, line {start}: {error}. A quotation mark inside a quoted text must be doubled."
        ) from error
    finally:
        csv.field_size_limit(before)
    return rows
