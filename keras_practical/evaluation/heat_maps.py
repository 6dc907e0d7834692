"""Where on an image a network found what it says: the result of `grad_cam` and `occlusion`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_practical.data.plots import as_pixels, value_range
from keras_practical.data.reading import read_image
from keras_practical.evaluation.plots import heatmap, overlaid
from keras_practical.utils.checks import check_choice, check_count
from keras_practical.utils.keras_internals.layers import every_layer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["HeatMap", "SeenImage", "heated", "output_rows", "rounding_of"]

# From 1 to the next number.
_STEPS = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
_ROUNDING_STEPS = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class HeatMap:
    """Where on an image a network found evidence for a class; prints as text.

    Attributes:
        image: What the model saw, at the image's full resolution: uint8 of shape
            `(height, width, 3)`; for a scan `(depth, height, width, 3)`.
        heat: Where the evidence is, float32 in [0, 1] of shape `(height, width)`; for a scan
            `(depth, height, width)`. The hottest place is 1; all is 0 if nothing speaks for the
            class.
        values: What was measured, not yet scaled and enlarged: float32 of shape `(rows, columns)`.
        rounding: What the arithmetic's rounding may make of nothing: heat that isn't more is 0.
        class_index: The class that is asked about.
        class_name: Its name, or its number.
        output: What the model gives for it: its probability, if it gives those.
        method: How it was found: `"Grad-CAM"` or `"occlusion"`.

    Raises:
        ValueError: From `slice`, if there are no slices or not so many.

    Example:

    >>> about = {"class_index": 0, "class_name": "cats", "output": 0.9, "method": "Grad-CAM"}
    >>> print(heated(np.zeros((4, 6, 3), "uint8"), np.eye(4, 6), **about))
    Grad-CAM for cats (0.900): hottest at row 0, column 0 of 4 x 6 pixels
    """

    image: np.ndarray = field(repr=False)
    heat: np.ndarray = field(repr=False)
    values: np.ndarray = field(repr=False)
    class_index: int
    class_name: str
    output: float
    method: str
    rounding: float = 0.0

    def __str__(self) -> str:
        what = f"{self.method} for {self.class_name} ({self.output:.3f})"
        if not self.heat.any():
            small = 0 < np.abs(self.values).max() <= self.rounding
            why = "no difference beyond rounding, " if small else ""
            return f"{what}: {why}nothing in the image speaks for it"
        *slices, row, column = self.hottest
        *_, height, width = self.heat.shape
        where = f"slice {slices[0]} of {len(self.heat)}, " if slices else ""
        return f"{what}: hottest at {where}row {row}, column {column} of {height} x {width} pixels"

    @property
    def hottest(self) -> tuple[int, ...]:
        """The place of the most heat: row and column; for a scan slice, row and column."""
        return tuple(int(i) for i in np.unravel_index(np.argmax(self.heat), self.heat.shape))

    def overlay(self, *, opacity: float = 0.7) -> np.ndarray:
        """Return the image with the heat laid over it, uint8 of shape `(height, width, 3)`.

        Args:
            opacity: How much of the image the hottest place hides, in [0, 1].

        Returns:
            The image; of a scan, its hottest slice.
        """
        shown = self._one_slice()
        return overlaid(shown.image, shown.heat, opacity=opacity)

    def plot(self, *, opacity: float = 0.7, ax: Axes | None = None) -> Axes:
        """Draw the image with the heat laid over it; of a scan, its hottest slice.

        Args:
            opacity: As in `overlay`.
            ax: Where to draw. Default: a new figure.

        Returns:
            The axes, without ticks.
        """
        shown = self._one_slice()
        ax = heatmap(shown.image, shown.heat, opacity=opacity, ax=ax)
        note = "" if shown.heat.any() else ": no evidence"
        ax.set_title(f"{self.class_name} {self.output:.2f}{note}", fontsize=10, parse_math=False)
        return ax

    def slice(self, number: int) -> HeatMap:
        """Return the map of one slice of a scan, on the scale of them all.

        Args:
            number: Of the slice, from 0.

        Returns:
            A `HeatMap` of an image.

        Raises:
            ValueError: It isn't the map of a scan, or there is no such slice.
        """
        if self.heat.ndim != 3:
            raise ValueError("This is the map of an image: only those of scans have slices.")
        check_count("number", number, minimum=0)
        if number >= len(self.heat):
            raise ValueError(f"There are {len(self.heat)} slices, from 0. Received: {number}")
        return replace(
            self,
            image=self.image[number],
            heat=self.heat[number],
            values=self.values[number],
        )

    def _one_slice(self) -> HeatMap:
        return self.slice(self.hottest[0]) if self.heat.ndim == 3 else self


@dataclass(frozen=True, eq=False)
class SeenImage:
    """An image as a model gets it, and the same part of it at full resolution.

    Attributes:
        inputs: float32 of shape `(1, height, width, channels)`.
        shown: uint8 of shape `(height, width, 3)`, maybe larger.

    Raises:
        ValueError: From `of`, if it's no image for this model.

    Example:

    >>> model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    >>> seen = SeenImage.of(model, np.zeros((20, 30, 3), "uint8"), "crop")
    >>> seen.inputs.shape, seen.shown.shape
    ((1, 4, 4, 3), (20, 20, 3))
    """

    inputs: np.ndarray
    shown: np.ndarray

    @classmethod
    def of(
        cls, model: keras.Model, image: str | Path | bytes | np.ndarray, aspect: str
    ) -> SeenImage:
        """Bring an image to a model's size; an array that has it already is taken as it is."""
        check_choice("aspect", aspect, ("crop", "pad", "stretch"))
        wanted = _input_shape(model)
        if isinstance(image, str | Path | bytes):
            whole = read_image(image)
            size = wanted[:2] if wanted and None not in wanted[:2] else whole.shape[:2]
            return cls._scaled(whole, size, aspect, grey=bool(wanted) and wanted[-1] == 1)
        values = np.asarray(image)
        values = values[..., None] if values.ndim == 2 else values
        rank = len(wanted) if wanted else 3
        fits = not wanted or all(
            side in (None, own) for side, own in zip(wanted, values.shape, strict=False)
        )
        if values.ndim != rank or 0 in values.shape or (not fits and rank != 3):
            raise ValueError(
                f"`image` must be one image, {_in_words(wanted)}. "
                f"Received: an array of shape {np.shape(image)}"
            )
        if not np.isfinite(values).all():
            raise ValueError("`image` has values that are NaN or infinite.")
        if fits:
            shown = as_pixels(values, value_range(values))
            return cls(values[None].astype("float32"), shown)
        size = tuple(want or own for want, own in zip(wanted[:2], values.shape, strict=False))
        return cls._scaled(read_image(values), size, aspect, grey=wanted[-1] == 1)

    @classmethod
    def _scaled(
        cls, whole: np.ndarray, size: tuple[Any, ...], aspect: str, *, grey: bool
    ) -> SeenImage:
        height, width = whole.shape[:2]
        # As many pixels as the image has in the frame that the model sees.
        frame = (height, width)
        if aspect != "stretch":
            choose = max if aspect == "crop" else min
            factor = choose(size[0] / height, size[1] / width)
            frame = (max(1, round(size[0] / factor)), max(1, round(size[1] / factor)))
        mode = "grayscale" if grey else "rgb"
        inputs = read_image(whole, image_size=size, aspect=aspect, color_mode=mode)
        shown = read_image(whole, image_size=frame, aspect=aspect)
        return cls(inputs[None].astype("float32"), shown)


