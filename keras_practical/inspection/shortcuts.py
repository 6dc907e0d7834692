"""Whether trivial things, such as size or border colour, already tell the classes apart."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from keras_practical.utils.checks import check_between, check_count
from keras_practical.utils.intervals import confusion_interval

__all__ = ["Shortcut", "find_shortcuts"]

_FOLDS = 5
_FEWEST = 10
_TOLD = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortcut:
    """A trivial feature and how well it alone tells the classes apart.

    Attributes:
        feature: Its name, such as `"size"`.
        accuracy: Mean of the classes' recalls, cross-validated, in [0, 1].
        interval: Its 95 % bounds.
        chance: What guessing gives.
        told: If it tells only a single class from all others, nearly always, that class.
        is_clear: Whether it tells more than is allowed, of all classes or of that one.

    Example:

    >>> print(
    ...     Shortcut(
    ...         feature="size",
    ...         accuracy=0.97,
    ...         interval=(0.94, 0.99),
    ...         chance=0.5,
    ...         told=None,
    ...         is_clear=True,
    ...     )
    ... )
    size alone: balanced accuracy 0.97 (95 % interval 0.94–0.99, chance 0.50)
    """

    feature: str
    accuracy: float
    interval: tuple[float, float]
    chance: float
    told: int | None
    is_clear: bool

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.feature} alone: balanced accuracy {self.accuracy:.2f} (95 % interval "
            f"{low:.2f}–{high:.2f}, chance {self.chance:.2f})"
        )


def find_shortcuts(
    features: Mapping[str, np.ndarray],
    labels: Sequence[int] | np.ndarray,
    *,
    groups: Sequence[Hashable] | np.ndarray | None = None,
    allowed: float = 0.5,
    seed: int = 0,
) -> tuple[Shortcut, ...]:
    """Ask a small decision tree to tell the classes apart by each trivial feature.

    Use it through `audit`. A network takes the easiest way: where the size of a file gives the
    class away, it learns the size. The tree is cross-validated in five folds, so with labels drawn
    at random it stays at chance.

    Args:
        features: Numbers of shape `(n,)` or `(n, k)` under each feature's name.
        labels: Classes of shape `(n,)`. Those with fewer than 10 images are left out.
        groups: What may not be torn apart by the folds, one name an image. Optional.
        allowed: How much of the way from chance to always right a feature may go before it counts
            as a shortcut, in [0, 1]. Colours tell something about most things, and rightly so:
            on ants_vs_bees and the lung scans, where 0.5 was chosen, the best trivial feature goes
            0.15 and 0.34 of the way. Telling a single class from the others nearly always (its
            recall 0.9 above the rate of false alarms) counts too.
        seed: Decides the folds.

    Returns:
        One `Shortcut` a feature, the clearest first; empty with fewer than two classes of 10.

    Raises:
        ValueError: An argument is out of range.

    Example:

    >>> labels = np.arange(100) % 2
    >>> noise = np.random.default_rng(0).normal(size=100)
    >>> found = find_shortcuts({"size": noise + 9 * labels, "color": noise}, labels)
    >>> [(shortcut.feature, shortcut.is_clear) for shortcut in found]
    [('size', True), ('color', False)]

    Reference:
        Geirhos et al., *Shortcut Learning in Deep Neural Networks* (2020), arXiv 2004.07780.
    """
    check_between("allowed", allowed, 0.0, 1.0)
    check_count("seed", seed, minimum=0)
    classes = np.asarray(labels)
    for name, values in features.items():
        if len(values) != len(classes):
            raise ValueError(
                f"`features` must have one row a label. Received: {len(values)} rows of {name!r}, "
                f"{len(classes)} labels"
            )
    names, counts = np.unique(classes, return_counts=True)
    kept = np.isin(classes, names[counts >= _FEWEST])
    names, codes = np.unique(classes[kept], return_inverse=True)
    if len(names) < 2:
        return ()
    among = None if groups is None else np.asarray(groups)[kept]
    folds = _FOLDS if among is None else min(_FOLDS, len(set(among)))
    if folds < 2:
        return ()
    chance = 1 / len(names)
    shortcuts = []
    for name, values in features.items():
        rows = np.asarray(values, "float64").reshape(len(classes), -1)[kept]
        if (rows == rows[0]).all():
            continue
        predicted = _predicted(rows, codes, among, folds, seed)
        confusion = np.zeros((len(names), len(names)))
        np.add.at(confusion, (codes, predicted), 1)
        low, high = confusion_interval(confusion, _balanced, seed=seed)
        accuracy = float(_balanced(confusion[None])[0])
        told = None
        clear = low > chance + allowed * (1 - chance)
        if not clear:
            place = _nearly_always_told(confusion, max(allowed, _TOLD), seed)
            told = None if place is None else int(names[place])
        clear = clear or told is not None
        shortcuts.append(
            Shortcut(
                feature=name,
                accuracy=accuracy,
                interval=(low, high),
                chance=chance,
                told=told,
                is_clear=clear,
            )
        )
    return tuple(sorted(shortcuts, key=lambda each: -each.accuracy))


def _balanced(confusions: np.ndarray) -> np.ndarray:
    """Return the mean recall of each confusion matrix."""
    right = np.diagonal(confusions, axis1=1, axis2=2)
    return (right / confusions.sum(2)).mean(1)


def _nearly_always_told(confusion: np.ndarray, needed: float, seed: int) -> int | None:
    best = int(_told(confusion[None])[0].argmax())
    least, _ = confusion_interval(confusion, lambda drawn: _told(drawn)[:, best], seed=seed)
    return best if least > needed else None


def _told(confusions: np.ndarray) -> np.ndarray:
    """Return how much each class's recall is above the rate of false alarms for it."""
    sizes = confusions.sum(2)
    hits = np.diagonal(confusions, axis1=1, axis2=2)
    alarms = (confusions.sum(1) - hits) / (sizes.sum(1, keepdims=True) - sizes)
    return hits / sizes - alarms


def _predicted(
    rows: np.ndarray, codes: np.ndarray, groups: np.ndarray | None, folds: int, seed: int
) -> np.ndarray:
    """Return each image's class, by a tree that hasn't seen the image or its group."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold, cross_val_predict
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(
        max_leaf_nodes=8 * (int(codes.max()) + 1),
        min_samples_leaf=max(2, len(codes) // 200),
        class_weight="balanced",
        random_state=seed,
    )
    divide = StratifiedKFold if groups is None else StratifiedGroupKFold
    parts = divide(folds, shuffle=True, random_state=seed)
    return cross_val_predict(tree, rows, codes, groups=groups, cv=parts)
