"""What lies in folders: class folders, splits, files, and what is passed over, each with a reason.

One walk for images, scans and texts, so that all of them leave the same things alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keras_practical.data.index import SPLITS, PassedOver

__all__ = ["FolderFiles", "Parts", "class_folders", "files_below", "is_bystander", "split_folders"]

# What splits are called in folders, files and columns, and what they are called here.
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
# Words in the name of a folder that may stand for a split.
_SPLIT_WORDS = {
    *SPLIT_NAMES, "eval", "evaluation", "holdout", "pred", "predict", "prediction",
}  # fmt: skip
# Folders that systems and disks make: thumbnails, waste baskets, copies of metadata.
_SYSTEM_FOLDERS = {
    "@eadir", "#recycle", "#snapshot", "@recycle", "$recycle.bin", "__macosx", "lost+found",
    "system volume information",
}  # fmt: skip
_SYSTEM_FILES = {
    "thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r", "dicomdir", "license", "licence", "readme",
    "copying", "lockfile", "version",
}  # fmt: skip
# What lies beside images, and is none.
_SIDE_FILES = {
    ".json", ".jsonl", ".xml", ".txt", ".md", ".csv", ".tsv", ".html", ".htm", ".yaml", ".yml",
    ".ini", ".cfg", ".log", ".db", ".pdf", ".doc", ".docx", ".xls", ".xlsx", ".odt", ".ods", ".rtf",
    ".py", ".ipynb", ".m", ".r", ".sh", ".xmp", ".aae", ".zip", ".rar", ".7z", ".tar", ".sr",
}  # fmt: skip


@dataclass(frozen=True)
class FolderFiles:
    """The files below a folder, and what was passed over.

    Attributes:
        files: The files' paths.
        passed_over: What else lies there, and why it counts as none of the data.

    Example:

    >>> FolderFiles((Path("cat/1.jpg"),), ()).files[0].name
    '1.jpg'
    """

    files: tuple[Path, ...]
    passed_over: tuple[PassedOver, ...]


@dataclass(frozen=True)
class Parts:
    """The folders that hold class folders, and what lies beside them.

    Attributes:
        folders: By split; `None` stands for images that aren't divided yet.
        passed_over: What lies beside, and why it counts as none of the data.

    Example:

    >>> Parts({None: Path("pets")}).passed_over
    ()
    """

    folders: Mapping[str | None, Path]
    passed_over: tuple[PassedOver, ...] = ()


def is_bystander(name: str, *, side_files: bool = True) -> bool:
    """Say whether a file is none of the data, by its name alone.

    Args:
        name: The file's name.
        side_files: Whether texts, tables and documents count as such, as beside images and scans.

    Returns:
        Whether it is passed over.

    Example:

    >>> is_bystander("Thumbs.db"), is_bystander("1.jpg.json"), is_bystander("1.jpg")
    (True, True, False)
    """
    return _why_not(name, side_files) is not None


def class_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted by name, without hidden ones and those of systems.

    Args:
        folder: The folder.

    Returns:
        Their paths.

    Example:

    >>> class_folders(Path("no/such/folder"))
    []
    """
    if not folder.is_dir():
        return []
    return sorted(p for p in folder.iterdir() if p.is_dir() and not _is_system(p.name))


def files_below(folder: Path, *, side_files: bool = True) -> FolderFiles:
    """Return all files below a folder; links to other folders are followed, once each.

    Args:
        folder: The folder; one that isn't there has none.
        side_files: As in `is_bystander`.

    Returns:
        The files by path, and what was passed over. Hidden files and folders aren't mentioned.

    Example:

    >>> files_below(Path("no/such/folder")).files
    ()
    """
    files: list[Path] = []
    passed_over: list[PassedOver] = []
    top = os.path.realpath(folder)
    seen = {top}
    for parent, folders, names in os.walk(folder, followlinks=True):
        followed = []
        for name in sorted(folders):
            path = Path(parent, name)
            target = os.path.realpath(path)
            if name.startswith("."):
                continue
            if _is_system(name):
                passed_over.append(PassedOver(str(path), "a folder of the system's"))
            elif target in seen or f"{top}{os.sep}".startswith(f"{target}{os.sep}"):
                passed_over.append(PassedOver(str(path), "a link to a folder that is read anyway"))
            else:
                seen.add(target)
                followed.append(name)
        folders[:] = followed
        for name in sorted(names):
            if name.startswith("."):
                continue
            reason = _why_not(name, side_files)
            if reason is None:
                files.append(Path(parent, name))
            else:
                passed_over.append(PassedOver(str(Path(parent, name)), reason))
    return FolderFiles(tuple(files), tuple(passed_over))


