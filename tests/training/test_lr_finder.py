"""The finder: the losses it sees, the model it leaves behind, what it says of bad curves."""

import keras
import numpy as np
import pytest
from linear_training import BATCH_SIZE, INPUTS, OWN_RATE, TARGETS, fit, linear_model

from keras_practical import LRFinderResult, find_lr
from keras_practical.training import finder_rules
from keras_practical.training.layer_rates import scale_learning_rates

# Also run on JAX.
pytestmark = pytest.mark.any_backend

RATES = 1e-3 * 1e3 ** (np.arange(20) / 20)
RAMP = {"start_learning_rate": 1e-3, "end_learning_rate": 1.0, "steps": 20, "verbose": False}
_RNG = np.random.default_rng(0)
FEATURES = _RNG.normal(size=(96, 6)).astype("float32")
LABELS = (FEATURES[:, 0] + FEATURES[:, 1] > 0).astype("int64")


def ramp_losses(rates=RATES, weights_of_rows=None):
    """Return each batch's loss while plain SGD trains the linear model at `rates`."""
    kernel, losses = np.full((2, 1), 0.5), []
    for step, rate in enumerate(rates):
        first = step * BATCH_SIZE % len(INPUTS)
        rows = slice(first, first + BATCH_SIZE)
        error = INPUTS[rows] @ kernel - TARGETS[rows]
        losses.append(float((error**2).mean()))
        kernel = kernel - rate * 2 * INPUTS[rows].T @ error / BATCH_SIZE
    return losses


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return len(INPUTS) // BATCH_SIZE

    def __getitem__(self, index):
        rows = slice(index * BATCH_SIZE, (index + 1) * BATCH_SIZE)
        return INPUTS[rows], TARGETS[rows]


def as_dataset(unknown_length=False):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices((INPUTS, TARGETS)).batch(BATCH_SIZE)
    return dataset.filter(lambda *_: True) if unknown_length else dataset


