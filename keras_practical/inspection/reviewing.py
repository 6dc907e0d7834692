"""The page on which a person decides about images: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from keras_practical.data.decisions import ReviewItem
from keras_practical.data.index import ImageIndex
from keras_practical.utils.checks import ImageSize, check_count
from keras_practical.utils.progress import track

__all__ = ["Reviewable", "review"]

_PAGE = Path(__file__).parent / "review_page"
_FILE_NAME = "decisions.csv"
_WEBP_QUALITY = 80


class Reviewable(Protocol):
    """What `review` takes: the results of `audit`, `label_errors` and `interpret` are of this kind.

    Example:

    >>> from keras_practical.inspection.wrong_labels import LabelErrors
    >>> all(hasattr(LabelErrors, name) for name in ("review_items", "apply"))
    True
    """

    @property
    def index(self) -> ImageIndex:
        """The images."""

    @property
    def images(self) -> Callable[..., np.ndarray | None]:
        """Fetches an image by its name, as `ImageFinder` does."""

    def review_items(self) -> tuple[ReviewItem, ...]:
        """Return what a person should look at, the most urgent first."""


def review(
    result: Reviewable | Sequence[Reviewable],
    path: str | Path = "review.html",
    *,
    title: str = "Images to review",
    thumbnail_pixels: int = 256,
    limit: int | None = 500,
    verbose: bool = True,
) -> Path:
    """Write a web page on which a person decides what to keep, relabel or delete.

    Use it because no finding should change data unseen. The page is one file: it opens from disk,
    loads nothing, sends nothing, and works with mouse, keyboard and phone. It gives a CSV file
    with the decisions, from which `result.apply` makes a new index. In plain Keras one would scroll
    through plots and keep a list.

    Args:
        result: What `label_errors`, `audit` or `interpret` returned, or several of them of the same
            data; an image that several have found is shown once, with all that was found.
        path: The HTML file; one that is there is replaced once the new one is complete.
        title: The page's heading.
        thumbnail_pixels: The longer side of the images in the page, >= 16; smaller images stay
            as they are.
        limit: The first so many images are shown, >= 1; `None` for all. Each takes about 10 kB.
        verbose: Whether to show a progress bar and say what was written.

    Returns:
        The file's path.

    Raises:
        ValueError: An argument is out of range, `result` isn't of a kind to review, or several
            results have different classes.

    Example:

    >>> import tempfile
    >>> from keras_practical import Embeddings, label_errors
    >>> labels = np.arange(100) % 2
    >>> features = np.random.default_rng(0).normal(size=(100, 3)) + 4 * labels[:, None]
    >>> labels[7] = 0
    >>> found = label_errors(Embeddings(features, labels, (), ("cats", "dogs")), verbose=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     page = review(found, Path(folder) / "review.html", verbose=False)
    ...     "images[7]" in page.read_text(encoding="utf-8")
    True

    Reference:
        W3C, *Content Security Policy Level 3*, and *ARIA Authoring Practices Guide*.
    """
    check_count("thumbnail_pixels", thumbnail_pixels, minimum=16)
    if limit is not None:
        check_count("limit", limit)
    target = Path(path)
    if target.is_dir():
        raise ValueError(f"`path` must be a file, such as 'review.html'. Received: folder {path}")
    results = _checked(result)
    cards = _cards(results)
    left_out = max(0, len(cards) - limit) if limit is not None else 0
    cards = cards[: len(cards) - left_out]
    names = list(dict.fromkeys(name for card in cards for name in (card.name, *card.others)))
    sizes = {r.name: (r.height, r.width) for result in results for r in result.index}

    def thumbnail(name: str) -> str | None:
        size = _fitted(*sizes.get(name, (0, 0)), thumbnail_pixels)
        images = (result.images(name, image_size=size) for result in results)
        image = next((image for image in images if image is not None), None)
        return None if image is None else _data_uri(image, thumbnail_pixels)

    # Decoders release Python's lock.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        drawn = list(
            track(pool.map(thumbnail, names), "Writing thumbnails", len(names), show=verbose)
        )
    thumbnails = dict(zip(names, drawn, strict=True))
    _write(target, _rendered(cards, thumbnails, results[0].index.class_names, title, left_out))
    if verbose:
        print(
            f"review: {len(cards):,} images to decide on in {target} "
            f"({target.stat().st_size / 1e6:.1f} MB); open it in a browser"
            + f"; {left_out:,} more are left out (limit={limit})"
            * bool(left_out)
        )
    return target


@dataclass
class _Card:
    """An image with everything that was found about it."""

    name: str
    label: str
    split: str
    suggestion: str | None = None
    findings: list[dict[str, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def add(self, item: ReviewItem) -> None:
        sure = "" if item.confidence is None else f"{100 * item.confidence:.0f} % sure"
        self.findings.append({"kind": item.finding, "evidence": item.evidence, "sure": sure})
        self.suggestion = self.suggestion or item.suggestion
        self.others += [name for name in item.others if name not in (self.name, *self.others)]

    def choices(self, class_names: Sequence[str]) -> list[str]:
        """Return the classes that it may get instead, the suggested one first."""
        others = [name for name in class_names if name != self.label]
        return sorted(others, key=lambda name: name != self.suggestion)


def _checked(result: Reviewable | Sequence[Reviewable]) -> list[Reviewable]:
    results: list[Any] = list(result) if isinstance(result, list | tuple) else [result]
    for one in results:
        if not all(hasattr(one, name) for name in ("index", "images", "review_items")):
            raise ValueError(
                "`result` must be what `label_errors`, `audit` or `interpret` returned, or a list "
                f"of those. Received: {type(one).__name__}"
            )
    if not results:
        raise ValueError("`result` must be one result or several. Received: an empty list")
    for one in results[1:]:
        if one.index.class_names != results[0].index.class_names:
            raise ValueError(
                "Results that are reviewed together must be of the same classes. Received: "
                f"{results[0].index.class_names} and {one.index.class_names}"
            )
    return results


def _cards(results: Sequence[Reviewable]) -> list[_Card]:
    """Return one card an image: two decisions on one would contradict each other."""
    cards: dict[str, _Card] = {}
    for item in (item for result in results for item in result.review_items()):
        card = cards.setdefault(item.name, _Card(item.name, item.label, item.split))
        card.add(item)
    return list(cards.values())


def _fitted(height: int, width: int, pixels: int) -> ImageSize | None:
    """Return the size of a thumbnail without borders; `None` if the image is to stay as it is."""
    longer = max(height, width)
    if longer <= pixels:
        return None
    return max(1, round(height * pixels / longer)), max(1, round(width * pixels / longer))


def _data_uri(values: np.ndarray, pixels: int) -> str:
    from PIL import Image

    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values)
    image.thumbnail((pixels, pixels))
    stream = io.BytesIO()
    # What is tiny has few bytes to save and every pixel to lose.
    image.save(stream, "WEBP", quality=_WEBP_QUALITY, lossless=max(image.size) <= 64)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


def _rendered(
    cards: Sequence[_Card],
    thumbnails: Mapping[str, str | None],
    class_names: Sequence[str],
    title: str,
    left_out: int,
) -> str:
    from jinja2 import Environment
    from markupsafe import Markup

    style, script = ((_PAGE / f"page.{kind}").read_text("utf-8") for kind in ("css", "js"))
    numbers = {name: index for index, name in enumerate(thumbnails)}
    folder = _common_folder(list(thumbnails))

    def shown(name: str) -> dict[str, Any]:
        image = None if thumbnails[name] is None else numbers[name]
        return {"name": name, "shown": name.removeprefix(folder), "image": image}

    rows = [
        shown(card.name)
        | {"label": card.label, "split": card.split, "findings": card.findings}
        | {"suggestion": card.suggestion if card.suggestion in card.choices(class_names) else None}
        | {"choices": card.choices(class_names), "others": [shown(name) for name in card.others]}
        for card in cards
    ]
    items = [
        {key: row[key] for key in ("name", "label", "choices")}
        | {"findings": [finding["kind"] for finding in row["findings"]]}
        | {"text": " ".join([row["name"], *(finding["evidence"] for finding in row["findings"])])}
        for row in rows
    ]
    # Another page has other decisions, even in the same file.
    key = hashlib.sha256(json.dumps([title, items]).encode()).hexdigest()[:32]
    environment = Environment(autoescape=True)
    return environment.from_string((_PAGE / "page.html").read_text("utf-8")).render(
        cards=rows,
        data={
            "items": items,
            "images": list(thumbnails.values()),
            "key": f"keras_practical.inspection.reviewing.{key}",
            "file_name": _FILE_NAME,
        },
        file_name=_FILE_NAME,
        folder=folder,
        kinds=_counted(kind for item in items for kind in set(item["findings"])),
        labels=_counted(card.label for card in cards),
        left_out=left_out,
        # Only this very script and style, and only images that are in the file.
        policy="default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src {_hashed(style)}; script-src {_hashed(script)}",
        script=Markup(script),
        style=Markup(style),
        title=title,
    )


def _counted(values: Iterable[str]) -> list[tuple[str, int]]:
    return sorted(Counter(values).items())


def _hashed(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _common_folder(names: Sequence[str]) -> str:
    """Return what the paths of all images begin with, up to a slash."""
    # Whatever the first and the last by the alphabet share, all share.
    ends = zip(min(names, default=""), max(names, default=""), strict=False)
    common = "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], ends))
    return common[: max(common.rfind("/"), common.rfind("\\")) + 1]


def _write(target: Path, text: str) -> None:
    """Write the page under another name first: a page is there whole or not at all."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    try:
        # Names of files may hold bytes that are no text.
        partial.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