def split_folders(root: Path, *, splits: Mapping[str, str] | None = None) -> Parts:
    """Find out whether a folder is divided into training, validation and test data.

    Args:
        root: The folder.
        splits: Which folder is which, by their names here, such as `{"train": "seg_train"}`.
            Default: those called train, training; validation, valid, val, dev; test, testing.

    Returns:
        The folders of the class folders.

    Raises:
        ValueError: Two folders stand for one split, `splits` names none, or folders have names of
            splits of which it isn't clear what they are.

    Example:

    >>> split_folders(Path("no/such/folder")).folders
    {None: PosixPath('no/such/folder')}
    """
    children = class_folders(root)
    if splits is not None:
        parts = _as_told(root, splits)
    else:
        parts = {}
        for child in children:
            split = SPLIT_NAMES.get(child.name.lower())
            # A folder of images, without folders of its own, is a class: trains among vehicles.
            if split is None or not class_folders(child):
                continue
            if split in parts:
                raise ValueError(
                    f"{str(root)!r} has two folders for {split}: {parts[split].name!r} and "
                    f"{child.name!r}. Put the images into one of them."
                )
            parts[split] = child
        _refuse_unclear(root, children, parts)
        if "train" not in parts:
            parts = {}
    if not parts:
        return Parts({None: root})
    used = {path.resolve() for path in parts.values()}
    beside = [
        PassedOver(str(child), "it lies beside the folders of the splits")
        for child in children
        if not any(path == child.resolve() or child.resolve() in path.parents for path in used)
    ]
    chosen = {name: _descended(path) for name, path in parts.items()}
    return Parts(
        {
            None if name == "train" and "validation" not in chosen else name: path
            for name, path in chosen.items()
        },
        tuple(beside),
    )


def _as_told(root: Path, splits: Mapping[str, str]) -> dict[str, Path]:
    if not isinstance(splits, Mapping) or "train" not in splits or set(splits) - set(SPLITS):
        raise ValueError(
            "`splits` must say which folder is 'train' and may say 'validation' and 'test', such "
            f"as splits={{'train': 'seg_train'}}. Received: splits={splits!r}"
        )
    parts = {name: root / folder for name, folder in splits.items()}
    for name, path in parts.items():
        if not path.is_dir():
            raise ValueError(
                f"`splits` says that {name!r} is in {str(path)!r}, and there is no such folder."
            )
    return parts


def _refuse_unclear(root: Path, children: Sequence[Path], parts: Mapping[str, Path]) -> None:
    """Refuse folders that look like splits and aren't known as such."""
    named = [child for child in children if child not in parts.values() and _looks_split(child)]
    alike = len(named) + len(parts) == len(children)
    unclear = [child for child in named if class_folders(child) or alike]
    if "train" in parts and not unclear:
        return
    if unclear or (parts and "train" not in parts):
        names = ", ".join(repr(child.name) for child in [*parts.values(), *unclear])
        raise ValueError(
            f"{str(root)!r} has folders that look like parts of the data rather than classes: "
            f"{names}. Say which is which, such as "
            f"splits={{'train': {[*unclear, *parts.values()][0].name!r}}}, with 'validation' and "
            "'test' where there are any; or give the folder that holds the class folders."
        )


def _looks_split(folder: Path) -> bool:
    return bool(_SPLIT_WORDS & set(re.split(r"[^a-z]+", folder.name.lower())))


def _descended(folder: Path) -> Path:
    """Go down where an archive has put a folder into one of the same name."""
    inside = class_folders(folder)
    if len(inside) == 1 and inside[0].name == folder.name and class_folders(inside[0]):
        return inside[0]
    return folder


def _is_system(name: str) -> bool:
    return name.startswith(".") or name.lower() in _SYSTEM_FOLDERS


def _why_not(name: str, side_files: bool) -> str | None:
    """Return why a file is none of the data."""
    if name.lower() in _SYSTEM_FILES:
        return "a file of the system's, or about the data"
    suffix = Path(name).suffix.lower()
    if side_files and suffix in _SIDE_FILES:
        return f"{suffix} is no image"
    return None
