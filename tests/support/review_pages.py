"""A result to review whose names are as awkward as files' names get."""

from dataclasses import dataclass

import numpy as np

from keras_practical import ImageIndex, ImageRecord
from keras_practical.data.decisions import ReviewItem, apply_decisions

AWKWARD = (
    "photos/plain.jpg",
    "photos/<script>document.title='owned'</script>.jpg",
    "photos/</script><img src=x onerror=alert(1)>.jpg",
    "photos/\"double\" 'single' & ampersand, comma; semicolon.jpg",
    "photos/תמונה \u202egpj.exe",
    "photos/🐈‍⬛ {{ 7 * 7 }} {% raw %}.jpg",
    "photos/two\nlines \u2028 and __proto__.jpg",
    "photos/" + 12 * "a very long name " + ".jpg",
)
FORMULAS = ("=1+1.jpg", "'=quoted already.jpg", "-2.jpg", "@SUM(A1).jpg", "__proto__")
CLASSES = ("cats", "+dogs <b>", 'it\'s "mice"')


@dataclass(frozen=True)
class Result:
    """What `review` takes, of images that are made up."""

    index: ImageIndex
    items: tuple

    def images(self, name, *, image_size=None):
        number = [record.name for record in self.index].index(name)
        if number == 3:
            return None
        rows = np.arange(40)[:, None, None] * 3 + np.zeros((40, 60, 3))
        color = np.array([20 * number, 60, 160 - 10 * number])
        return (rows + color).clip(0, 255).astype("uint8")

    def review_items(self):
        return self.items

    def apply(self, decisions):
        return apply_decisions(self.index, decisions)


def awkward_result(names=AWKWARD):
    """Return a result with one item for each name, and a second one for the first."""
    records = tuple(
        ImageRecord(name, place % 2, width=60, height=40) for place, name in enumerate(names)
    )
    items = [
        ReviewItem(
            name=record.name,
            finding="label error" if place % 2 else "near duplicate",
            evidence=f"evidence {place} <i>not markup</i>",
            label=CLASSES[record.label],
            suggestion=CLASSES[2] if place == 1 else None,
            confidence=0.987 if place == 1 else None,
            others=(names[0],) if place == 2 else (),
        )
        for place, record in enumerate(records)
    ]
    items.append(
        ReviewItem(name=names[0], finding="blurred", evidence="sharpness 3", label=CLASSES[0])
    )
    return Result(ImageIndex(records, CLASSES), tuple(items))
