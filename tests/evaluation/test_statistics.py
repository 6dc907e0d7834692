"""Intervals, comparison, calibration and the threshold against numbers worked out by hand."""

import keras
import numpy as np
import pytest
from scipy import stats

import keras_practical as kp
from keras_practical.evaluation import calibration
from keras_practical.utils.intervals import auc_interval, confusion_interval, mean_interval

# Also run on JAX.
pytestmark = pytest.mark.any_backend

QUIET = {"verbose": False}


def chances(first, classes=2):
    """Return rows of probabilities whose first column is given."""
    first = np.asarray(first, "float64")
    rest = np.repeat((1 - first)[:, None] / (classes - 1), classes - 1, axis=1)
    return np.concatenate([first[:, None], rest], axis=1)


def two_models(only_a, only_b, both, neither):
    """Return two evaluations that part on so many examples."""
    n = only_a + only_b + both + neither
    labels = np.arange(n) % 2
    right_a = np.arange(n) < only_a + both
    right_b = (np.arange(n) >= only_a) & (np.arange(n) < only_a + both + only_b)

    def found(right):
        return np.eye(2)[np.where(right, labels, 1 - labels)] * 0.8 + 0.1

    evaluations = [kp.evaluate_predictions(found(r), labels) for r in (right_a, right_b)]
    return evaluations


# Evaluation


def test_evaluation_equals_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    probabilities = rng.dirichlet(np.ones(4), 200) + 0.5 * np.eye(4)[labels]
    probabilities /= probabilities.sum(1, keepdims=True)
    found = kp.evaluate_predictions(probabilities, labels)
    said = probabilities.argmax(1)
    assert found.balanced_accuracy == pytest.approx(metrics.balanced_accuracy_score(labels, said))
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, said, average="macro"))
    assert found.loss == pytest.approx(metrics.log_loss(labels, probabilities))
    expected = metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    assert found.roc_auc == pytest.approx(expected)
    precision = metrics.precision_score(labels, said, average=None)
    np.testing.assert_allclose(found.precision, precision)
    for value, (low, high) in (
        (found.balanced_accuracy, found.balanced_accuracy_interval),
        (found.macro_f1, found.macro_f1_interval),
        (found.loss, found.loss_interval),
        (found.roc_auc, found.roc_auc_interval),
    ):
        assert low < value < high


def test_evaluation_of_several_labels_equals_scikit_learn():
    from sklearn import metrics

    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, (100, 3))
    probabilities = np.clip(0.3 * labels + 0.7 * rng.random((100, 3)), 0, 1)
    found = kp.evaluate_predictions(probabilities, labels, multi_label=True)
    said = probabilities >= 0.5
    assert found.accuracy == metrics.accuracy_score(labels, said)
    assert found.macro_f1 == pytest.approx(metrics.f1_score(labels, said, average="macro"))
    assert found.roc_auc == pytest.approx(metrics.roc_auc_score(labels, probabilities))
    np.testing.assert_allclose(found.recall, metrics.recall_score(labels, said, average=None))
    assert found.class_counts == tuple(labels.sum(0))


def test_evaluate_several_labels_through_a_model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Activation("sigmoid")])
    logits = np.array([[2.0, -2.0, 2.0], [-2.0, -2.0, 2.0]])
    labels = np.array([[1, 0, 1], [1, 0, 1]])
    found = kp.evaluate(model, (logits, labels), multi_label=True, **QUIET)
    assert (found.accuracy, found.n) == (0.5, 2)
    assert found.recall == (0.5, pytest.approx(np.nan, nan_ok=True), 1.0)
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        kp.evaluate(model, (logits, labels + 1), multi_label=True, **QUIET)
    linear = keras.Sequential([keras.Input((3,)), keras.layers.Identity()])
    with pytest.raises(ValueError, match="not probabilities"):
        kp.evaluate(linear, (logits, labels), multi_label=True, **QUIET)


