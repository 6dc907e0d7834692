"""Sensitivity at a fixed specificity, and whether its intervals keep their word."""

import numpy as np
import pytest

from keras_practical.evaluation import sensitivity_at_specificity, wilson_interval

# Also run on JAX.
pytestmark = pytest.mark.any_backend

NEGATIVE = np.arange(10) / 10
POSITIVE = np.array([0.05, 0.75, 0.85, 0.95])
SCORES = np.concatenate([NEGATIVE, POSITIVE])
LABELS = np.repeat([0, 1], [10, 4])


def test_threshold_is_the_lowest_that_spares_enough():
    # Nine of ten negatives are at or below 0.8; two positives lie above it.
    found = sensitivity_at_specificity(SCORES, LABELS, specificity=0.9)
    assert (found.threshold, found.specificity, found.sensitivity) == (0.8, 0.9, 0.5)
    assert (found.positives, found.negatives) == (4, 10)
    assert found.specificity_interval is None


def test_a_threshold_from_other_data_is_judged_as_it_stands():
    other = (np.array([0.1, 0.5, 0.7]), np.array([0, 0, 1]))
    found = sensitivity_at_specificity(SCORES, LABELS, specificity=0.9, chosen_on=other)
    assert found.threshold == 0.5
    assert found.sensitivity == 0.75
    assert found.sensitivity_interval == pytest.approx(wilson_interval(3, 4))
    assert found.specificity == 0.6
    assert found.specificity_interval == pytest.approx(wilson_interval(6, 10))
    assert "chosen on other data" in str(found)


def test_columns_of_probabilities_and_other_positive_classes():
    table = np.stack([1 - SCORES, SCORES], axis=1)
    assert sensitivity_at_specificity(table, LABELS) == sensitivity_at_specificity(SCORES, LABELS)
    turned = sensitivity_at_specificity(table[:, ::-1], 1 - LABELS, positive=0)
    assert turned == sensitivity_at_specificity(SCORES, LABELS)


@pytest.mark.parametrize("specificity", [0.8, 0.9])
def test_interval_covers_the_truth_though_the_threshold_was_chosen_on_the_same(specificity):
    from scipy.stats import norm

    rng = np.random.default_rng(0)
    truth = 1 - norm.cdf(norm.ppf(specificity) - 1.5)
    labels = np.repeat([0, 1], [50, 50])
    hits, plain = 0, 0
    for draw in range(120):
        scores = rng.normal(size=100) + 1.5 * labels
        found = sensitivity_at_specificity(scores, labels, specificity=specificity, seed=draw)
        low, high = found.sensitivity_interval
        hits += low <= truth <= high
        low, high = wilson_interval(round(found.sensitivity * 50), 50)
        plain += low <= truth <= high
    assert hits >= 108
    assert plain < hits


def test_pictures_of_one_patient_count_once():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(40) % 2, 10)
    patients = np.repeat(np.arange(40), 10)
    # All pictures of a patient get nearly the same score.
    scores = rng.normal(size=40)[patients] + labels + 0.01 * rng.normal(size=400)
    alone = sensitivity_at_specificity(scores, labels)
    grouped = sensitivity_at_specificity(scores, labels, groups=patients)
    assert grouped.sensitivity == alone.sensitivity
    width = np.ptp(grouped.sensitivity_interval) / np.ptp(alone.sensitivity_interval)
    assert width > 1.5
    other = (scores, labels)
    with_threshold = sensitivity_at_specificity(scores, labels, groups=patients, chosen_on=other)
    by_wilson = sensitivity_at_specificity(scores, labels, chosen_on=other)
    assert np.ptp(with_threshold.specificity_interval) > np.ptp(by_wilson.specificity_interval)


@pytest.mark.parametrize("groups", [None, np.repeat(np.arange(20), 2)])
@pytest.mark.parametrize("chosen_on", [None, (SCORES, LABELS)])
def test_no_miss_among_few_isn_t_certainty(groups, chosen_on):
    labels = np.repeat([0, 1], 20)
    scores = labels + np.arange(40) / 100
    found = sensitivity_at_specificity(scores, labels, groups=groups, chosen_on=chosen_on)
    assert found.sensitivity == 1.0
    low, high = found.sensitivity_interval
    assert high == pytest.approx(1.0)
    if groups is None:
        assert low == pytest.approx(wilson_interval(20, 20)[0], abs=1e-6)
    else:
        # Ten pairs say less than twenty single ones, and hardly less than ten.
        assert wilson_interval(8, 8)[0] < low < wilson_interval(20, 20)[0]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((SCORES, LABELS), {"specificity": 1.0}, "`specificity`"),
        ((SCORES, np.zeros(14)), {}, "positive and negative examples.*0 positive ones of 14"),
        ((SCORES[1:], LABELS), {}, "one label for each"),
        ((np.full((14, 2), 3.0), LABELS), {}, "are not probabilities"),
        ((np.full(14, np.nan), LABELS), {}, "14 of the numbers NaN"),
        ((SCORES, LABELS), {"groups": [1, 2]}, "2 for 14"),
        ((SCORES, LABELS), {"chosen_on": SCORES}, "pair"),
        ((np.full((14, 2), 0.5), LABELS), {"positive": 2}, "one of 2 classes"),
    ],
)
def test_wrong_arguments_are_named(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        sensitivity_at_specificity(*arguments, **options)
