"""What kind of source `load_images` was given, and the list of its pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_practical import downloads, sources
from keras_practical.index import ImageIndex
from keras_practical.indexing import listing_of

_KINDS = {
    "arrays": "arrays",
    "csv": "a CSV file",
    "tfds": '"tfds:NAME"',
    "folder": "a folder",
    "digits": '"digits"',
    "cats_vs_dogs": '"cats_vs_dogs"',
    "index": "an ImageIndex",
}


def listing_of_any(
    source: Any,
    *,
    class_names: Sequence[str] | None,
    columns: Mapping[str, str] | None,
    group_column: str | None,
    download: bool,
    data_dir: str | Path | None,
) -> sources.Listing:
    """List the pictures of whatever `load_images` was given, refusing what means nothing for it."""
    kind = _kind(source)
    if kind != "csv" and group_column is not None:
        raise ValueError(
            "`groups` can name a column of a CSV file only; for other sources give a function or a "
            f"mapping. Received: groups={group_column!r} with {_KINDS[kind]}"
        )
    options = {"arrays": class_names, "csv": columns, "tfds": data_dir}
    for owner, name in (("arrays", "class_names"), ("csv", "columns"), ("tfds", "data_dir")):
        if options[owner] is not None and kind != owner:
            raise ValueError(
                f"`{name}` means nothing for this source, only for {_KINDS[owner]}. "
                f"Received: {name}={options[owner]!r} with {_KINDS[kind]}"
            )
    if kind == "arrays":
        return sources.from_arrays(source, class_names=class_names)
    if kind == "index":
        return listing_of(source)
    if kind == "digits":
        return sources.from_digits()
    if kind == "cats_vs_dogs":
        return downloads.from_cats_vs_dogs(download=download)
    if kind == "tfds":
        return downloads.from_tfds(str(source)[5:], download=download, data_dir=data_dir)
    if kind == "csv":
        return sources.from_csv(source, columns=columns, group=group_column)
    return sources.from_folder(source)


def _kind(source: Any) -> str:
    if isinstance(source, tuple | Mapping):
        return "arrays"
    if isinstance(source, ImageIndex):
        return "index"
    if not isinstance(source, str | Path):
        raise ValueError(
            "`source` must be a folder, a CSV file, an (images, labels) tuple, a mapping from "
            'split to such tuples, an ImageIndex, "digits", "cats_vs_dogs" or "tfds:NAME". '
            f"Received: {type(source).__name__}"
        )
    if source in ("digits", "cats_vs_dogs"):
        return str(source)
    if str(source).startswith("tfds:"):
        return "tfds"
    return "csv" if str(source).lower().endswith((".csv", ".tsv")) else "folder"
