"""Where Keras keeps its files."""

from __future__ import annotations

import os
from pathlib import Path


def keras_home() -> Path:
    """Return the folder of Keras's cache, as Keras itself decides it."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")).expanduser()