def deep_model(optimizer="adam", **options):
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input((6,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.3),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"], **options)
    return model


def everything(model):
    """Return all that a search could change, as plain values."""
    optimizer = model.optimizer
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return {
        "variables": [v.numpy().tolist() for v in model.variables],
        # Keras builds some with the first batch: those hold zeros.
        "metrics": [v.numpy().tolist() for v in model.metrics_variables if v.numpy().any()],
        "optimizer": [v.numpy().tolist() for v in optimizer.variables],
        "built": optimizer.built,
        "config": keras.optimizers.serialize(optimizer),
        "attributes": set(vars(model)),
        "optimizer attributes": set(vars(inner)),
        "functions": (id(model.train_function), id(model.test_function), id(optimizer)),
        "steps_per_execution": model.steps_per_execution,
        "random": np.random.get_state()[1].tolist(),  # noqa: NPY002
    }


@pytest.mark.parametrize("unknown_length", [False, True])
def test_find_lr_recovers_each_batchs_own_loss(unknown_length):
    # 20 steps on 7 batches: the data are read again and again.
    data = as_dataset(unknown_length)
    model = linear_model(keras.optimizers.SGD(OWN_RATE), steps_per_execution=4)
    result = find_lr(model, data, **RAMP)
    np.testing.assert_allclose(result.learning_rates, RATES, rtol=1e-12)
    seen = np.isfinite(result.losses[0])
    np.testing.assert_allclose(result.losses[0][seen], np.array(ramp_losses())[seen], rtol=1e-4)
    assert result.trained_steps == np.isfinite(result.losses).sum()


def test_find_lr_starts_each_ramp_from_the_same_state():
    model = linear_model(keras.optimizers.SGD(OWN_RATE, momentum=0.9))
    fit(model, epochs=1)
    losses = find_lr(model, as_dataset(), repeats=3, **RAMP).losses
    np.testing.assert_array_equal(losses[1:], losses[:2])


def test_find_lr_repeats_on_other_batches_of_arrays():
    model = deep_model("sgd")
    losses = find_lr(model, (FEATURES, LABELS), repeats=3, steps=10, verbose=False).losses
    assert len({*losses[:, 0].tolist()}) == 3


def test_find_lr_takes_a_py_dataset():
    # Rates too small to matter, because `fit` shuffles these batches.
    options = {"start_learning_rate": 1e-12, "end_learning_rate": 1e-11, "steps": 14}
    result = find_lr(linear_model("sgd"), Batches(), verbose=False, **options)
    expected = np.repeat(np.sort(ramp_losses([0.0] * 7)), 2)
    np.testing.assert_allclose(np.sort(result.losses[0]), expected, rtol=1e-5)


def test_find_lr_weighs_samples_and_classes():
    weights = np.linspace(0.5, 2.0, len(FEATURES)).astype("float32")
    whole = {"batch_size": len(FEATURES), "steps": 10, "verbose": False}
    model = deep_model(keras.optimizers.SGD(1.0))
    model.layers[2].rate = 0.0
    plain = find_lr(model, (FEATURES, LABELS), **whole).losses[0, 0]
    sampled = find_lr(model, (FEATURES, LABELS, weights), **whole).losses[0, 0]
    by_class = find_lr(model, (FEATURES, LABELS), class_weight={0: 1.0, 1: 3.0}, **whole)
    assert sampled != pytest.approx(plain, rel=1e-3)
    assert by_class.losses[0, 0] > 1.5 * plain


def test_find_lr_of_a_model_with_two_outputs_sums_their_losses():
    inputs = keras.Input((2,))
    ones = keras.initializers.Constant(0.5)
    outputs = [keras.layers.Dense(1, kernel_initializer=ones, name=name)(inputs) for name in "ab"]
    model = keras.Model(inputs, outputs)
    model.compile("sgd", loss=["mse", "mse"])
    options = {"steps": 10, "batch_size": len(INPUTS), "verbose": False}
    result = find_lr(model, (INPUTS, [TARGETS, TARGETS]), **options)
    error = INPUTS.sum(1, keepdims=True) * 0.5 - TARGETS
    assert result.losses[0, 0] == pytest.approx(2 * (error**2).mean(), rel=1e-4)


class OwnStep(keras.Model):
    def train_step(self, *arguments):
        found = super().train_step(*arguments)
        logs = found[0] if isinstance(found, tuple) else found
        logs = {"loss": logs["loss"] * 2} if self.tells else {"other": logs["loss"]}
        return (logs, found[1]) if isinstance(found, tuple) else logs


def own_step_model(*, tells):
    inputs = keras.Input((2,))
    half = keras.initializers.Constant(0.5)
    layer = keras.layers.Dense(1, use_bias=False, kernel_initializer=half)
    model = OwnStep(inputs, layer(inputs))
    model.tells = tells
    model.compile(keras.optimizers.SGD(OWN_RATE), loss="mse")
    return model


def test_find_lr_takes_a_custom_train_step():
    result = find_lr(own_step_model(tells=True), as_dataset(), **RAMP)
    seen = np.isfinite(result.losses[0])
    np.testing.assert_allclose(result.losses[0][seen], 2 * np.array(ramp_losses())[seen], rtol=1e-4)


def test_find_lr_refuses_a_train_step_without_a_loss():
    model = own_step_model(tells=False)
    before = everything(model)
    with pytest.raises(ValueError, match=r"must return a dictionary with `loss`.*\['other'\]"):
        find_lr(model, as_dataset(), **RAMP)
    assert everything(model) == before


def decaying():
    return keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 3, 0.5), 0.9)


OPTIMIZERS = {
    "adam": lambda: keras.optimizers.Adam(0.01),
    "schedule": decaying,
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, 0.9)),
}


