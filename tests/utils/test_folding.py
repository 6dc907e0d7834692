"""Normalization folded into convolutions gives the same numbers, trained and asked."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_practical import OneCycle
from keras_practical.utils.keras_internals.folding import FoldedTraining, foldable, folded

# Also run on JAX.
pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(0)


def network(**options):
    keras.utils.set_random_seed(1)
    inputs = keras.Input((9, 9, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(inputs)
    x = layers.BatchNormalization(scale=False)(x)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, dilation_rate=1)(x)
    x = layers.BatchNormalization(center=False)(x)
    x = layers.ReLU()(x)
    x = layers.Conv2D(4, 1, groups=2)(x)
    x = layers.BatchNormalization()(x)
    inner = keras.Model(inputs, x)
    outputs = layers.Dense(2, activation="softmax")(layers.GlobalAveragePooling2D()(inner(inputs)))
    model = keras.Model(inputs, outputs)
    for layer in inner.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([RNG.uniform(0.5, 2.0, w.shape) for w in layer.get_weights()])
            layer.trainable = False
    model.compile(
        keras.optimizers.SGD(0.1),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        **options,
    )
    return model


IMAGES = RNG.normal(size=(12, 9, 9, 3)).astype("float32")
LABELS = np.arange(12) % 2


def test_pairs_are_found_inside_nested_models():
    kinds = [(type(a).__name__, type(b).__name__) for a, b in foldable(network())]
    normalization = "BatchNormalization"
    assert kinds == [
        ("Conv2D", normalization),
        ("DepthwiseConv2D", normalization),
        ("Conv2D", normalization),
    ]


def test_folded_layers_give_the_same_outputs():
    model = network()
    expected = keras.ops.convert_to_numpy(model(IMAGES))
    with folded(foldable(model)):
        found = keras.ops.convert_to_numpy(model(IMAGES))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert not any("call" in vars(layer) for pair in foldable(model) for layer in pair)


@pytest.mark.parametrize("steps", [1, 2])
def test_folded_training_moves_the_weights_alike(steps):
    plain, quick = network(steps_per_execution=steps), network(steps_per_execution=steps)
    quick.set_weights(plain.get_weights())
    options = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0}
    options["callbacks"] = [OneCycle(0.1)]
    expected = plain.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), **options).history
    options["callbacks"] = [FoldedTraining(), OneCycle(0.1)]
    found = quick.fit(IMAGES, LABELS, validation_data=(IMAGES, LABELS), **options).history
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)
    for ours, theirs in zip(quick.weights, plain.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5, err_msg=ours.path)
    asked = quick.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)
    assert asked["loss"] == pytest.approx(found["val_loss"][-1], rel=1e-4)
    assert not {"train_step", "test_step"} & set(vars(quick))


def test_a_callback_sees_the_layers_as_they_are():
    model = network()
    inner = model.layers[1]
    middle = keras.Model(inner.inputs[0], inner.layers[1].output)
    expected = keras.ops.convert_to_numpy(middle(IMAGES))
    seen = []

    class Looking(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch == 0:
                seen.append(keras.ops.convert_to_numpy(middle(IMAGES)))

    model.fit(IMAGES, LABELS, callbacks=[FoldedTraining(), Looking()], verbose=0)
    np.testing.assert_allclose(seen[0], expected, atol=1e-6)


@pytest.mark.tf_only
def test_replicas_that_trace_in_threads_are_left_alone():
    model = network()

    class Replicas:
        num_replicas_in_sync = 2

    callback = FoldedTraining()
    vars(model)["_distribute_strategy"] = Replicas()
    callback.set_model(model)
    callback.on_epoch_begin(0)
    assert "train_step" not in vars(model)
    callback.on_train_end()


def convolved(then, **options):
    inputs = keras.Input((9, 9, 3))
    return keras.Model(inputs, then(layers.Conv2D(4, 3, **options)(inputs)))


def twice(x):
    normalization = layers.BatchNormalization()
    return normalization(normalization(x))


@pytest.mark.parametrize(
    "model",
    [
        convolved(lambda x: layers.BatchNormalization()(x), activation="relu"),
        convolved(lambda x: layers.BatchNormalization(axis=1)(x)),
        convolved(lambda x: layers.Add()([x, layers.BatchNormalization()(x)])),
        convolved(lambda x: layers.BatchNormalization()(layers.ReLU()(x))),
        convolved(lambda x: [x, layers.BatchNormalization()(x)]),
        convolved(twice),
    ],
    ids=["activation", "axis", "read twice", "something between", "given outside", "used twice"],
)
def test_what_would_differ_is_left_alone(model):
    assert foldable(model) == []


def test_normalization_that_learns_is_not_folded_in_training():
    model = network()
    for _, normalization in foldable(model):
        normalization.trainable = True
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append("train_step" in vars(model))
    )
    model.fit(IMAGES, LABELS, callbacks=[FoldedTraining(), watch], verbose=0)
    assert seen == [False]
