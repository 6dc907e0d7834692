"""A painting with an object on it, at the sizes at which `style.harmonize` works."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_practical.style.pasting import denoise_chrominance

# Around the object, so that what the network pads at its borders stays away from it.
MARGIN_PIXELS = 48


@dataclass(frozen=True)
class Scene:
    """A painting, the paste on it, where the object is, and how much of each pixel may be new."""

    painting: np.ndarray
    composite: np.ndarray
    mask: np.ndarray
    alpha: np.ndarray

    def scaled(self, factor: float) -> Scene:
        """Return it smaller; it never grows."""
        if factor >= 1:
            return self
        return Scene(
            *(resized_image(part, factor) for part in (self.painting, self.composite)),
            *(resized_image(part, factor) for part in (self.mask, self.alpha)),
        )

    def cropped(self) -> tuple[Scene, tuple[slice, slice]]:
        """Return the part around the object, and where it is."""
        rows, columns = (np.flatnonzero(self.alpha.any(axis)) for axis in (1, 0))
        box = tuple(
            # In step with the cells of the whole painting's maps, whatever the stride.
            slice(max(0, indexes[0] - MARGIN_PIXELS) // 32 * 32, indexes[-1] + 1 + MARGIN_PIXELS)
            for indexes in (rows, columns)
        )
        parts = (self.painting, self.composite, self.mask, self.alpha)
        return Scene(*(part[box] for part in parts)), (box[0], box[1])

    def finished(self, small: Scene, painted: np.ndarray) -> np.ndarray:
        """Return what was found at a smaller size as a part of the whole painting."""
        import cv2

        painted = denoise_chrominance(painted)
        if painted.shape != self.painting.shape:
            # The paste's own detail, which the smaller size has lost, stays.
            size = self.painting.shape[1::-1]
            change = painted.astype("float32") - small.composite
            painted = self.composite + cv2.resize(change, size, interpolation=cv2.INTER_CUBIC)
        alpha = self.alpha[..., None]
        blended = alpha * np.clip(painted, 0, 255) + (1 - alpha) * self.painting
        return np.where(alpha > 0, np.rint(blended), self.painting).astype("uint8")


def placed(scene: Scene, box: tuple[slice, slice], pixels: np.ndarray) -> np.ndarray:
    """Return the whole image with new pixels around the object."""
    whole = scene.painting.astype("float32")
    alpha = scene.alpha[box][..., None]
    whole[box] += alpha * (255 * pixels - whole[box])
    return np.clip(np.rint(whole), 0, 255).astype("uint8")


def resized_image(image: np.ndarray, factor: float) -> np.ndarray:
    """Return an image with its sides multiplied by a factor, at most 1."""
    import cv2

    size = tuple(max(1, round(side * factor)) for side in image.shape[1::-1])
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def grown(painted: np.ndarray, small: np.ndarray, large: np.ndarray) -> np.ndarray:
    """Return a larger image with the change that was made to the smaller one."""
    import cv2

    change = painted.astype("float32") - small
    change = cv2.resize(change, large.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(np.rint(large + change), 0, 255).astype("uint8")
