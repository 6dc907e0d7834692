"""What a model says of single images, and of those of one class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from keras_practical.utils.drawing import shortened

__all__ = ["ConfusedPair", "Prediction"]

# What fits below an image of `plots.show_images`.
_TITLE_LENGTH = 20


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a model says of one image; prints as text.

    Attributes:
        name: The image's name in the index.
        place: Its place in `Interpretation.index`.
        label: Its class; with `multi_label`, all of them.
        prediction: The class that the model gives it.
        confidence: The model's probability for that, in [0, 1]; with `multi_label`, that of the
            label it is most wrong about.
        loss: Cross-entropy in nats.

    Example:

    >>> about = {"label": "cat", "prediction": "dog", "confidence": 0.98, "loss": 3.91}
    >>> print(Prediction(name="a.jpg", place=0, **about))
    a.jpg: is cat, said dog (0.98), loss 3.91
    """

    name: str
    place: int
    label: str
    prediction: str
    confidence: float
    loss: float

    def __str__(self) -> str:
        said = "said so" if self.label == self.prediction else f"said {self.prediction}"
        return f"{self.name}: is {self.label}, {said} ({self.confidence:.2f}), loss {self.loss:.2f}"

    @property
    def title(self) -> str:
        """Short lines for below the image: what it is, what the model says, its file."""
        right = self.label == self.prediction
        lines = [
            f"{self.label} {self.confidence:.2f}" if right else f"is {self.label}",
            *([] if right else [f"said {self.prediction} {self.confidence:.2f}"]),
            " ".join(PurePath(self.name).name.split()),
        ]
        return "\n".join(shortened(line, _TITLE_LENGTH) for line in lines)


@dataclass(frozen=True, kw_only=True)
class ConfusedPair:
    """Images of one class that are taken for another; prints as text.

    Attributes:
        label: Their class.
        prediction: What they are taken for.
        count: How many they are.
        n: How many images the class has.
        names: Their names, the worst first.

    Example:

    >>> print(ConfusedPair(label="cat", prediction="dog", count=1, n=8, names=("a.jpg",)))
    cat taken for dog: 1 of 8 (12.5 %)
    """

    label: str
    prediction: str
    count: int
    n: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        share = 100 * self.count / self.n
        return f"{self.label} taken for {self.prediction}: {self.count} of {self.n} ({share:.1f} %)"
