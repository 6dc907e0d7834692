"""Tables in text files: CSV from any spreadsheet, every row with the line that it stands on."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    """A table's column names and its rows, each `(line, cells by column)`."""

    columns: tuple[str, ...]
    rows: tuple[tuple[int, Mapping[str, str]], ...]


def read_table(file: str | Path, *, strip: bool = True) -> Table:
    """Read a UTF-8 file with a header line, separated by commas, semicolons or tabs.

    With `strip`, cells lose the blanks around them.
    """
    source = Path(file)
    if not source.is_file():
        raise ValueError(f"There is no file {str(file)!r}. (Looked in {Path.cwd()}.)")
    try:
        text = source.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{source} isn't in UTF-8 ({error}). Save it as UTF-8.") from error
    separator = max(",;\t", key=text.partition("\n")[0].count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    columns = tuple(reader.fieldnames or ())
    rows = []
    for row in reader:
        cells = {column: row[column] or "" for column in columns}
        if strip:
            cells = {column: cell.strip() for column, cell in cells.items()}
        rows.append((reader.line_num, cells))
    return Table(columns, tuple(rows))
