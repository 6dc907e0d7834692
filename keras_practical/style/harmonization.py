"""Make a pasted object look painted: deep painterly harmonization, in two passes.

Reached as `keras_practical.style.harmonize`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from keras_practical.models.opening import open_backbone
from keras_practical.style.descent import descend
from keras_practical.style.features import (
    StyleLayers,
    feature_maps,
    style_layers,
)
from keras_practical.style.losses import (
    StyleProgress,
    gram_matrix,
    objective_of,
    painting_strength,
    quantiles,
    smoothness_weight,
)
from keras_practical.style.pasting import as_image, as_mask, dilated, feathered
from keras_practical.style.patches import (
    consistent_mapping,
    nearest_patches,
    upsampled_mapping,
)
from keras_practical.style.scene import Scene, grown, placed
from keras_practical.utils.checks import check_count, check_positive
from keras_practical.utils.keras_internals.gradients import value_and_gradient
from keras_practical.utils.progress import progress_bar

if TYPE_CHECKING:
    from keras_practical.utils.types import Image

__all__ = ["harmonize"]

# Chosen by eye on two of the paper's images: less, and the object dissolves.
CONTENT_WEIGHT = 4.0


def harmonize(
    painting: Image,
    composite: Image,
    mask: Image,
    *,
    extractor: str | keras.Model = "VGG19",
    layers: StyleLayers | None = None,
    weights: str | Path | None = "imagenet",
    preprocessing: str | None = None,
    dilated_mask: Image | None = None,
    image_size: int = 512,
    strength: float | str = "auto",
    steps: int = 150,
    seed: int = 0,
    callback: Callable[[StyleProgress], None] | None = None,
    verbose: bool = True,
) -> np.ndarray:
    """Make an object that was pasted into a painting look as if it were painted there.

    Use it on what `paste` gives. The first pass lets each place of the object look for the patches
    of the painting that are most like it, and takes on their statistics; the second, from there,
    looks for patches that also fit together, and takes on their statistics in detail, each
    channel's histogram included. Neither Keras nor its examples have it.

    Ctrl-C gives the best image so far.

    Args:
        painting: A path, or an array of shape `(height, width, 3)` with values in [0, 255].
        composite: The naive paste on it: the same size.
        mask: As in `paste`, of the painting's proportions. Soft edges are kept.
        extractor: A name in `keras_practical.models.BACKBONES`, or a convolutional
            `keras.Model`, such as SqueezeNet. VGG19's features give the best images.
        layers: The network's layers to use. Default: the paper's for VGG19 and VGG16; for others
            the last layer of each resolution and, if their first is small, the pixels.
        weights: `"imagenet"` (downloaded once: 80 MB for VGG19), a weights file's path, or `None`
            for random weights. Not used with a `keras.Model`.
        preprocessing: What a `keras.Model` expects of pixels, as in `transfer.classifier`.
        dilated_mask: Where pixels may change. Default: the mask widened by 2 % of the longer side.
        image_size: The longer side, in pixels, at which it works, >= 64. A larger painting stays as
            large: only the change is scaled up.
        strength: How strongly style counts against content, in (0, 100]: about 1 for smooth
            Renaissance painting, 10 for cubism. Default: `painting_strength`, from the painting.
        steps: Evaluations of the loss in each pass, >= 1. The first pass makes as many more at half
            the size, where they cost a quarter.
        seed: Decides which patches are compared in a map with more than 20,000.
        callback: Called after each tenth step, with a `StyleProgress`.
        verbose: Whether to show a progress bar and what was decided.

    Returns:
        The image: uint8 of the painting's shape, equal to it outside of the dilated mask.

    Raises:
        ValueError: An argument is outside its range, sizes don't fit, an image is transparent, or
            the mask is empty.
        RuntimeError: The ImageNet weights can't be had; the text says how to go on offline.

    Example:

    >>> layers = [keras.layers.Conv2D(4, 3, 2, activation="relu") for _ in range(3)]
    >>> network = keras.Sequential([keras.Input((None, None, 3)), *layers])
    >>> painting = np.random.default_rng(0).integers(0, 255, (96, 96, 3)).astype("uint8")
    >>> composite = painting.copy()
    >>> composite[32:64, 32:64] = 200
    >>> mask = (composite == 200).all(-1)
    >>> found = harmonize(painting, composite, mask, extractor=network, steps=3, verbose=False)
    >>> bool((found[:20] == painting[:20]).all())
    True

    Reference:
        Luan, Paris, Shechtman & Bala, *Deep Painterly Harmonization* (2018), arXiv 1804.03189.
        Instead of its network that names a painting's school, `strength` is estimated.
    """
    check_count("image_size", image_size, minimum=64)
    check_count("steps", steps)
    if strength != "auto":
        check_positive("strength", strength)
    canvas = as_image("painting", painting)
    pasted = as_image("composite", composite)
    if pasted.shape != canvas.shape:
        raise ValueError(
            "`composite` must be as large as `painting`. "
            f"Received: shapes {pasted.shape} and {canvas.shape}"
        )
    inside = as_mask("mask", mask, canvas.shape[:2])
    allowed = (
        dilated(inside)
        if dilated_mask is None
        else as_mask("dilated_mask", dilated_mask, canvas.shape[:2])
    )
    scene = Scene(canvas, pasted, inside, feathered(inside, allowed))
    small = scene.scaled(image_size / max(canvas.shape[:2]))
    opened = open_backbone(
        extractor,
        argument="extractor",
        any_size=True,
        weights=weights,
        preprocessing=preprocessing,
        rgb=True,
    )
    network, scaling = opened.model, opened.preprocessing
    names = style_layers(network, layers)
    power = painting_strength(small.painting) if isinstance(strength, str) else float(strength)
    if verbose:
        why = ", estimated from the painting" if strength == "auto" else ""
        print(f"harmonize: strength {power:.1f}{why}; {network.name}, {', '.join(names.names)}")
    with progress_bar("Harmonizing", 3 * steps, show=verbose) as advance:
        painter = _Painter(
            network,
            names,
            preprocessing=scaling,
            strength=power,
            steps=steps,
            seed=seed,
            callback=callback,
            advance=advance,
        )
        painted = painter.paint(small)
    return scene.finished(small, painted)


class _Painter:
    """Both passes, on one network."""

    def __init__(
        self,
        network: keras.Model,
        layers: StyleLayers,
        *,
        preprocessing: str,
        strength: float,
        steps: int,
        seed: int,
        callback: Callable[[StyleProgress], None] | None,
        advance: Callable[..., None],
    ) -> None:
        self._network = network
        self._layers = layers
        self._preprocessing = preprocessing
        self._strength = strength
        self._steps = steps
        self._seed = seed
        self._callback = callback
        self._advance = advance
        self._best: Callable[[], np.ndarray]

    def paint(self, scene: Scene) -> np.ndarray:
        """Return the whole image after all stages, or the best so far after Ctrl-C."""
        half = scene.scaled(0.5)

        def enlarged(rough: np.ndarray) -> np.ndarray:
            return grown(rough, half.composite, scene.composite)

        self._best = lambda: scene.composite
        with suppress(KeyboardInterrupt):
            self._stage("coarse, half size", half, half.composite, enlarged)
            for stage in ("coarse", "fine"):
                self._stage(stage, scene, self._best(), lambda found: found)
        return self._best()

    def _stage(
        self,
        stage: str,
        scene: Scene,
        start: np.ndarray,
        enlarged: Callable[[np.ndarray], np.ndarray],
    ) -> None:
        """Optimize from an image; what is found is the best so far, `enlarged`."""
        part, box = scene.cropped()
        maps = self._maps(part.painting.shape[:2])
        here = self._features(part.composite, maps)
        painting = self._features(scene.painting, self._maps(scene.painting.shape[:2]))
        targets = self._coarse if stage != "fine" else self._fine
        constants = targets(part, here, self._features(start[box], maps), painting)
        constants["painting"] = part.painting.astype("float32") / 255
        constants["alpha"] = part.alpha[..., None]
        constants["mask"] = part.mask
        weights = {
            "style": self._strength,
            "histogram": self._strength,
            "content": CONTENT_WEIGHT,
            "variation": smoothness_weight(scene.painting) if stage == "fine" else 0.0,
        }
        constants["weights"] = {name: np.float32(value) for name, value in weights.items()}

        def on_step(step: int, pixels: np.ndarray, losses: dict[str, float]) -> None:
            self._best = lambda: enlarged(placed(scene, box, pixels))
            note = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
            self._advance(1, f"({stage}: {note})")
            if self._callback and (step % 10 == 0 or step == self._steps):
                self._callback(
                    StyleProgress(
                        stage=stage, step=step, losses=losses, image=placed(scene, box, pixels)
                    )
                )

        begun = start[box].astype("float32") / 255
        descend(
            value_and_gradient(objective_of(maps, self._layers.content)),
            constants,
            begun,
            steps=self._steps,
            on_step=on_step,
        )

    def _coarse(
        self,
        part: Scene,
        here: dict[str, np.ndarray],
        start: dict[str, np.ndarray],
        painting: dict[str, np.ndarray],
    ) -> dict[str, Any]:
        """Return what the first pass wants: each layer's own nearest patches."""
        layers = self._layers
        indexes = {name: _cells(part.mask, here[name]) for name in layers.names}
        grams = {}
        for name in layers.coarse:
            matches = nearest_patches(start[name], indexes[name], painting[name], seed=self._seed)
            grams[name] = _gram(_at(painting[name], matches))
        return self._wanted(here, indexes, grams, {})

    def _fine(
        self,
        part: Scene,
        here: dict[str, np.ndarray],
        start: dict[str, np.ndarray],
        painting: dict[str, np.ndarray],
    ) -> dict[str, Any]:
        """Return what the second pass wants: one mapping that fits together, for all layers."""
        layers = self._layers
        indexes = {name: _cells(part.mask, here[name]) for name in layers.names}
        reference = layers.reference
        # Every cell that the object touches, so that finer cells at its edge have theirs near.
        around = _cells(part.mask, here[reference], least=0.0)
        matches = nearest_patches(start[reference], around, painting[reference], seed=self._seed)
        matches = consistent_mapping(around, matches, painting[reference])
        grams, histograms = {}, {}
        for name in layers.fine:
            mapped = upsampled_mapping(
                indexes[name],
                around,
                matches,
                coarse_shape=here[reference].shape[:2],
                shape=here[name].shape[:2],
                painting_shape=painting[name].shape[:2],
            )
            # Each of the painting's cells counts once, or one that suits many would be repeated.
            target = _at(painting[name], np.unique(mapped, axis=0))
            grams[name] = _gram(target)
            if name in layers.histogram:
                histograms[name] = quantiles(target, len(indexes[name]))
        return self._wanted(here, indexes, grams, histograms)

    def _wanted(
        self,
        here: dict[str, np.ndarray],
        indexes: dict[str, np.ndarray],
        grams: dict[str, np.ndarray],
        histograms: dict[str, np.ndarray],
    ) -> dict[str, Any]:
        content = self._layers.content
        return {
            "places": {
                name: (cells[:, 0] * here[name].shape[1] + cells[:, 1]).astype("int32")
                for name, cells in indexes.items()
            },
            "content": _at(here[content], indexes[content]),
            "grams": grams,
            "histograms": histograms,
        }

    def _maps(self, size: tuple[int, int]) -> keras.Model:
        return feature_maps(self._network, self._layers.names, self._preprocessing, size)

    def _features(self, image: np.ndarray, maps: keras.Model) -> dict[str, np.ndarray]:
        found = maps(image[None].astype("float32"))
        return {name: ops.convert_to_numpy(values)[0] for name, values in found.items()}


def _gram(features: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(gram_matrix(features))


def _at(features: np.ndarray, cells: np.ndarray) -> np.ndarray:
    return features[cells[:, 0], cells[:, 1]]


def _cells(mask: np.ndarray, features: np.ndarray, *, least: float = 0.5) -> np.ndarray:
    """Return the cells of a feature map of which more than a part is the object's."""
    import cv2

    share = cv2.resize(mask, features.shape[1::-1], interpolation=cv2.INTER_AREA)
    # A thin object fills half of no cell.
    return np.argwhere(share > min(least, 0.99 * float(share.max())))