def test_evaluation_is_the_same_for_the_same_seed():
    rng = np.random.default_rng(0)
    probabilities, labels = rng.dirichlet(np.ones(3), 50), rng.integers(0, 3, 50)
    assert kp.evaluate_predictions(probabilities, labels) == kp.evaluate_predictions(
        probabilities, labels
    )
    other = kp.evaluate_predictions(probabilities, labels, seed=1)
    assert other != kp.evaluate_predictions(probabilities, labels)


# Intervals


def test_interval_of_a_mean_of_bell_shaped_values_is_students():
    values = np.random.default_rng(0).normal(3.0, 2.0, 400)
    low, high = mean_interval(values)
    student = stats.ttest_1samp(values, 0).confidence_interval()
    np.testing.assert_allclose((low, high), (student.low, student.high), atol=0.03)


def test_interval_of_one_value_is_unknown():
    assert np.isnan(mean_interval(np.array([1.0]))).all()


def test_interval_of_a_perfect_score_has_width():
    def accuracy(matrices):
        return np.trace(matrices, axis1=1, axis2=2) / matrices.sum((1, 2))

    low, high = confusion_interval(np.diag([10, 10]), accuracy)
    assert 0.75 < low < 0.95
    assert high > 0.99
    assert auc_interval(1.0, 10, 10)[0] < 0.95
    assert auc_interval(1.0, 10, 10)[1] == 1.0
    assert auc_interval(0.0, 10, 10)[0] == 0.0


def test_auc_interval_equals_newcombes_example():
    """The bounds solve (found - area)² = z² variance(area), Hanley and McNeil's variance."""
    auc, positives, negatives = 0.85, 30, 70
    spread = (positives + negatives) / 2 - 1
    for area in auc_interval(auc, positives, negatives):
        shape = 1 + spread * ((1 - area) / (2 - area) + area / (1 + area))
        variance = area * (1 - area) * shape / (positives * negatives)
        assert (auc - area) ** 2 == pytest.approx(stats.norm.ppf(0.975) ** 2 * variance, rel=1e-4)


