"""Tiny models that read numbers and say which comes next."""

import keras
import numpy as np


def recurrent(
    vocabulary_size, layer="GRU", *, rows=None, stateful=False, sequences=True, length=None, seed=0
):
    """Return embedding, recurrent layer and softmax, with weights large enough to matter."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((length,), batch_size=rows),
            keras.layers.Embedding(vocabulary_size, 4),
            getattr(keras.layers, layer)(5, return_sequences=sequences, stateful=stateful),
            keras.layers.Dense(vocabulary_size, activation="softmax"),
        ]
    )
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, 1, w.shape).astype("float32") for w in model.get_weights()])
    return model


def with_weights_of(model, other):
    """Return `model` with the weights of `other`."""
    model.set_weights(other.get_weights())
    return model


def state_of(model):
    """Return the state of the model's recurrent layer as one array."""
    states = keras.tree.flatten(model.layers[1].states)
    return np.concatenate([keras.ops.convert_to_numpy(state) for state in states])


def outputs_of(model, numbers):
    """Return a model's outputs, uncompiled: each length of text would be compiled anew."""
    return keras.ops.convert_to_numpy(model(np.asarray(numbers), training=False))


def losses_by_hand(model, numbers):
    """Return the loss of each number after the first, from one pass of a stateless model."""
    probabilities = outputs_of(model, numbers[None, :-1])[0]
    return -np.log(probabilities[np.arange(len(numbers) - 1), numbers[1:]])
