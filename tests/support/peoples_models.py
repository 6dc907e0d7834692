"""Classifiers as people write them, each with the names of the weights that count as pretrained."""

import keras
import numpy as np
from keras import layers

SIDE = 12


def images_and_labels(n=24, seed=0):
    """Return float32 images of shape (n, 12, 12, 3) in [0, 255] of two classes."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    images = rng.integers(0, 120, (n, SIDE, SIDE, 3)).astype("float32")
    images[labels == 1, :, : SIDE // 2] += 100
    return images, labels


def network(name="pretrained", *, inputs=None):
    """Return a small network with weights unlike first ones, as pretrained networks have."""
    inputs = keras.Input((SIDE, SIDE, 3)) if inputs is None else inputs
    x = layers.Rescaling(1 / 255)(inputs)
    x = layers.Conv2D(6, 3, name=f"{name}_first")(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(8, 3, name=f"{name}_second")(x)
    model = keras.Model(inputs, x, name=name)
    rng = np.random.default_rng(sum(map(ord, name)))
    for variable in model.variables:
        variable.assign(np.asarray(variable) + 0.1 * rng.random(variable.shape))
    return model


def compiled(model):
    """Compile a classifier of two classes."""
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def nested():
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(network()(inputs))
    return compiled(keras.Model(inputs, layers.Dense(2, activation="softmax", name="out")(x)))


def inlined():
    base = network()
    x = layers.GlobalAveragePooling2D()(base.output)
    x = layers.Dense(8, activation="relu", name="hidden")(x)
    return compiled(keras.Model(base.input, layers.Dense(2, activation="softmax", name="out")(x)))


def sequential_of_sequentials():
    head = keras.Sequential(
        [layers.Flatten(), layers.Dense(64, activation="relu"), layers.Dense(2, "softmax")],
        name="head",
    )
    body = keras.Sequential([keras.Input((SIDE, SIDE, 3)), network()], name="body")
    return compiled(keras.Sequential([keras.Input((SIDE, SIDE, 3)), body, head]))


def two_backbones():
    inputs, pool = keras.Input((SIDE, SIDE, 3)), layers.GlobalAveragePooling2D()
    both = [pool(network("one")(inputs)), pool(network("two")(inputs))]
    x = layers.Dense(2, activation="softmax", name="out")(layers.Concatenate()(both))
    return compiled(keras.Model(inputs, x))


class Subclassed(keras.Model):
    """A model with a `call`, and no graph."""

    def __init__(self):
        super().__init__()
        self.base, self.pool = network(), layers.GlobalAveragePooling2D()
        self.out = layers.Dense(2, activation="softmax", name="out")

    def call(self, inputs, training=False):
        return self.out(self.pool(self.base(inputs, training=training)))


def subclassed():
    model = Subclassed()
    model(np.zeros((1, SIDE, SIDE, 3), "float32"))
    return compiled(model)


def as_the_guide_does():
    base = network()
    base.trainable = False
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(base(inputs, training=False))
    x = layers.Dropout(0.2)(x)
    return compiled(keras.Model(inputs, layers.Dense(2, activation="softmax", name="out")(x)))


def one_logit():
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(network()(inputs))
    model = keras.Model(inputs, layers.Dense(1, name="out")(x))
    model.compile("adam", keras.losses.BinaryCrossentropy(from_logits=True))
    return model


def two_outputs():
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(network()(inputs))
    outputs = {
        "kind": layers.Dense(2, activation="softmax", name="kind")(x),
        "age": layers.Dense(1, name="age")(x),
    }
    model = keras.Model(inputs, outputs)
    model.compile("adam", {"kind": "sparse_categorical_crossentropy", "age": "mse"})
    return model


class ScalesInItsSteps(keras.Model):
    """Pixels / 255 in all three steps, as keras-hub's tasks prepare their inputs."""

    def _prepared(self, data):
        return (data[0] / 255.0, *data[1:]) if isinstance(data, tuple) else data / 255.0

    def train_step(self, *arguments):
        *state, data = arguments
        return super().train_step(*state, self._prepared(data))

    def test_step(self, *arguments):
        *state, data = arguments
        return super().test_step(*state, self._prepared(data))

    def predict_step(self, *arguments):
        *state, data = arguments
        data = self._prepared(data[0]) if isinstance(data, tuple) else self._prepared(data)
        return super().predict_step(*state, data)


def of_its_own_class():
    inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.GlobalAveragePooling2D()(network()(inputs))
    x = layers.Dense(2, activation="softmax", name="out")(x)
    return compiled(ScalesInItsSteps(inputs, x))


def wrapped():
    inner, inputs = nested(), keras.Input((SIDE, SIDE, 3))
    flipped = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.RandomFlip()], name="flip")
    return compiled(keras.Model(inputs, inner(flipped(inputs))))


MODELS = {
    build.__name__: build
    for build in (
        nested,
        inlined,
        sequential_of_sequentials,
        two_backbones,
        subclassed,
        as_the_guide_does,
        one_logit,
        two_outputs,
        of_its_own_class,
        wrapped,
    )
}


def data_for(name, n=24):
    """Return images and labels as a model of this name trains on them."""
    images, labels = images_and_labels(n)
    if name == "two_outputs":
        return images, {"kind": labels, "age": labels.astype("float32")}
    return images, labels


def pretrained_weights(model):
    """Return the values of the weights that must not move in the frozen phase, by path."""
    return {
        variable.path: np.asarray(variable).copy()
        for variable in model.variables
        if any(part in variable.path for part in ("_first", "_norm", "_second"))
    }


def new_weights(model):
    """Return the values of the head's weights, by path."""
    known = pretrained_weights(model)
    return {
        variable.path: np.asarray(variable).copy()
        for variable in model.trainable_variables
        if variable.path not in known
    }