@pytest.mark.parametrize("trained", [False, True], ids=["new", "trained"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_find_lr_changes_nothing_so_that_training_is_bit_equal(name, trained):
    searched, alone = deep_model(OPTIMIZERS[name]()), deep_model(OPTIMIZERS[name]())
    options = {"batch_size": 16, "epochs": 1, "verbose": 0}
    if trained:
        for model in (searched, alone):
            keras.utils.set_random_seed(5)
            model.fit(FEATURES, LABELS, **options)
    keras.utils.set_random_seed(7)
    before = everything(searched)
    find_lr(searched, (FEATURES, LABELS), repeats=2, steps=20, batch_size=16, verbose=False)
    assert everything(searched) == before
    found = searched.fit(FEATURES, LABELS, **options).history
    keras.utils.set_random_seed(7)
    assert alone.fit(FEATURES, LABELS, **options).history == found
    for one, other in zip(searched.get_weights(), alone.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("ending", ["nan", "error", "ctrl-c"])
def test_find_lr_changes_nothing_when_it_ends_badly(ending):
    model = deep_model(steps_per_execution=2)
    model.fit(FEATURES, LABELS, epochs=1, verbose=0)
    before, batches = everything(model), 0

    class Data(keras.utils.PyDataset):
        def __len__(self):
            return 6

        def __getitem__(self, index):
            nonlocal batches
            batches += 1
            if batches > 9 and ending != "nan":
                raise KeyboardInterrupt if ending == "ctrl-c" else OSError("disk on fire")
            bad = np.nan if batches > 12 else 1.0
            return FEATURES[index * 16 : index * 16 + 16] * bad, LABELS[
                index * 16 : index * 16 + 16
            ]

    if ending == "nan":
        find_lr(model, Data(), steps=20, verbose=False)
    else:
        with pytest.raises((KeyboardInterrupt, Exception)):
            find_lr(model, Data(), steps=20, verbose=False)
    assert everything(model) == before


def test_find_lr_keeps_the_rates_by_layer():
    model = linear_model(keras.optimizers.SGD(OWN_RATE), kernel_count=2)
    scale_learning_rates(model.optimizer, [model.trainable_variables], [1e-6])
    result = find_lr(model, as_dataset(), **RAMP)
    first, second = result.losses[0, 0], result.losses[0, 7]  # The same batch, hardly trained.
    assert second == pytest.approx(first, rel=1e-3)
    before = model.get_weights()
    fit(model, epochs=1)
    np.testing.assert_allclose(model.get_weights(), before, atol=1e-5)


def test_find_lr_leaves_the_order_of_load_images_alone():
    from keras_practical import load_images

    pictures = _RNG.integers(0, 255, (40, 4, 4, 3)).astype("uint8")
    data = load_images((pictures, np.arange(40) % 2), batch_size=8, verbose=False).train
    model = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Flatten()])
    model.add(keras.layers.Dense(2, activation="softmax"))
    model.compile("sgd", "sparse_categorical_crossentropy")
    first, second = ([labels.numpy().tolist() for _, labels in data] for _ in range(2))
    data.source.order.set_epoch(0)
    find_lr(model, data, steps=11, verbose=False)
    assert [labels.numpy().tolist() for _, labels in data] == first != second


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"start_learning_rate": 0}, "`start_learning_rate` must be a number > 0"),
        ({"end_learning_rate": 1e-9}, "`end_learning_rate` must be greater than"),
        ({"steps": 9}, "`steps` must be a whole number >= 10"),
        ({"repeats": 0}, "`repeats` must be a whole number >= 1"),
        ({"stop_factor": -1.0}, "`stop_factor` must be a number > 0"),
        ({"data": iter([])}, "`data` can be read only once"),
        ({"model": keras.Sequential([keras.layers.Dense(1)])}, "must be built and compiled"),
    ],
)
def test_find_lr_refuses_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        find_lr(**{"model": linear_model("sgd"), "data": (INPUTS, TARGETS)} | arguments)


def curve(losses):
    return LRFinderResult.of(np.geomspace(1e-7, 10, 100), np.array(losses)[None], seconds=0.0)


