"""Images as points on a page: those that a network finds alike lie close together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from keras_practical.data.features import Embeddings
from keras_practical.utils.checks import check_choice, check_count, check_positive
from keras_practical.utils.drawing import PALETTE, axes_or_new, text_color
from keras_practical.utils.progress import progress_bar

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.axes import Axes

__all__ = ["EmbeddingMap", "embedding_map"]

_MARKERS = "osv^DPX"
# t-SNE on more directions takes longer and shows no more.
_MOST_DIRECTIONS = 50


@dataclass(frozen=True, kw_only=True, eq=False)
class EmbeddingMap:
    """Images as points, coloured by class, mistakes circled; `plot` it.

    Attributes:
        points: float64 of shape `(n, 2)`.
        labels: Integers of shape `(n,)`.
        class_names: One name a class.
        names: The images' names; empty if unknown.
        wrong: Whether a model errs on each, bool of shape `(n,)`; `None` if nobody said.
        method: `"pca"` or `"tsne"`.
        explained: Part of the variance that the page shows, in [0, 1]; `None` for t-SNE.

    Raises:
        ValueError: From `nearest`, if `n` is below 1.

    Example:

    >>> features = np.eye(4)[[0, 0, 1, 1, 2]]
    >>> records = ()
    >>> found = embedding_map(Embeddings(features, np.arange(5) % 2, records, ("a", "b")))
    >>> found.points.shape, found.nearest(0, 1)
    ((5, 2), (1,))
    """

    points: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    class_names: tuple[str, ...]
    names: tuple[str, ...] = field(repr=False)
    wrong: np.ndarray | None = field(repr=False)
    method: str
    explained: float | None = None

    def __str__(self) -> str:
        return f"{len(self.names):,} images of {len(self.class_names)} classes on a plane"

    def nearest(self, index: int, n: int) -> tuple[int, ...]:
        """Return the places of the `n` images next to the one at `place`, nearest first."""
        check_count("n", n)
        distances = np.square(self.points - self.points[index]).sum(1)
        distances[index] = np.inf
        return tuple(int(other) for other in np.argsort(distances, kind="stable")[:n])

    def plot(self, *, ax: Axes | None = None) -> Axes:
        """Draw the points, a colour and a marker for each class, mistakes circled.

        Args:
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes. Its directions and units mean nothing, only what is close to what.
        """
        ax = axes_or_new(ax, (6.4, 4.4))
        size = float(np.clip(6000 / len(self.points), 8, 36))
        for label, name in enumerate(self.class_names):
            of_class = self.points[self.labels == label]
            if len(of_class):
                ax.scatter(
                    of_class[:, 0],
                    of_class[:, 1],
                    s=size,
                    color=PALETTE[label % len(PALETTE)],
                    marker=_MARKERS[label // len(PALETTE) % len(_MARKERS)],
                    linewidths=0,
                    label=name,
                )
        if self.wrong is not None and self.wrong.any():
            ax.scatter(
                self.points[self.wrong, 0],
                self.points[self.wrong, 1],
                s=5 * size,
                facecolors="none",
                edgecolors=text_color(),
                linewidths=0.8,
                label="mistake",
            )
        ax.set_xticks([])
        ax.set_yticks([])
        title = (
            "t-SNE" if self.explained is None else f"{100 * self.explained:.0f} % of the variance"
        )
        ax.set_title(title, fontsize=10)
        # Beside the points: with many classes it would hide some.
        legend = ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, markerscale=1.2)
        for text in legend.get_texts():
            text.set_parse_math(False)
        return ax


def embedding_map(
    embeddings: Embeddings,
    *,
    method: str = "pca",
    wrong: npt.ArrayLike | None = None,
    perplexity: float = 30.0,
    seed: int = 0,
    verbose: bool = True,
) -> EmbeddingMap:
    """Lay out images on a page so that those with similar features lie close together.

    Use it to see whether classes part, whether one falls into several kinds, and where the mistakes
    lie: on a border, or amid another class, which speaks for a wrong label. It takes a few lines of
    scikit-learn without this helper.

    Args:
        embeddings: From `embed`; labels must be integers. At least three images.
        method: `"pca"`: the two directions in which features differ most, in a moment, distances
            true as far as the page shows them. `"tsne"`: neighbours stay neighbours, which parts
            classes better; sizes of groups and distances between them mean nothing. It takes some
            ten seconds for 1,000 images.
        wrong: Whether a model errs on each image, bool of shape `(n,)`, such as
            `Interpretation.wrong` of the same data. Default: no mistakes are marked.
        perplexity: How many neighbours count, for `"tsne"`, > 0; at most a third of the images.
        seed: Whole number >= 0; decides what the PCA of many features draws. t-SNE starts from it.
        verbose: Whether to show that t-SNE is at work.

    Returns:
        An `EmbeddingMap`.

    Raises:
        ValueError: An argument is out of range, or its length isn't that of the embeddings.

    Example:

    >>> features = np.random.default_rng(0).normal(size=(20, 8))
    >>> found = embedding_map(Embeddings(features, np.arange(20) % 2, (), ("a", "b")))
    >>> found.method, found.points.shape
    ('pca', (20, 2))

    Reference:
        van der Maaten & Hinton, *Visualizing Data using t-SNE* (2008); Wattenberg et al., *How to
        Use t-SNE Effectively* (2016), https://distill.pub/2016/misread-tsne.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    check_choice("method", method, ("pca", "tsne"))
    check_positive("perplexity", perplexity)
    check_count("seed", seed, minimum=0)
    n = len(embeddings)
    if n < 3 or np.ndim(embeddings.labels) != 1:
        raise ValueError(
            "`embeddings` must be of at least three images with one integer label each. "
            f"Received: {n} images, labels of shape {np.shape(embeddings.labels)}"
        )
    errors = None if wrong is None else np.asarray(wrong, bool)
    if errors is not None and errors.shape != (n,):
        raise ValueError(
            f"`wrong` must say yes or no for each of {n} images. Received: shape {errors.shape}"
        )
    features = np.asarray(embeddings.features, "float64")
    directions = min(2 if method == "pca" else _MOST_DIRECTIONS, *features.shape)
    pca = PCA(directions, random_state=seed)
    points = pca.fit_transform(features)
    explained: float | None = float(pca.explained_variance_ratio_[:2].sum())
    if method == "tsne":
        neighbours = min(perplexity, (n - 1) / 3)
        with progress_bar("t-SNE", None, show=verbose):
            tsne = TSNE(perplexity=neighbours, init="pca", random_state=seed)
            points = tsne.fit_transform(points)
        explained = None
    elif directions == 1:
        points = np.column_stack([points, np.zeros(n)])
    return EmbeddingMap(
        points=points.astype("float64"),
        labels=np.asarray(embeddings.labels),
        class_names=embeddings.class_names,
        names=tuple(record.name for record in embeddings.index),
        wrong=errors,
        method=method,
        explained=explained,
    )