def heated(
    image: np.ndarray,
    values: np.ndarray,
    *,
    class_index: int,
    class_name: str,
    output: float,
    method: str,
    heat: np.ndarray | None = None,
    rounding: float = 0.0,
    centres: tuple[np.ndarray, np.ndarray] | None = None,
) -> HeatMap:
    """Return the `HeatMap` of what was measured on a grid, enlarged to the image's size.

    Args:
        image: As in `HeatMap`.
        values: As in `HeatMap`; what is below 0 gets no heat.
        class_index: As in `HeatMap`.
        class_name: As in `HeatMap`.
        output: As in `HeatMap`.
        method: As in `HeatMap`.
        heat: What to enlarge instead of `values`, of any size.
        rounding: As in `HeatMap`.
        centres: Where on the image the rows and the columns of `values` look, as parts of its
            height and width, in [0, 1]. Default: they share the image evenly.

    Returns:
        The map.

    Example:

    >>> about = {"class_index": 0, "class_name": "cats", "output": 0.9, "method": "Grad-CAM"}
    >>> heated(np.zeros((4, 4, 3), "uint8"), np.array([[-1.0, 2.0]]), **about).heat[0].tolist()
    [0.0, 0.25, 0.75, 1.0]
    """
    import cv2

    size = image.shape[-2:-4:-1]

    def enlarged(part: np.ndarray) -> np.ndarray:
        if centres is None:
            # Bilinear, centres on centres.
            return cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)
        rows, columns = (
            np.interp((np.arange(side) + 0.5) / side, place, np.arange(len(place)))
            for side, place in zip(size[::-1], centres, strict=True)
        )
        across, down = np.meshgrid(columns.astype("float32"), rows.astype("float32"))
        return cv2.remap(part, across, down, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    grid = np.asarray(values if heat is None else heat, "float32")
    grid = np.where(grid > max(rounding, 0.0), grid, np.float32(0))
    grids = grid if grid.ndim == 3 else grid[None]
    large = np.stack([enlarged(part) for part in grids])
    top = float(large.max())
    large = np.clip(large / top, 0, 1) if top > 0 else large
    return HeatMap(
        image=image,
        heat=large if grid.ndim == 3 else large[0],
        values=np.asarray(values, "float32"),
        class_index=class_index,
        class_name=class_name,
        output=output,
        method=method,
        rounding=rounding,
    )


def rounding_of(model: keras.Model, largest: float) -> float:
    """Return what the rounding of a model's arithmetic may make of nothing.

    Each number is off by up to the half of its precision's step, and an output by some more, as it
    comes from many: 16 steps of the least precise layer, of the largest number that is added up.

    Args:
        model: The model.
        largest: The largest absolute number.

    Returns:
        A difference that says nothing.

    Example:

    >>> rounding_of(keras.Sequential([keras.layers.Dense(1)]), 2.0) == 32 * 2.0**-23
    True
    """
    # int8 layers compute in float32 too.
    names = {str(getattr(layer, "compute_dtype", None)) for layer in every_layer(model)}
    return _ROUNDING_STEPS * max(_STEPS.get(name, _STEPS["float32"]) for name in names) * largest


def _input_shape(model: keras.Model) -> tuple[int | None, ...]:
    """Return the shape of one example, empty if unknown."""
    shape = getattr(model, "input_shape", None) if getattr(model, "inputs", None) else None
    if shape is None:
        return ()
    if not isinstance(shape, tuple) or len(shape) not in (4, 5):
        raise ValueError(
            "`model` must take one batch of images, (batch, height, width, channels). "
            f"Received: a model with input shape {shape}"
        )
    return shape[1:]


def _in_words(shape: tuple[int | None, ...]) -> str:
    sides = ", ".join("any" if side is None else str(side) for side in shape)
    return f"of shape ({sides})" if shape else "of shape (height, width, channels)"


def class_outputs(outputs: Any, activation: str | None) -> np.ndarray:
    """Return what a model gives for each class: float64 of shape `(batch, classes)`.

    One output stands for class 1; class 0 gets the rest of a probability, or the opposite.
    """
    rows = output_rows(outputs)
    if rows.shape[1] == 1:
        others = 1 - rows if activation == "sigmoid" else -rows
        rows = np.concatenate([others, rows], axis=1)
    return rows


def output_rows(outputs: Any) -> np.ndarray:
    """Return a model's one output as it is.

    Args:
        outputs: What a model gives for a batch.

    Returns:
        float64 array of shape `(batch, outputs)`.

    Raises:
        ValueError: There are several outputs, or not one row for each image.

    Example:

    >>> output_rows(np.array([0.25, 0.75])).tolist()
    [[0.25], [0.75]]
    """
    if isinstance(outputs, dict | list | tuple):
        listed = ", ".join(str(name) for name in outputs) if isinstance(outputs, dict) else ""
        raise ValueError(
            "`model` must have one output; make a model of one of them, such as "
            "keras.Model(model.inputs, model.outputs[0]). "
            f"Received: {len(outputs)} outputs {listed}".rstrip()
        )
    rows = keras.ops.convert_to_numpy(outputs).astype("float64")
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2:
        raise ValueError(
            "`model` must give one row of class scores for each image. "
            f"Received: outputs of shape {rows.shape}"
        )
    return rows


def chosen_class(scores: np.ndarray, class_index: int | None) -> int:
    """Return the class asked for, or else the one with the highest score."""
    if class_index is None:
        return int(scores.argmax())
    check_count("class_index", class_index, minimum=0)
    if class_index >= len(scores):
        raise ValueError(
            f"`class_index` must be from 0 to {len(scores) - 1} for this model. "
            f"Received: class_index={class_index}"
        )
    return int(class_index)


def class_name_of(class_index: int, class_names: Sequence[str] | None) -> str:
    """Return a class's name, or its number where there are no names."""
    if class_names is None:
        return f"class {class_index}"
    if class_index >= len(class_names):
        raise ValueError(
            f"`class_names` must have a name for class {class_index}. "
            f"Received: {len(class_names)} names"
        )
    return class_names[class_index]