@pytest.mark.parametrize("n", [20, 100])
def test_intervals_cover_the_truth_about_as_often_as_they_say(n):
    """A small version of benchmarks/interval_coverage.py."""
    rng = np.random.default_rng(3)
    right, draws, hits = np.array([0.9, 0.8]), 300, 0
    truth = right.mean()

    def balanced(matrices):
        return (np.diagonal(matrices, axis1=1, axis2=2) / matrices.sum(2)).mean(1)

    for draw in range(draws):
        k = rng.binomial(n // 2, right)
        low, high = confusion_interval(
            np.array([[k[0], n // 2 - k[0]], [n // 2 - k[1], k[1]]]), balanced, seed=draw
        )
        hits += low <= truth <= high
    assert 0.91 <= hits / draws <= 0.985


# Comparison


def test_mcnemar_equals_the_binomial_test():
    first, second = two_models(only_a=3, only_b=12, both=80, neither=5)
    found = kp.compare(first, second, names=("old", "new"))
    assert (found.only_first_right, found.only_second_right, found.n) == (3, 12, 100)
    assert found.difference == pytest.approx(0.09)
    assert found.p_value == pytest.approx(2 * stats.binom.cdf(3, 15, 0.5))
    assert found.real
    low, high = found.difference_interval
    assert 0.005 < low < 0.03
    assert 0.15 < high < 0.19
    assert "new is really better" in str(found)


def test_comparison_without_a_real_difference_says_so():
    found = kp.compare(*two_models(only_a=4, only_b=6, both=85, neither=5))
    assert not found.real
    assert "can't tell which is better" in str(found)
    assert "some 1,960 could" in str(found)  # 2.8² x 0.1 / 0.02²
    same = kp.compare(*two_models(only_a=0, only_b=0, both=90, neither=10))
    assert same.p_value == 1.0
    assert "right on the same examples" in str(same)


@pytest.mark.tf_only
def test_compare_pairs_also_shuffled_data():
    import tensorflow as tf

    inputs = np.eye(2)[np.arange(100) % 2] * 2.0
    labels = np.arange(100) % 2
    good = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    poor = keras.Sequential(
        [keras.Input((2,)), keras.layers.Rescaling(-1.0), keras.layers.Softmax()]
    )
    data = tf.data.Dataset.from_tensor_slices((inputs, labels)).shuffle(100).batch(7)
    found = kp.compare(poor, good, data, **QUIET)
    assert (found.only_first_right, found.only_second_right) == (0, 100)


def test_compare_names_what_is_wrong():
    first, second = two_models(1, 1, 8, 0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Softmax()])
    with pytest.raises(ValueError, match="two models and `data`"):
        kp.compare(first, model)
    with pytest.raises(ValueError, match="two models and `data`"):
        kp.compare(model, model)
    other = kp.evaluate_predictions(second.probabilities, 1 - second.labels)
    with pytest.raises(ValueError, match="the same examples"):
        kp.compare(first, other)
    with pytest.raises(ValueError, match="`names` must be two"):
        kp.compare(first, second, names=("A",))


# Calibration


def test_calibration_error_by_hand():
    probabilities = chances([0.95] * 10 + [0.65] * 10)
    labels = np.array([0] * 9 + [1] + [0] * 4 + [1] * 6)
    found = calibration.measure_calibration(probabilities, labels, bins=10)
    assert found.error == pytest.approx((abs(0.95 - 0.9) + abs(0.65 - 0.4)) / 2)
    np.testing.assert_allclose(found.confidences, (0.65, 0.95))
    np.testing.assert_allclose(found.accuracies, (0.4, 0.9))
    assert found.counts == (10, 10)


def test_calibrated_model_passes_and_overconfident_one_does_not():
    rng = np.random.default_rng(0)
    alarms = 0
    for _ in range(40):
        sure = rng.uniform(0.5, 1.0, 500)
        honest = (rng.random(500) > sure).astype(int)
        found = calibration.measure_calibration(chances(sure), honest)
        alarms += found.error > found.error_by_chance
    assert alarms <= 6  # 5 % are expected: two; more than six come once in 300 times.
    exact = calibration.measure_calibration(
        chances(np.full(1000, 0.75)), (np.arange(1000) % 4 == 0).astype(int)
    )
    assert "no more than chance" in str(exact)
    boasting = calibration.measure_calibration(chances(np.full(500, 0.99)), honest)
    assert "overconfident by" in str(boasting)
    modest = calibration.measure_calibration(chances(np.full(500, 0.55)), np.zeros(500, int))
    assert "underconfident by 45.0 points" in str(modest)
    assert kp.plots.reliability(found).get_ylabel() == "part that is right"


def test_temperature_is_the_one_that_was_applied():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (20_000, 3))
    true = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = (true.cumsum(1) < rng.random((20_000, 1))).sum(1)
    sharp = np.exp(2.5 * logits) / np.exp(2.5 * logits).sum(1, keepdims=True)
    assert calibration.temperature_of(sharp, labels) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize("units", [1, 3])
def test_temperature_model_divides_logits_and_saves(tmp_path, units):
    activation = "sigmoid" if units == 1 else "softmax"
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation=activation)])
    inputs = np.random.default_rng(0).normal(size=(10, 4))
    softer = calibration.with_temperature(model, 3.0)
    logits = inputs @ model.layers[-1].kernel.numpy() + model.layers[-1].bias.numpy()
    expected = 1 / (1 + np.exp(-logits / 3))
    if units == 3:
        expected = np.exp(logits / 3) / np.exp(logits / 3).sum(1, keepdims=True)
    np.testing.assert_allclose(softer.predict(inputs, verbose=0), expected, atol=1e-5)
    softer.save(tmp_path / "softer.keras")
    loaded = keras.models.load_model(tmp_path / "softer.keras")
    np.testing.assert_allclose(loaded.predict(inputs, verbose=0), expected, atol=1e-5)


