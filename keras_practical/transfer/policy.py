"""What `fine_tune` decides by itself: a policy of pure functions, to be read in a minute."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Recipe", "epoch_count", "peak_rate", "recipe", "share_of_the_way"]

# Up to this log-loss of the head alone, the pretrained features are right already.
_NEARLY_RIGHT = 0.15
# Batches in an epoch under which a head that is nearly right was as often harmed as bettered.
_FEW_STEPS = 10
_STEPS = 150
_MOST_EPOCHS = 10


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the whole network is trained, once its head is.

    Attributes:
        epochs: Epochs, >= 0; 0 leaves it at the head.
        max_learning_rate: The one cycle's peak, > 0, for all layers.
        reason: Why so, in words.

    Example:

    >>> Recipe(epochs=5, max_learning_rate=1e-4, reason="as asked for").epochs
    5
    """

    epochs: int
    max_learning_rate: float
    reason: str

    def __str__(self) -> str:
        return f"{self.epochs} epochs, one cycle up to {self.max_learning_rate:g}, {self.reason}"


def recipe(
    steps_per_epoch: int, *, head_loss: float | None = None, held_out: bool = False
) -> Recipe:
    """Decide how long and how fast all layers train.

    Use it to see what `fine_tune` would do. The head alone tells how much there is to gain, and the
    number of images how many steps an epoch takes.

    Args:
        steps_per_epoch: Batches in an epoch, >= 1.
        head_loss: Log-loss of the head alone on images that it wasn't fitted to, >= 0: what
            `fit_probe` found on its folds. `None` if it isn't known.
        held_out: Whether held-out data will choose how far to go.

    Returns:
        A `Recipe`.

    Example:

    >>> easy, hard = recipe(50, head_loss=0.04), recipe(50, head_loss=0.6)
    >>> easy.epochs, easy.max_learning_rate, hard.epochs, hard.max_learning_rate
    (1, 2e-05, 3, 0.0003)
    >>> print(recipe(4, head_loss=0.04))
    0 epochs, one cycle up to 2e-05, because the head alone is nearly right: log-loss 0.04 on ...

    Reference:
        The head first, then everything: Kumar et al., *Fine-Tuning can Distort Pretrained Features
        and Underperform Out-of-Distribution* (2022), arXiv 2202.10054. A rule by the size of the
        task instead of a search: Kolesnikov et al., *Big Transfer* (2019), arXiv 1912.11370. The
        numbers were chosen on splits of training photos: `benchmarks/fine_tuning.md`.
    """
    if head_loss is None:
        reason = "gently, as how good its head is isn't known"
    else:
        how = "nearly right" if head_loss <= _NEARLY_RIGHT else "not yet right"
        reason = f"because the head alone is {how}: log-loss {head_loss:.3g} on held-out folds"
    epochs = epoch_count(steps_per_epoch, head_loss=head_loss)
    nearly_right = head_loss is not None and head_loss <= _NEARLY_RIGHT
    if nearly_right and steps_per_epoch < _FEW_STEPS and not held_out:
        epochs = 0
        reason += (
            ", and so few images bring no more; epochs= or validation_data= train all the same"
        )
    return Recipe(
        epochs=epochs,
        max_learning_rate=peak_rate(head_loss),
        reason=reason,
    )


def peak_rate(head_loss: float | None) -> float:
    """Return the peak rate for all layers: the more the head leaves to gain, the higher.

    Args:
        head_loss: As in `recipe`.

    Returns:
        A rate from 2e-5 to 4e-4; 1e-4 for a loss that isn't known.

    Example:

    >>> peak_rate(0.01), peak_rate(0.2), peak_rate(2.0), peak_rate(None)
    (2e-05, 0.0001, 0.0004, 0.0001)
    """
    if head_loss is None:
        return 1e-4
    return float(f"{min(max(5e-4 * head_loss, 2e-5), 4e-4):.2g}")


def epoch_count(steps_per_epoch: int, *, head_loss: float | None = None) -> int:
    """Return how many epochs make some 150 steps; a third of that if the head is nearly right.

    Args:
        steps_per_epoch: As in `recipe`.
        head_loss: As in `recipe`.

    Returns:
        A number from 1 to 10.

    Example:

    >>> [epoch_count(steps) for steps in (4, 20, 50, 1000)]
    [10, 8, 3, 1]
    """
    steps = _STEPS if head_loss is None or head_loss > _NEARLY_RIGHT else _STEPS // 3
    return min(max(-(-steps // steps_per_epoch), 1), _MOST_EPOCHS)


def share_of_the_way(*, solved: bool, head_loss: float | None = None) -> float:
    """Return how far to go from the weights at the start when nothing is held out to tell.

    Args:
        solved: Whether the start is a solved head, and so already a good classifier.
        head_loss: As in `recipe`.

    Returns:
        A share: 1 for all of the way, a half from a solved head, a quarter from one that is nearly
        right.

    Example:

    >>> [share_of_the_way(solved=True, head_loss=loss) for loss in (0.05, 0.5)]
    [0.25, 0.5]

    Reference:
        Wortsman et al., *Robust fine-tuning of zero-shot models* (2021), arXiv 2109.01903.
    """
    if not solved:
        return 1.0
    return 0.25 if head_loss is not None and head_loss <= _NEARLY_RIGHT else 0.5
