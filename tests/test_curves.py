"""The curves' numbers, worked out by hand."""

import numpy as np
import pytest

from keras_practical.curves import cosine, geometric_multipliers, one_cycle


def test_cosine_leads_from_start_to_end_in_half_a_wave():
    fraction = np.array([[0.0, 1 / 3], [0.5, 1.0]])
    expected = [[2.0, 2.0 + 4.0 * 0.25], [4.0, 6.0]]
    np.testing.assert_allclose(cosine(2.0, 6.0, fraction), expected, rtol=1e-14)
    np.testing.assert_allclose(cosine(6.0, 2.0, fraction)[0, 1], 5.0, rtol=1e-14)


def test_cosine_takes_a_list():
    assert cosine(0, 1, [0, 1]).tolist() == [0.0, 1.0]


def test_one_cycle_is_fastais_by_default():
    # Up in 2 of 8 steps from 1/25; then the half wave down to 1e-5 in 6, whose end is step 8.
    low, wave = 1e-5, np.cos(np.pi * np.arange(6) / 6)
    expected = [0.04, 0.52, *(low + (1.0 - low) * (1 + wave) / 2)]
    np.testing.assert_allclose(one_cycle(8, max_learning_rate=1.0), expected, rtol=1e-14)


def test_one_cycle_by_hand():
    rates = one_cycle(
        4, max_learning_rate=8.0, start_divisor=4.0, final_divisor=2.0, warmup_fraction=0.5
    )
    np.testing.assert_allclose(rates, [2.0, 5.0, 8.0, 6.0], rtol=1e-14)
    assert rates.dtype == "float64"


@pytest.mark.parametrize(
    ("warmup_fraction", "expected"),
    [(0.0, [8.0, 6.0]), (1.0, [2.0, 5.0]), (0.5, [2.0, 8.0]), (1e-9, [2.0, 6.0])],
)
def test_one_cycle_may_only_rise_or_only_fall(warmup_fraction, expected):
    rates = one_cycle(
        2,
        max_learning_rate=8.0,
        start_divisor=4.0,
        final_divisor=2.0,
        warmup_fraction=warmup_fraction,
    )
    np.testing.assert_allclose(rates, expected, rtol=1e-8)


@pytest.mark.parametrize(("warmup_fraction", "expected"), [(0.0, 1.0), (0.25, 0.04), (1.0, 0.04)])
def test_one_cycle_of_one_step(warmup_fraction, expected):
    rates = one_cycle(1, max_learning_rate=1.0, warmup_fraction=warmup_fraction)
    assert rates.tolist() == pytest.approx([expected])


def test_one_cycle_is_proportional_to_the_peak():
    np.testing.assert_allclose(
        one_cycle(9, max_learning_rate=3.0), 3 * one_cycle(9, max_learning_rate=1.0), rtol=1e-14
    )


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"total_steps": 0}, "`total_steps` must be a whole number >= 1. Received: total_steps=0"),
        ({"total_steps": 2.5}, "`total_steps` must be a whole number >= 1"),
        ({"max_learning_rate": 0.0}, "`max_learning_rate` must be a number > 0"),
        ({"start_divisor": 0}, "`start_divisor` must be a number > 0"),
        ({"final_divisor": float("inf")}, "`final_divisor` must be a number > 0"),
        ({"warmup_fraction": 1.01}, "`warmup_fraction` must be a number from 0 to 1"),
    ],
)
def test_one_cycle_refuses_bad_arguments(arguments, text):
    with pytest.raises(ValueError, match=text):
        one_cycle(**{"total_steps": 4, "max_learning_rate": 1.0} | arguments)


@pytest.mark.parametrize(
    ("count", "earliest", "expected"),
    [
        (3, 0.01, [0.01, 0.1, 1.0]),
        (2, 0.25, [0.25, 1.0]),
        (3, 4.0, [4.0, 2.0, 1.0]),
        (1, 0.01, [1.0]),
        (4, 1, [1.0] * 4),
    ],
)
def test_geometric_multipliers_end_in_one(count, earliest, expected):
    multipliers = geometric_multipliers(count, earliest=earliest)
    np.testing.assert_allclose(multipliers, expected, rtol=1e-14)
    assert multipliers[-1] == 1.0


@pytest.mark.parametrize(
    ("count", "earliest", "text"),
    [
        (0, 0.1, "`count` must be a whole number >= 1"),
        (2, 0.0, "`earliest` must be a number > 0"),
        (1, -1.0, "`earliest` must be a number > 0"),
    ],
)
def test_geometric_multipliers_refuse_bad_arguments(count, earliest, text):
    with pytest.raises(ValueError, match=text):
        geometric_multipliers(count, earliest=earliest)