def test_temperature_scaling_mends_an_overconfident_model(capsys):
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (4000, 2))
    labels = (rng.random(4000) > 1 / (1 + np.exp(logits[:, 1] - logits[:, 0]))).astype(int)
    boasting = keras.Sequential(
        [keras.Input((2,)), keras.layers.Rescaling(4.0), keras.layers.Softmax()]
    )
    mended = kp.evaluation.temperature_scaled(boasting, (logits[:2000], labels[:2000]))
    assert "overconfident" in capsys.readouterr().out
    before = kp.evaluate(boasting, (logits[2000:], labels[2000:]), **QUIET)
    after = kp.evaluate(mended, (logits[2000:], labels[2000:]), **QUIET)
    assert after.accuracy == before.accuracy
    assert after.loss < before.loss - 0.2
    found = calibration.measure_calibration(after.probabilities, after.labels)
    assert found.error < 0.05


# "Don't know"


def test_threshold_answers_as_much_as_the_precision_allows():
    probabilities = chances([0.99] * 50 + [0.9] * 30 + [0.7] * 20)
    labels = np.array([0] * 50 + [0] * 29 + [1] + [0] * 10 + [1] * 10)
    found = kp.evaluation.dont_know_threshold(probabilities, labels, precision=0.98)
    assert (found.threshold, found.answered) == (0.9, 80)
    assert found.precision == pytest.approx(79 / 80)
    assert found.coverage == 0.8
    everything = kp.evaluation.dont_know_threshold(probabilities, labels, precision=0.8)
    assert everything.coverage == 1.0
    assert "answers from 90.0 % confidence on: 80.0 % of 100 examples" in str(found)


def test_threshold_with_a_guarantee_is_stricter_and_keeps_it():
    rng = np.random.default_rng(0)
    broken = 0
    for _ in range(200):
        sure = rng.uniform(0.5, 1.0, 400)
        labels = (rng.random(400) > sure).astype(int)
        found = kp.evaluation.dont_know_threshold(
            chances(sure), labels, precision=0.9, confidence=0.95
        )
        if found.threshold is not None:
            true_precision = (found.threshold + 1.0) / 2  # Confidence is uniform above it.
            broken += true_precision < 0.9
    assert broken / 200 <= 0.08
    plain = kp.evaluation.dont_know_threshold(chances(sure), labels, precision=0.9)
    assert plain.coverage >= found.coverage


def test_precision_out_of_reach_is_said():
    found = kp.evaluation.dont_know_threshold(chances([0.9] * 4), np.ones(4, int), precision=0.9)
    assert found.threshold is None
    assert found.coverage == 0.0
    assert "no confidence is enough" in str(found)


@pytest.mark.parametrize(
    "call",
    [
        lambda: calibration.measure_calibration(np.zeros((3, 2)), np.zeros(2, int)),
        lambda: calibration.temperature_of(np.zeros(3), np.zeros(2, int)),
        lambda: kp.evaluation.dont_know_threshold(np.zeros((0, 2)), np.zeros(0, int)),
    ],
)
def test_shapes_that_do_not_fit_are_named(call):
    with pytest.raises(ValueError, match="Received: shapes"):
        call()


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda p, y: calibration.measure_calibration(p, y, bins=0), "`bins` must be"),
        (
            lambda p, y: kp.evaluation.dont_know_threshold(p, y, precision=1.2),
            "`precision` must be",
        ),
        (
            lambda p, y: kp.evaluation.dont_know_threshold(p, y, confidence=0.1),
            "`confidence` must be",
        ),
        (lambda p, y: calibration.with_temperature(keras.Sequential(), 0), "`temperature` must"),
    ],
)
def test_bad_arguments_are_named(call, match):
    with pytest.raises(ValueError, match=match):
        call(chances([0.9, 0.8]), np.array([0, 1]))


def test_calibration_draws_itself():
    found = calibration.measure_calibration(np.array([[0.7, 0.3]] * 20), np.zeros(20, int))
    assert found.plot().get_xlabel() == "confidence"
