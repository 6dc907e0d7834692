"""The one door: what every figure takes for probabilities and labels, and what it refuses."""

import keras
import numpy as np
import pytest

import keras_practical as kp
from keras_practical import evaluation
from keras_practical.evaluation.outputs import predictions_and_labels, probabilities_of

# Also run on JAX.
pytestmark = pytest.mark.any_backend

GOOD = np.array([[0.9, 0.1], [0.2, 0.8]] * 20)
LABELS = np.array([0, 1] * 20)
FIGURES = {
    "evaluate_predictions": kp.evaluate_predictions,
    "measure_calibration": evaluation.measure_calibration,
    "temperature_of": evaluation.temperature_of,
    "dont_know_threshold": evaluation.dont_know_threshold,
    "sensitivity_at_specificity": evaluation.sensitivity_at_specificity,
}


def as_text(found):
    return repr(found) if isinstance(found, float) else str(found)


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_a_sigmoid_says_equals_two_columns(figure, dtype):
    rng = np.random.default_rng(0)
    positive = rng.uniform(size=200).astype(dtype)
    labels = (rng.uniform(size=200) < positive).astype(int)
    both = np.stack([1 - positive.astype("float64"), positive], axis=1)
    expected = as_text(figure(both, labels))
    assert as_text(figure(positive[:, None], labels)) == expected
    assert as_text(figure(positive, labels)) == expected
    assert as_text(figure(both, labels[:, None])) == expected
    assert as_text(figure(both, labels.astype("float32"))) == expected
    assert as_text(figure(both, np.eye(2)[labels])) == expected


@pytest.mark.parametrize("figure", FIGURES.values(), ids=FIGURES)
@pytest.mark.parametrize(
    ("probabilities", "labels", "match"),
    [
        (GOOD * 10 - 5, LABELS, "are not probabilities.*keras.ops.softmax"),
        (GOOD * 100, LABELS, "are not probabilities"),  # per cent
        (np.log(GOOD), LABELS, "are not probabilities"),
        (np.full((40, 3), 0.5), LABELS, "a row sums to 1.5"),
        (np.where(np.arange(40)[:, None] == 3, np.nan, GOOD), LABELS, "NaN for 1 of 40 examples"),
        (GOOD.astype(str), LABELS, "must be numbers"),
        (GOOD, np.array(["cat", "dog"] * 20), "Labels are names"),
        (GOOD, LABELS + 1, "counted from 1, pass labels - 1"),
        (GOOD, LABELS - 1, "from 0 to 1"),
        (GOOD, np.where(LABELS, -1, 0), "from 0 to 1"),
        (GOOD, LABELS * 2 - 1, "-1 and 1"),
        (GOOD, LABELS * 0.5, "fractions"),
        (GOOD, LABELS[:-1], "shapes"),
        (GOOD[:0], LABELS[:0], "at least one example"),
        (GOOD[..., None], LABELS, "one row of class probabilities"),
    ],
)
def test_what_is_something_else_is_refused_by_every_figure(figure, probabilities, labels, match):
    with pytest.raises(ValueError, match=match):
        figure(probabilities, labels)


def test_probabilities_of_half_precision_pass():
    rng = np.random.default_rng(0)
    rows = rng.dirichlet(np.ones(1000) * 0.01, 30)
    for dtype in ("float16", "bfloat16"):
        half = keras.ops.convert_to_numpy(keras.ops.cast(rows, dtype))
        found, labels = predictions_and_labels(half, np.arange(30))
        np.testing.assert_allclose(found, rows, atol=4e-3)
        assert found.dtype == "float64"
        assert labels.tolist() == list(range(30))


def test_logits_become_probabilities_without_overflow():
    logits = np.array([[1000.0, -1000.0], [-1000.0, 1000.0], [0.0, np.log(3)]])
    found = probabilities_of(logits, from_logits=True)
    np.testing.assert_allclose(found, [[1, 0], [0, 1], [0.25, 0.75]])
    one = probabilities_of(np.array([[-1000.0], [1000.0], [np.log(3)]]), from_logits=True)
    np.testing.assert_allclose(one, found)
    several = probabilities_of(logits, from_logits=True, multi_label=True)
    np.testing.assert_allclose(several, [[1, 0], [0, 1], [0.5, 0.75]])


def test_several_labels_each_by_itself():
    probabilities = np.array([[0.9, 0.8], [0.1, 0.3]])
    found, labels = predictions_and_labels(probabilities, [[1, 1], [0, 1]], multi_label=True)
    np.testing.assert_array_equal(found, probabilities)
    assert labels.tolist() == [[1, 1], [0, 1]]
    with pytest.raises(ValueError, match="are not probabilities"):
        predictions_and_labels(probabilities * 3, [[1, 1], [0, 1]], multi_label=True)
    with pytest.raises(ValueError, match="labels must be 0 or 1"):
        predictions_and_labels(probabilities, [[1, 2], [0, 1]], multi_label=True)


def test_cross_validation_of_a_model_without_probabilities_is_refused():
    class Votes:
        def predict_proba(self, inputs):
            return np.full((len(inputs), 2), 3.0)

    data = (np.zeros((20, 1)), np.arange(20) % 2)
    with pytest.raises(ValueError, match="predict_proba gives are not probabilities"):
        kp.cross_validate(lambda part: Votes(), data, folds=2, verbose=False)
