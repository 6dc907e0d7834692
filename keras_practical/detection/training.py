"""Windows cut out of annotated images, augmented with their boxes, and the training on them.

Reached as `keras_practical.detection.fine_tune` and `keras_practical.detection.Windows`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.augment.color import RandomColor
from keras_practical.augment.geometry import RandomGeometry
from keras_practical.augment.warping import transform_points, warp
from keras_practical.data.reading import read_image
from keras_practical.detection.annotations import DetectionData
from keras_practical.detection.evaluation import evaluate
from keras_practical.detection.model import outputs_of
from keras_practical.detection.targets import targets
from keras_practical.training.one_cycle import OneCycle
from keras_practical.utils.checks import as_layers, check_between, check_count, check_positive

if TYPE_CHECKING:
    from keras_practical.utils.types import Augmentation

__all__ = ["Windows", "fine_tune"]

# Objects come in sizes from 1/1.5 to 1.5 of the model's own: scales of the image that are a
# factor of two apart leave no size out.
_LOG_SIZE = math.log(1.5)
_KEPT_BYTES = 10**9
FILL = 127.5


class Windows(keras.utils.PyDataset):
    """Random windows of annotated images, with a detector's targets: data for `model.fit`.

    `fit` uses it; use it yourself to call `model.fit` with your own callbacks and epochs. Each
    window shows an object at about the size that the model is for, or, for some of them, any
    place at any scale. The random geometry of the augmentation and the window's own place and scale
    are multiplied into one matrix, by which the image is interpolated once and the boxes move
    with it. Every epoch brings new windows; the same seed brings the same ones, in the same order.

    Args:
        model: A detector, whose classes, sizes and stride count.
        data: From `load_annotations`.
        batch_size: Windows in a batch, >= 1.
        steps: Batches in an epoch, >= 1. Default: 25, or with many boxes as many as show each of
            them once.
        augmentation: A list of Keras layers. At most one `RandomGeometry`, whose boxes move; the
            others must leave things where they are, such as `RandomColor`. Default: mirrored,
            turned by up to 10 degrees, sheared a little; light and colours changed. Pass
            `kp.augment.top_down()` where there is no above.
        background: Part of the windows that needn't show an object, in [0, 1].
        seed: Decides every window.

    Raises:
        ValueError: An argument is outside its range, the model isn't a detector of these classes,
            or there are no boxes.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage
    >>> boxes = np.array([[20.0, 20, 60, 60]])
    >>> image = AnnotatedImage(np.zeros((96, 96, 3)), boxes, np.zeros(1, int), 96, 96)
    >>> from keras_practical.detection.model import build
    >>> import warnings
    >>> warnings.simplefilter("ignore")  # one image is too few
    >>> data = DetectionData((image,), ("cat",))
    >>> model = build("MobileNetV2", data, weights=None, verbose=False)
    >>> images, wanted = Windows(model, data, batch_size=2)[0]
    >>> images.shape, wanted["heatmap"].shape  # the last channel is a weight
    ((2, 256, 256, 3), (2, 32, 32, 2))

    Reference:
        Boxes of turned images hold the ellipse in the old box, which is nearer to most things
        than the corners are: Kalra et al., *Towards Rotation Invariance in Object Detection*
        (2021), arXiv 2109.13488.
    """

    def __init__(
        self,
        model: keras.Model,
        data: DetectionData,
        *,
        batch_size: int = 8,
        steps: int | None = None,
        augmentation: str | Augmentation | None = "default",
        background: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_count("batch_size", batch_size)
        check_between("background", background, 0.0, 1.0)
        self.outputs = outputs_of(model)
        if tuple(data.class_names) != self.outputs.class_names:
            raise ValueError(
                "`data` must have the model's classes, in order: pass class_names= to "
                f"`load_annotations`. Received: {', '.join(data.class_names)}; the model has "
                f"{', '.join(self.outputs.class_names)}"
            )
        self.data = data
        self.batch_size = batch_size
        self.background = background
        self.seed = seed
        self.epoch = 0
        layers = _default_augmentation(seed) if isinstance(augmentation, str) else augmentation
        layers = as_layers(layers)
        geometries = [layer for layer in layers if isinstance(layer, RandomGeometry)]
        if len(geometries) > 1:
            raise ValueError("`augmentation` may have one RandomGeometry. Received: several")
        self.geometry = geometries[0] if geometries else RandomGeometry(seed=seed)
        self.pixel_layers = [layer for layer in layers if layer is not self.geometry]
        # Each class is shown as often as the others, however many boxes it has.
        self._objects: list[list[tuple[int, int]]] = [[] for _ in data.class_names]
        for index, image in enumerate(data):
            for number in np.flatnonzero(~image.ignored):
                self._objects[image.labels[number]].append((index, int(number)))
        self._objects = [objects for objects in self._objects if objects]
        if not self._objects:
            raise ValueError("`data` must have at least one box to learn from. Received: none")
        count = sum(len(objects) for objects in self._objects)
        if steps is not None:
            check_count("steps", steps)
        self.steps = steps or max(25, math.ceil(count / batch_size))
        largest = 3 * max(image.width * image.height for image in data)
        self._images = functools.lru_cache(max(4, _KEPT_BYTES // largest))(self._read)

    def __len__(self) -> int:
        return self.steps

    def on_epoch_end(self) -> None:
        """Go on to the next epoch's windows."""
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        rng = np.random.default_rng((self.seed, self.epoch, index))
        window = self.outputs.window_pixels
        images = np.empty((self.batch_size, window, window, 3), "float32")
        wanted = []
        turns = self._random_geometry(int(rng.integers(2**31)))
        for row in range(self.batch_size):
            position, scale, centre = self._draw(rng)
            image = self.data.images[position]
            images[row], boxes = self._window(position, scale, centre, turns[row])
            wanted.append(
                targets(
                    boxes,
                    image.labels,
                    image.ignored,
                    class_count=len(self.outputs.class_names),
                    window=window,
                    stride=self.outputs.stride,
                    object_pixels=self.outputs.object_pixels,
                )
            )
        augmented: Any = images
        for layer in self.pixel_layers:
            augmented = layer(augmented, training=True)
        stacked = {name: np.stack([one[name] for one in wanted]) for name in wanted[0]}
        return ops.convert_to_numpy(augmented), stacked

    def _window(
        self, index: int, scale: float, centre: np.ndarray, turn: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return one window's pixels and the image's boxes in it, which may stick out.

        `scale` is pixels of the window for one of the image, `centre` what its middle shows,
        `turn` a matrix of `RandomGeometry` for an image of the window's size.
        """
        image = self.data.images[index]
        # Bilinear interpolation would skip pixels of an image that is shrunk by more than half.
        halvings = max(0, math.floor(math.log2(1 / scale)))
        pixels = self._images(index, halvings)
        height, width = pixels.shape[:2]
        shrunk = np.array([width / image.width, height / image.height])
        side = self.outputs.window_pixels
        to_image = np.diag([*(shrunk / scale), 1.0])
        to_image[:2, 2] = centre * shrunk - np.array([width, height]) / 2
        # Places are in pixels of the image, and the result is taken to be as large as it is.
        to_window = np.diag([side / width, side / height, 1.0])
        matrix = (to_image @ turn @ to_window)[None].astype("float32")
        shown = warp(
            ops.convert_to_tensor(pixels[None]),
            ops.convert_to_tensor(matrix),
            (side, side),
            interpolation="bilinear",
            fill_mode="constant",
            fill_value=FILL,
        )
        boxes = image.boxes * np.tile(shrunk, 2)
        moved = _moved(boxes, matrix, (width, height), side)
        return ops.convert_to_numpy(shown)[0], moved

    def _random_geometry(self, seed: int) -> np.ndarray:
        side = self.outputs.window_pixels
        blank = ops.zeros((self.batch_size, side, side, 1))
        generator = keras.random.SeedGenerator(seed)
        drawn = self.geometry.get_random_transformation(blank, seed=generator) or {}
        return ops.convert_to_numpy(drawn["matrices"])

    def _draw(self, rng: np.random.Generator) -> tuple[int, float, np.ndarray]:
        """Draw an image, a scale, and the place that the window's middle shows."""
        outputs = self.outputs
        if rng.random() < self.background:
            index = int(rng.integers(len(self.data)))
            image = self.data.images[index]
            low, high = math.log(outputs.smallest_pixels), math.log(outputs.largest_pixels)
            scale = outputs.object_pixels / math.exp(rng.uniform(low, high))
            return index, scale, rng.uniform(0.0, (image.width, image.height))
        objects = self._objects[rng.integers(len(self._objects))]
        index, number = objects[rng.integers(len(objects))]
        image = self.data.images[index]
        size = outputs.object_pixels * math.exp(rng.uniform(-_LOG_SIZE, _LOG_SIZE))
        scale = size / float(image.sizes[number])
        box = image.boxes[number]
        away = rng.uniform(-0.4, 0.4, 2) * outputs.window_pixels / scale
        return index, scale, (box[:2] + box[2:]) / 2 + away

    def _read(self, index: int, halvings: int) -> np.ndarray:
        """Return an image's pixels, shrunk so many times by two."""
        image = self.data.images[index]
        if not halvings:
            return read_image(image.source)
        size = [max(1, round(side / 2**halvings)) for side in (image.height, image.width)]
        return read_image(image.source, image_size=tuple(size), aspect="stretch")


def _moved(boxes: np.ndarray, matrix: np.ndarray, image: tuple[int, int], side: int) -> np.ndarray:
    """Return the upright boxes around where a matrix moves the ellipses in the boxes."""
    angles = np.linspace(0.0, 2.0 * np.pi, 16, endpoint=False)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    points = centres + (boxes[:, None, 2:] - boxes[:, None, :2]) / 2 * circle
    size = np.array(image)
    points = (points - size / 2).reshape(1, -1, 2).astype("float32")
    moved = ops.convert_to_numpy(transform_points(points, matrix))
    moved = (moved / size + 0.5).reshape(len(boxes), 16, 2) * side
    return np.concatenate([moved.min(1), moved.max(1)], axis=1).reshape(-1, 4)


def _default_augmentation(seed: int) -> list[Any]:
    return [
        RandomGeometry(horizontal_flip=0.5, rotation=10, shear=4, seed=seed),
        RandomColor(
            brightness=0.15,
            contrast=0.3,
            saturation=0.3,
            hue=0.03,
            gamma=0.2,
            grayscale=0.1,
            seed=seed + 1,
        ),
    ]


def fine_tune(
    model: keras.Model,
    data: DetectionData,
    *,
    validation_data: DetectionData | None = None,
    epochs: int = 8,
    steps: int | None = None,
    batch_size: int = 8,
    max_learning_rate: float = 2e-3,
    augmentation: str | Augmentation | None = "default",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    seed: int = 0,
    verbose: str | int = "auto",
) -> keras.callbacks.History:
    """Train a detector: `model.fit` on random windows, with one cycle of the learning rate.

    Use it with nothing to tune. The backbone is as `build` left it, by default frozen, so that the
    head learns. With `validation_data` it says what the training brought, and a detector that was
    better before has its weights back. The plain-Keras equivalent is what it does:
    `model.fit(Windows(model, data), epochs=8, callbacks=[kp.OneCycle(2e-3)])`.

    Args:
        model: A compiled detector, from `build`.
        data: From `load_annotations`.
        validation_data: Annotated images that aren't trained on, with the same classes: the
            detector's average precision on them is measured before and after.
        epochs: Number of epochs, >= 1.
        steps: As in `Windows`.
        batch_size: Windows in a batch.
        max_learning_rate: The one cycle's peak, > 0.
        augmentation: As in `Windows`.
        callbacks: More Keras callbacks.
        seed: Decides every window.
        verbose: As in `model.fit`.

    Returns:
        What `model.fit` returns; with `validation_data`, its `params` say `average_precision`
        before and after.

    Raises:
        ValueError: As in `Windows` or `evaluate`, or the model isn't compiled.

    Example:

    >>> from keras_practical.detection.annotations import AnnotatedImage
    >>> rng = np.random.default_rng(0)
    >>> images = rng.uniform(0, 60, (3, 64, 64, 3))
    >>> images[:, 20:40, 20:40] = 255
    >>> images = [
    ...     AnnotatedImage(p, np.array([[20, 20, 40, 40]] * 3), [0] * 3, 64, 64) for p in images
    ... ]
    >>> network = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Conv2D(4, 3, 8)])
    >>> from keras_practical.detection.model import build
    >>> data = DetectionData(tuple(images), ("square",))
    >>> model = build(network, data, object_pixels=16, verbose=False)
    >>> sorted(fine_tune(model, data, epochs=1, steps=2, verbose=0).history)[-2:]
    ['offsets_loss', 'sizes_loss']

    Reference:
        `OneCycle`, `Windows`. Four images with 18 faces, MobileNetV2, five seeds: average
        precision 1.000 at an overlap of .5 on five other images, in 47 s on 2 CPU cores.
        Epochs, size of objects and rate were chosen by leaving one of the four out.
    """
    check_count("epochs", epochs)
    check_positive("max_learning_rate", max_learning_rate)
    if not model.compiled:
        raise ValueError("`model` must be compiled: call model.compile(...) first.")
    windows = Windows(
        model, data, batch_size=batch_size, steps=steps, augmentation=augmentation, seed=seed
    )
    before = None
    if validation_data is not None:
        before = evaluate(model, validation_data, verbose=bool(verbose)).average_precision
        start = model.get_weights()
    history = model.fit(
        windows,
        epochs=epochs,
        # Windows are random by themselves.
        shuffle=False,
        callbacks=[OneCycle(max_learning_rate), *callbacks],
        verbose=verbose,
    )
    if validation_data is None or before is None:
        return history
    after = evaluate(model, validation_data, verbose=bool(verbose)).average_precision
    history.params["average_precision"] = (before, after)
    if verbose:
        print(
            f"fine_tune: average precision {after:.3f} at overlaps of .5 to .95 on "
            f"{len(validation_data)} held-out images, was {before:.3f}"
        )
    if after < before:
        model.set_weights(start)
        if verbose:
            print("fine_tune: it was better before, so the weights are as they were")
    return history