def falling_then_exploding():
    exponents = np.linspace(-7, 1, 100)
    return np.where(exponents < -1, 2.3 - 1.5 / (1 + np.exp(-3 * (exponents + 3))), 8.0)


def test_result_of_a_good_curve_suggests_a_rate_on_its_slope():
    result = curve(falling_then_exploding())
    assert result.problem is None
    assert 1e-5 < result.learning_rate < 1e-1
    assert result.supports(result.learning_rate)
    assert not result.supports(5.0)
    assert repr(result).startswith("learning rate ")
    assert set(result.suggestions) == {"valley", "steepest", "minimum", "slide"}


@pytest.mark.parametrize(
    ("losses", "reason"),
    [
        (np.full(100, 0.7), "never falls clearly"),
        (0.7 + 0.2 * np.random.default_rng(0).normal(size=100), "never falls clearly"),
        (np.r_[0.7, 5.0, np.full(98, np.nan)], "exploded after 2 steps"),
        (np.linspace(0.7, 2.0, 100), "never falls clearly"),
    ],
    ids=["flat", "noise", "explodes", "rises"],
)
def test_result_of_a_bad_curve_says_so_instead_of_a_number(losses, reason):
    result = curve(losses)
    assert result.learning_rate is None
    assert result.suggestions == {}
    assert reason in result.problem
    assert repr(result).startswith("no learning rate: ")
    assert "no trustworthy answer" in result.plot().get_title()


def test_result_of_several_ramps_has_their_mean_and_spread():
    one = falling_then_exploding()
    rates = np.geomspace(1e-7, 10, 100)
    shifted = np.r_[one[5:], one[-5:]]
    result = LRFinderResult.of(rates, np.stack([one, shifted]), seconds=0.0)
    separate = [LRFinderResult.of(rates, row[None], seconds=0.0) for row in (one, shifted)]
    valleys = [each.learning_rate for each in separate]
    assert result.learning_rate == pytest.approx(np.sqrt(np.prod(valleys)))
    assert result.spreads["valley"] == pytest.approx(max(valleys) / min(valleys))
    assert "between 2 ramps" in repr(result)


def test_plot_marks_the_suggestions_on_a_logarithmic_axis():
    result = curve(falling_then_exploding())
    ax = result.plot()
    assert ax.get_xscale() == "log"
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels[0] == f"valley {result.learning_rate:.2g}"


def test_smooth_is_the_corrected_moving_average():
    # 0.5 x 4 / 0.5; (0.5 x 2 + 0.5 x 1) / 0.75; (0.5 x 1.5 + 0.5 x 8) / 0.875.
    expected = [4.0, 2.0, 4.75 / 0.875]
    np.testing.assert_allclose(finder_rules.smooth([4.0, 1.0, 8.0], beta=0.5), expected)


def test_rules_on_a_curve_whose_answers_are_known():
    # Falls along a parabola in log10(rate) from 1e-6 to its lowest at 1e-1, then rises steeply.
    exponents = np.linspace(-6, 1, 71)
    losses = 1 + np.where(exponents < -1, (exponents + 1) ** 2 / 25, (exponents + 1) ** 4)
    rates = 10.0**exponents
    assert finder_rules.minimum(rates, losses) == pytest.approx(1e-2)
    assert finder_rules.steepest(rates, losses) == pytest.approx(1e-6)
    # 51 falling losses, from step 0 to 50: a third and a half of a third on, 16 + 8 = 24.
    assert finder_rules.valley(rates, losses) == pytest.approx(10 ** exponents[24])


def test_slide_stops_where_the_slopes_become_alike():
    rates = np.geomspace(1e-4, 1.0, 9)
    losses = np.array([1.0, 1, 1, 1, 1, 1, 2, 4, 8])
    # Slopes: 0 up to step 4, then 0.5, 1.5, 3, 4. Window 2: (8, 6), (7, 5), (6, 4), (5, 3) differ;
    # (4, 2) don't, so the last left end that differed is step 3.
    assert finder_rules.slide(rates, losses, window=2) == pytest.approx(rates[3])
