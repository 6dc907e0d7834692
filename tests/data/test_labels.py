"""Labels of every kind that people have: class numbers, or a sentence that says what to do."""

import numpy as np
import pytest

from keras_practical.data.labels import are_class_numbers, class_numbers

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2, 1], [0, 2, 1]),
        ([[0], [2], [1]], [0, 2, 1]),
        ([0.0, 2.0, 1.0], [0, 2, 1]),
        ([False, True, True], [0, 1, 1]),
        ([[1, 0, 0], [0, 0, 1]], [0, 2]),
        ([[0.0, 1.0, 0.0]], [1]),
    ],
)
def test_what_is_clear_becomes_class_numbers(labels, expected):
    found = class_numbers(np.array(labels), classes=3)
    assert found.dtype == np.int64
    assert found.tolist() == expected


def test_shares_count_as_their_largest_and_that_is_said():
    with pytest.warns(UserWarning, match="shares of the classes"):
        found = class_numbers(np.array([[0.9, 0.05, 0.05], [0.1, 0.1, 0.8]]))
    assert found.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.05, 0.95], "have fractions"),
        ([1.0, np.nan], "NaN"),
        ([-1, 1, 1], r"\(labels \+ 1\) // 2"),
        ([1, 2, 3], "counted from 1, pass labels - 1"),
        ([0, 7], "from 0 to 2 for a model of 3 classes"),
        ([-2, 0], "from 0"),
        (["cat", "dog"], "class_names.index"),
        ([[1, 1, 0], [0, 0, 0]], "multi_label=True"),
        ([[0.2, 0.2, 0.2]], "add up to 1"),
        ([[1, 0], [0, 1]], "2 columns, the model 3"),
        ([[[1]]], r"shape \(1, 1, 1\)"),
    ],
)
def test_what_is_not_is_refused_with_a_remedy(labels, message):
    with pytest.raises(ValueError, match=message):
        class_numbers(np.array(labels), classes=3)


def test_numbers_to_predict_are_no_classes():
    assert are_class_numbers(np.array([0, 1, 999]))
    assert not are_class_numbers(np.array([3_000_000.0, 100_000.0]))
    assert not are_class_numbers(np.array([0.5, 1.0]))
    assert not are_class_numbers(np.array([1.0, np.nan]))
