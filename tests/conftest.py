"""What all tests share: a quiet backend, the test data's place, tiny data."""

import os

import matplotlib
import numpy as np
import pytest
from shared_data import data_folder

matplotlib.use("Agg")


def pytest_collection_modifyitems(config, items):
    """Skip, saying why, what this machine or backend has not got."""
    import keras

    folder = data_folder()
    for item in items:
        if item.get_closest_marker("real_data") and not folder.is_dir():
            reason = f"needs {folder}; set KERAS_PRACTICAL_TEST_DATA"
            item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("tf_only") and keras.backend.backend() != "tensorflow":
            item.add_marker(pytest.mark.skip(reason="needs the TensorFlow backend"))
        if item.get_closest_marker("gpu") and not os.environ.get("KERAS_PRACTICAL_GPU"):
            item.add_marker(pytest.mark.skip(reason="needs a GPU; set KERAS_PRACTICAL_GPU=1"))


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


@pytest.fixture
def rng():
    """A seeded generator of the test's own."""
    return np.random.default_rng(0)
