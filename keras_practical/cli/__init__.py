"""The command line, `keras-practical`."""

from typing import TYPE_CHECKING

from keras_practical.utils.faces import lazy_face

if TYPE_CHECKING:
    from keras_practical.cli.commands import app

__all__ = ["app"]

_ROOMS = {"cli.commands": ("app",)}

__getattr__, __dir__ = lazy_face(__name__, _ROOMS)
