"""Paint a photo in, or paint it over: painterly harmonization and style transfer.

    tower = kp.style.paste("tower.png", "painting.jpg", position=(300, 200), scale=0.5)
    image = kp.style.harmonize("painting.jpg", tower.composite, tower.mask)

Features of a pretrained network say what an image shows and how it is painted; the pixels are
changed until they say what they should.

Rooms: `pasting` and `scene` (an object on a painting), `features`, `losses`, `objective`, `weights`
and `patches` (what is asked of the pixels), `descent`, `harmonization`, `restyling`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.style.features import StyleLayers
    from keras_practical.style.harmonization import harmonize
    from keras_practical.style.losses import StyleProgress, gram_matrix, painting_strength
    from keras_practical.style.pasting import Paste, paste
    from keras_practical.style.restyling import restyle

__all__ = [
    "Paste",
    "StyleLayers",
    "StyleProgress",
    "gram_matrix",
    "harmonize",
    "painting_strength",
    "paste",
    "restyle",
]

_ROOMS = {
    "style.features": ("StyleLayers",),
    "style.harmonization": ("harmonize",),
    "style.losses": ("StyleProgress", "gram_matrix", "painting_strength"),
    "style.pasting": ("Paste", "paste"),
    "style.restyling": ("restyle",),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)
