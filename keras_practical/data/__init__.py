"""From wherever they are to data sets, and any data as pieces.

Rooms: `index` (what is known of each image), `sources` and `named_sets` (where images come from),
`tables` (CSV from any spreadsheet), `splitting` (what is held out), `groups` (what belongs
together), `reading` and `dicom` (bytes to pixels), `pixel_store` (decoded once, or each time),
`origin` (the one handle of a data set), `batches` and `pieces` (any data, batch by batch or in
pieces of equal size), `features`, `decisions` (a person's, from a CSV), `loading` (`load_images`),
`plots`.
"""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.data.features import Embeddings
    from keras_practical.data.index import ImageIndex, ImageRecord
    from keras_practical.data.loading import ImageData, load_images
    from keras_practical.data.reading import read_image

__all__ = ["Embeddings", "ImageData", "ImageIndex", "ImageRecord", "load_images", "read_image"]

_ROOMS = {
    "data.index": ("ImageIndex", "ImageRecord"),
    "data.loading": ("ImageData", "load_images"),
    "data.reading": ("read_image",),
    "data.features": ("Embeddings",),
}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)
