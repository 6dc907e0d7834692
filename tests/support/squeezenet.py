"""SqueezeNet 1.1 with ImageNet weights: small, and good at telling styles."""

import h5py
import keras
from shared_data import data_folder


def squeezenet():
    """Return SqueezeNet 1.1 with ImageNet weights, without its classifier."""
    layers = keras.layers
    inputs = x = keras.Input((None, None, 3))
    x = layers.Conv2D(64, 3, 2, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, 2)(x)
    for number, squeezed, expanded in zip(
        range(2, 10),
        (16, 16, 32, 32, 48, 48, 64, 64),
        (64, 64, 128, 128, 192, 192, 256, 256),
        strict=True,
    ):
        name = f"fire{number}"
        x = layers.Conv2D(squeezed, 1, activation="relu", name=f"{name}_squeeze1x1")(x)
        parts = [
            layers.Conv2D(
                expanded,
                size,
                padding="same",
                activation="relu",
                name=f"{name}_expand{size}x{size}",
            )(x)
            for size in (1, 3)
        ]
        x = layers.Concatenate(name=name)(parts)
        if number in (3, 5):
            x = layers.MaxPooling2D(3, 2)(x)
    model = keras.Model(inputs, x, name="squeezenet")
    [path] = (data_folder() / "weights").glob("squeezenet*")
    with h5py.File(path) as file:
        for name in file.attrs["layer_names"]:
            group = file[name]
            values = [group[weight][()] for weight in group.attrs["weight_names"]]
            if values:
                model.get_layer(name.decode().replace("/", "_")).set_weights(values)
    return model
