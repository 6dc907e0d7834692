"""BatchMixing: the loss of mixtures against numpy, through compiled fits."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_practical as kp
from keras_practical.augment import BatchMixing

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype"),
]  # Keras's MixUp on JAX

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(16, 4, 4, 3)).astype("float32")
LABELS = RNG.integers(0, 3, 16)
WEIGHTS = RNG.uniform(0.5, 2.0, 16).astype("float32")

each_kind = pytest.mark.parametrize(
    "kind", [{"cutmix": 0.0}, {"mixup": 0.0}, {}], ids=["mixup", "cutmix", "both"]
)


def model(optimizer=None, *, loss="sparse_categorical_crossentropy", regularizer=None, **options):
    keras.utils.set_random_seed(0)
    layers = [keras.Input((4, 4, 3)), keras.layers.Flatten()]
    dense = keras.layers.Dense(3, activation="softmax", kernel_regularizer=regularizer)
    built = keras.Sequential([*layers, dense])
    built.compile(optimizer or keras.optimizers.SGD(0.1), loss=loss, **options)
    return built


def fit(trained, *callbacks, **options):
    settings = {"batch_size": 4, "epochs": 2, "shuffle": False, "verbose": 0} | options
    labels = settings.pop("labels", LABELS)
    return trained.fit(IMAGES, labels, callbacks=[*callbacks], **settings).history


class Recorded(BatchMixing):
    """Notes what is drawn, when the step runs eagerly."""

    def __init__(self, **options):
        super().__init__(**options)
        self.drawn = []

    def _mix(self, images, step):
        mixed, partners, share, box = super()._mix(images, step)
        self.drawn.append([ops.convert_to_numpy(part) for part in (mixed, partners, share)])
        return mixed, partners, share, box


def expected_weights(drawn, labels_of, *, sample_weight=None, l2=0.0):
    """Return the weights that numpy trains on the same mixtures."""
    start = model()
    kernel, bias = (w.astype("float64") for w in start.get_weights())
    for number, (mixed, partners, share) in enumerate(drawn):
        rows = np.arange(number % 4 * 4, number % 4 * 4 + 4)
        inputs = mixed.reshape(4, -1).astype("float64")
        weights = np.ones(4) if sample_weight is None else sample_weight[rows]
        logits = inputs @ kernel + bias
        found = np.exp(logits - logits.max(1, keepdims=True))
        found /= found.sum(1, keepdims=True)
        one = (share * weights)[:, None], labels_of(rows)
        other = ((1 - share) * weights[partners])[:, None], labels_of(rows[partners])
        slope = sum(weight * (found - target) for weight, target in (one, other)) / 4
        kernel, bias = (
            kernel - 0.1 * (inputs.T @ slope + 2 * l2 * kernel),
            bias - 0.1 * slope.sum(0),
        )
    return kernel, bias


def one_hot(rows):
    return np.eye(3)[LABELS[rows]]


@pytest.mark.tf_only
@pytest.mark.parametrize(
    "kind", [{"cutmix": 0.0}, {"mixup": 0.0}, {}], ids=["mixup", "cutmix", "both"]
)
@pytest.mark.parametrize("weighted", [False, True])
def test_training_equals_numpy(kind, weighted):
    mixing = Recorded(**kind, seed=3)
    trained = model(run_eagerly=True, regularizer=keras.regularizers.L2(0.01))
    sample_weight = WEIGHTS if weighted else None
    fit(trained, mixing, sample_weight=sample_weight)
    assert len(mixing.drawn) == 8
    expected = expected_weights(mixing.drawn, one_hot, sample_weight=sample_weight, l2=0.01)
    for found, wanted in zip(trained.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    compiled = model(regularizer=keras.regularizers.L2(0.01))
    fit(compiled, BatchMixing(**kind, seed=3), sample_weight=sample_weight)
    for found, wanted in zip(compiled.get_weights(), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    "kind", [{"cutmix": 0.0}, {"mixup": 0.0}, {}], ids=["mixup", "cutmix", "both"]
)
def test_integer_and_one_hot_labels_train_the_same(kind):
    one, other = model(), model(loss="categorical_crossentropy")
    fit(one, BatchMixing(**kind))
    fit(other, BatchMixing(**kind), labels=np.eye(3, dtype="float32")[LABELS])
    np.testing.assert_allclose(one.get_weights()[0], other.get_weights()[0], atol=1e-6)
    plain = model()
    fit(plain)
    assert np.abs(plain.get_weights()[0] - one.get_weights()[0]).max() > 1e-3


def test_mixup_images_are_mixtures_of_which_the_own_part_is_larger():
    mixing = BatchMixing(cutmix=0.0)
    mixing._generator.start(np.uint32(7))
    drawn = mixing._mix_by(mixing._layers[0], IMAGES)
    mixed, partners, share, _ = map(ops.convert_to_numpy, drawn)
    assert share.min() >= 0.5
    share = share[:, None, None, None]
    np.testing.assert_allclose(mixed, share * IMAGES + (1 - share) * IMAGES[partners], atol=1e-5)


def test_cutmix_images_have_the_partners_box_and_its_share():
    mixing = BatchMixing(mixup=0.0)
    mixing._generator.start(np.uint32(7))
    drawn = mixing._mix_by(mixing._layers[0], IMAGES)
    mixed, partners, share, _ = map(ops.convert_to_numpy, drawn)
    own = (mixed == IMAGES).all(-1)
    assert (own | (mixed == IMAGES[partners]).all(-1)).all()
    moved = partners != np.arange(16)
    np.testing.assert_allclose(own.mean((1, 2))[moved], share[moved], atol=1e-6)


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_steps_per_execution_and_one_cycle(steps_per_execution):
    reference = model(run_eagerly=keras.backend.backend() == "tensorflow")
    fit(reference, BatchMixing(), kp.OneCycle(0.1))
    trained = model(steps_per_execution=steps_per_execution)
    history = fit(trained, kp.OneCycle(0.1), BatchMixing())
    np.testing.assert_allclose(trained.get_weights()[0], reference.get_weights()[0], atol=1e-5)
    assert "learning_rate" in history


def test_each_step_mixes_differently_and_a_seed_decides():
    def run(seed):
        trained = model()
        fit(trained, BatchMixing(seed=seed))
        return trained.get_weights()[0]

    np.testing.assert_array_equal(run(1), run(1))
    assert np.abs(run(1) - run(2)).max() > 1e-3
    mixing = BatchMixing(cutmix=0.0)
    shares = [ops.convert_to_numpy(mixing._mix(IMAGES, np.uint32(s))[2]) for s in range(3)]
    assert np.abs(shares[0] - shares[1]).max() > 1e-3 < np.abs(shares[1] - shares[2]).max()


def masks_model():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Rescaling(1 / 255), keras.layers.Conv2D(2, 1, activation="softmax")]
    segmenter = keras.Sequential([keras.Input(IMAGES.shape[1:]), *layers])
    segmenter.compile(keras.optimizers.SGD(0.0), "sparse_categorical_crossentropy")
    return segmenter


@pytest.mark.parametrize("options", [{"mixup": 0.0}, {"cutmix": 0.0}])
def test_masks_are_cut_with_the_images_and_mixed_by_their_weights(options):
    rng = np.random.default_rng(3)
    masks = (rng.random(IMAGES.shape[:3]) < 0.5).astype("int32")
    mixing, segmenter = BatchMixing(**options), masks_model()
    count = len(IMAGES)
    history = segmenter.fit(
        IMAGES, masks, batch_size=count, shuffle=False, verbose=0, callbacks=[mixing]
    )
    drawn = [ops.convert_to_numpy(part) for part in mixing._mix(IMAGES, np.uint32(0))]
    mixed, partners, share, box = drawn
    outputs = segmenter.predict(mixed, verbose=0)

    def losses(labels):
        return -np.log(np.take_along_axis(outputs, labels[..., None], axis=-1)[..., 0])

    if options == {"mixup": 0.0}:
        expected = losses(np.where(box, masks[partners], masks)).mean()
    else:
        part = share[:, None, None]
        expected = (part * losses(masks) + (1 - part) * losses(masks[partners])).mean()
    assert history.history["loss"][0] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_trains(policy):
    keras.mixed_precision.set_global_policy(policy)
    try:
        trained = model()
        history = fit(trained, BatchMixing())
        assert np.isfinite(history["loss"]).all()
    finally:
        keras.mixed_precision.set_global_policy("float32")


def test_validation_and_later_training_are_untouched():
    trained = model(metrics=["accuracy"])
    history = fit(trained, BatchMixing(), validation_data=(IMAGES, LABELS))
    loss, accuracy = trained.evaluate(IMAGES, LABELS, verbose=0)
    assert history["val_loss"][-1] == pytest.approx(loss, rel=1e-5)
    assert history["val_accuracy"][-1] == pytest.approx(accuracy)
    again = model(metrics=["accuracy"])
    again.set_weights(trained.get_weights())
    fit(trained, epochs=1)
    fit(again, epochs=1)
    np.testing.assert_array_equal(trained.get_weights()[0], again.get_weights()[0])
    assert not {"train_step", "compute_loss", "make_train_function"} & set(vars(trained))


class Interrupt(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        raise KeyboardInterrupt


def test_interrupted_run_leaves_no_mixing_in_the_next():
    trained = model()
    with pytest.raises(KeyboardInterrupt):
        fit(trained, BatchMixing(), kp.OneCycle(0.1), Interrupt())
    again = model()
    again.set_weights(trained.get_weights())
    fit(trained)
    fit(again)
    np.testing.assert_allclose(trained.get_weights()[0], again.get_weights()[0], atol=1e-7)


def test_multi_output_labels_are_mixed_too():
    inputs = keras.Input((4, 4, 3))
    flat = keras.layers.Flatten()(inputs)
    outputs = {
        "a": keras.layers.Dense(3, name="a")(flat),
        "b": keras.layers.Dense(1, name="b")(flat),
    }
    trained = keras.Model(inputs, outputs)
    crossentropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    trained.compile("sgd", loss={"a": crossentropy, "b": "mse"})
    labels = {"a": LABELS, "b": WEIGHTS}
    history = trained.fit(IMAGES, labels, verbose=0, callbacks=[BatchMixing()])
    assert np.isfinite(history.history["loss"]).all()


def test_fine_tune_takes_it():
    backbone = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Conv2D(4, 3)])
    trained = kp.transfer.classifier(backbone, 3, seed=0)
    history = kp.transfer.fine_tune(
        trained, (IMAGES, LABELS), epochs=1, frozen_epochs=1, verbose=0, callbacks=[BatchMixing()]
    )
    assert history.epoch == [0, 1]


def test_inputs_that_are_no_pictures_are_refused():
    flat = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    flat.compile(loss="mse")
    with pytest.raises(ValueError, match="BatchMixing needs one batch of images"):
        flat.fit(np.ones((4, 5)), np.ones((4, 3)), verbose=0, callbacks=[BatchMixing()])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mixup": -1}, "`mixup` must be a number from 0 to 10"),
        ({"cutmix": "x"}, "`cutmix` must be a number from 0 to 10"),
        ({"mixup": 0, "cutmix": 0}, "both 0: there is nothing to mix"),
        ({"seed": -1}, "`seed` must be a whole number >= 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchMixing(**arguments)


def test_whole_numbers_are_not_cut_off():
    mixing = BatchMixing(cutmix=0.0)
    pixels = RNG.integers(0, 255, (16, 4, 4, 3)).astype("uint8")
    mixing._generator.start(np.uint32(7))
    drawn = mixing._mix_by(mixing._layers[0], pixels)
    mixed, partners, share, _ = map(ops.convert_to_numpy, drawn)
    share = share[:, None, None, None]
    np.testing.assert_allclose(mixed, share * pixels + (1 - share) * pixels[partners], atol=1e-3)


def test_run_that_goes_on_mixes_as_the_one_that_went_through():
    whole, parts = model(), model()
    fit(whole, BatchMixing(seed=2))
    fit(parts, BatchMixing(seed=2), epochs=1)
    fit(parts, BatchMixing(seed=2), epochs=2, initial_epoch=1)
    np.testing.assert_array_equal(whole.get_weights()[0], parts.get_weights()[0])
