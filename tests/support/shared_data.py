"""Where the real photos for tests and benchmarks are."""

import os
from pathlib import Path


def data_folder() -> Path:
    """Return the folder of real test data, which may not exist."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    return Path(os.environ.get("KERAS_PRACTICAL_TEST_DATA", default)).resolve()


def keras_home() -> Path:
    """Return the folder of pretrained weights that lies beside the test data."""
    return data_folder().parent / "keras_home"
