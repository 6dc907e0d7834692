"""Paint a photo in, or paint it over: painterly harmonization and style transfer.

    tower = kp.style.paste("tower.png", "painting.jpg", position=(300, 200), scale=0.5)
    picture = kp.style.harmonize("painting.jpg", tower.composite, tower.mask)

Features of a pretrained network say what a picture shows and how it is painted; the pixels are
changed until they say what they should.
"""

from __future__ import annotations

from keras_practical._style_objective import StyleProgress
from keras_practical.harmonization import harmonize
from keras_practical.pasting import Paste, paste
from keras_practical.style_features import StyleLayers
from keras_practical.style_losses import gram_matrix
from keras_practical.style_transfer import transfer
from keras_practical.style_weights import painting_strength

__all__ = [
    "Paste",
    "StyleLayers",
    "StyleProgress",
    "gram_matrix",
    "harmonize",
    "painting_strength",
    "paste",
    "transfer",
]
