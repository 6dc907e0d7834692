"""The curves' numbers, worked out by hand."""

import re

import numpy as np
import pytest
from linear_training import cycle

from keras_practical.training.curves import (
    Segment,
    anneal,
    cosine_restarts,
    evaluate_segments,
    flat_cosine,
    one_cycle,
    three_phase,
)
from keras_practical.training.layer_rates import geometric_multipliers

# From 8 to 2: what most cases below fall through. Halfway, half a cosine and a line are at 5; after
# one and two thirds, the cosine has done 1/4 and 3/4 of the way: 6.5 and 3.5.
FALL = {"final_divisor": 4.0}


def assert_values(segments, expected):
    """Fail unless the run of `len(expected)` steps has these values."""
    values = evaluate_segments(segments, len(expected))
    np.testing.assert_allclose(values, expected, rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "power", "third", "half"),
    [
        ("linear", 1.0, 2 + 14 / 3, 9.0),
        ("cosine", 1.0, 5.5, 9.0),  # cos(60 degrees) is 1/2, so a third of the way does 1/4.
        ("exponential", 1.0, 4.0, 32**0.5),  # 8 times in all: 2 times in each third.
        ("polynomial", 1.0, 2 + 14 / 3, 9.0),
        ("polynomial", 2.0, 2 + 14 * 5 / 9, 12.5),  # (2/3)^2 and (1/2)^2 are left.
        ("polynomial", 0.5, 16 - 14 * (2 / 3) ** 0.5, 16 - 14 * 0.5**0.5),
    ],
)
def test_anneal_leads_from_start_to_end(shape, power, third, half):
    fraction = np.array([[0.0, 1 / 3], [0.5, 1.0]])
    values = anneal(fraction, start=2.0, end=16.0, shape=shape, power=power)
    np.testing.assert_allclose(values, [[2.0, third], [half, 16.0]], rtol=1e-14)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ("linear", 6 - 4 / 3),
        ("cosine", 5.0),
        ("exponential", 6 / 3 ** (1 / 3)),
        ("polynomial", 2 + 4 * 4 / 9),  # (2/3)^2 is left, as in Keras's PolynomialDecay.
    ],
)
def test_anneal_falls_too(shape, expected):
    value = anneal(1 / 3, start=6.0, end=2.0, shape=shape, power=2.0)
    np.testing.assert_allclose(value, expected, rtol=1e-14)


def test_anneal_takes_a_list_and_is_a_cosine_by_default():
    values = anneal([0, 1 / 3, 1], start=0, end=4)
    np.testing.assert_allclose(values, [0.0, 1.0, 4.0], rtol=1e-14)
    assert values.dtype == "float64"


def test_evaluate_segments_composes_shapes():
    segments = [
        Segment(0.25, 0.0, 1.0, "linear"),
        Segment(0.25, 1.0, 4.0, "exponential"),
        Segment(0.25, 4.0, 2.0, "cosine"),
        Segment(0.25, 2.0, 0.0, "polynomial", power=2.0),
    ]
    # Two steps each, at the beginning of a segment and halfway.
    assert_values(segments, [0.0, 0.5, 1.0, 2.0, 4.0, 3.0, 2.0, 0.5])


@pytest.mark.parametrize("expected", [[1.0], [1.0, 5.0], [1.0, 1.0, 5.0], [1.0, 1.0, 5.0, 5.0]])
def test_evaluate_segments_gives_a_boundary_to_the_later_one(expected):
    assert_values([Segment(0.5, 1.0, 1.0), Segment(0.5, 5.0, 5.0)], expected)


# In float64, 0.1 + 0.1 + 0.1 > 0.3 and eight of them are < 0.8; 0.3333333 is what users write.
@pytest.mark.parametrize(("length", "count"), [(0.1, 10), (1 / 7, 7), (0.3333333, 3)])
def test_evaluate_segments_bears_rounded_lengths(length, count):
    segments = [Segment(length, index, index) for index in range(count)]
    for steps_each in (1, 3, 100):
        assert_values(segments, np.repeat(np.arange(count), steps_each))


@pytest.mark.parametrize("position", [0, 1, 2])
def test_evaluate_segments_passes_over_a_segment_without_length(position):
    segments = [Segment(0.5, 1.0, 3.0, "linear"), Segment(0.5, 3.0, 1.0, "linear")]
    segments.insert(position, Segment(0.0, 9.0, 9.0))
    assert_values(segments, [1.0, 2.0, 3.0, 2.0])


@pytest.mark.parametrize("lengths", [[], [0.5], [0.5, 0.4], [0.6, 0.6], [0.0, 0.0]])
def test_evaluate_segments_refuses_lengths_that_do_not_fill_the_run(lengths):
    text = f"lengths of `segments` must add up to 1. Received: {lengths}"
    with pytest.raises(ValueError, match=re.escape(text)):
        evaluate_segments([Segment(length, 1.0, 1.0) for length in lengths], 4)


@pytest.mark.parametrize("total_steps", [0, -1, 2.5, None])
def test_evaluate_segments_refuses_a_bad_number_of_steps(total_steps):
    text = f"`total_steps` must be a whole number >= 1. Received: total_steps={total_steps}"
    with pytest.raises(ValueError, match=text):
        evaluate_segments([Segment(1.0, 1.0, 1.0)], total_steps)


def test_one_cycle_is_fastais_by_default():
    # Up in 2 of 8 steps from 1/25; then the half wave down to 1e-5 in 6, whose end is step 8.
    low, wave = 1e-5, np.cos(np.pi * np.arange(6) / 6)
    assert_values(one_cycle(1.0), [0.04, 0.52, *(low + (1.0 - low) * (1 + wave) / 2)])


def test_one_cycle_mirrors_itself_for_the_momentum():
    segments = one_cycle(0.85, start_divisor=0.85 / 0.95, final_divisor=0.85 / 0.95)
    # Down in 2 steps, then up in 6; cos(30 degrees) is the square root of 3/4.
    near = 0.05 * 0.75**0.5
    assert_values(segments, [0.95, 0.9, 0.85, 0.9 - near, 0.875, 0.9, 0.925, 0.9 + near])


def test_one_cycle_by_hand():
    segments = one_cycle(8.0, start_divisor=4.0, final_divisor=2.0, warmup_fraction=0.5)
    assert_values(segments, [2.0, 5.0, 8.0, 6.0])


@pytest.mark.parametrize(
    ("warmup_fraction", "expected"),
    [(0.0, [8.0, 6.0]), (1.0, [2.0, 5.0]), (0.5, [2.0, 8.0]), (1e-8, [2.0, 6.0])],
)
def test_one_cycle_may_only_rise_or_only_fall(warmup_fraction, expected):
    form = {"start_divisor": 4.0, "final_divisor": 2.0, "warmup_fraction": warmup_fraction}
    np.testing.assert_allclose(cycle(2, 8.0, **form), expected, rtol=1e-7)


@pytest.mark.parametrize(("warmup_fraction", "expected"), [(0.0, 1.0), (0.25, 0.04), (1.0, 0.04)])
def test_one_cycle_of_one_step(warmup_fraction, expected):
    assert_values(one_cycle(1.0, warmup_fraction=warmup_fraction), [expected])


def test_one_cycle_is_proportional_to_the_peak():
    np.testing.assert_allclose(cycle(9, 3.0), 3 * cycle(9, 1.0), rtol=1e-14)


def test_flat_cosine_falls_in_the_last_quarter_by_default():
    # The fall to 1e-5 takes 2 of 8 steps, of which the first is still at the top.
    assert_values(flat_cosine(1.0), [1.0] * 7 + [(1.0 + 1e-5) / 2])


@pytest.mark.parametrize(
    ("flat_fraction", "expected"),
    [(0.25, [8.0, 8.0, 6.5, 3.5]), (0.0, [8.0, 5.0]), (1.0, [8.0, 8.0]), (0.5, [8.0, 8.0])],
)
def test_flat_cosine_by_hand(flat_fraction, expected):
    assert_values(flat_cosine(8.0, flat_fraction=flat_fraction, **FALL), expected)


@pytest.mark.parametrize(
    ("cycles", "cycle_multiplier", "expected"),
    [
        (1, 2.0, [8.0, 5.0]),
        (2, 1.0, [8.0, 6.5, 3.5, 8.0, 6.5, 3.5]),
        (2, 2.0, [8.0, 8.0, 5.0]),
        (2, 0.5, [8.0, 5.0, 8.0]),
        # Falls of 1, 2 and 4 steps; a quarter of a half wave is 3 cos(45 degrees) above 5.
        (3, 2.0, [8.0, 8.0, 5.0, 8.0, 5.0 + 3 * 0.5**0.5, 5.0, 5.0 - 3 * 0.5**0.5]),
    ],
)
def test_cosine_restarts_by_hand(cycles, cycle_multiplier, expected):
    segments = cosine_restarts(8.0, cycles=cycles, cycle_multiplier=cycle_multiplier, **FALL)
    assert_values(segments, expected)


def test_cosine_restarts_falls_three_times_to_almost_nothing_by_default():
    assert cosine_restarts(1.0) == [Segment(n / 7, 1.0, 1e-5) for n in (1.0, 2.0, 4.0)]


def test_cosine_restarts_takes_a_whole_multiplier_far():
    # 4^64 is no int64. The lengths' sum is 4/3 of the last one.
    last = cosine_restarts(1.0, cycles=65, cycle_multiplier=4)[-1]
    assert last.length == pytest.approx(0.75, rel=1e-14)


def test_three_phase_is_smiths_by_default():
    # 9 of 20 steps up from 1/10, 9 down, 2 from there to 1/1000.
    up = np.arange(1, 10) / 10
    assert_values(three_phase(1.0), [*up, *(up[::-1] + 0.1), 0.1, 0.0505])


@pytest.mark.parametrize(
    ("annihilation_fraction", "expected"),
    [
        (0.2, [2.0, 3.5, 5.0, 6.5, 8.0, 6.5, 5.0, 3.5, 2.0, 1.25]),
        (0.5, [2.0, 8.0, 2.0, 1.25]),
        (0.0, [2.0, 5.0, 8.0, 5.0]),
        (1.0, [2.0, 1.25]),
    ],
)
def test_three_phase_by_hand(annihilation_fraction, expected):
    # From 2 to 8 and back; then to 0.5, where halfway is 1.25.
    form = {"start_divisor": 4.0, "final_divisor": 16.0}
    segments = three_phase(8.0, annihilation_fraction=annihilation_fraction, **form)
    assert_values(segments, expected)


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


@pytest.mark.parametrize("make", [Segment, lambda length, **rest: anneal(0.5, **rest)])
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"shape": "spline"}, "`shape` must be one of 'linear', 'cosine', .* shape='spline'"),
        ({"power": 0.0}, "`power` must be a number > 0"),
        ({"shape": "exponential", "start": 0.0}, "`start` must be a number > 0"),
        ({"shape": "exponential", "end": -1.0}, "`end` must be a number > 0"),
    ],
)
def test_segment_and_anneal_refuse_bad_arguments(make, arguments, text):
    with pytest.raises(ValueError, match=text):
        make(**{"length": 1.0, "start": 1.0, "end": 2.0} | arguments)


@pytest.mark.parametrize("length", [-0.1, 1.1, None])
def test_segment_refuses_a_bad_length(length):
    with pytest.raises(ValueError, match="`length` must be a number from 0 to 1"):
        Segment(length, 1.0, 2.0)


@pytest.mark.parametrize("curve", [one_cycle, flat_cosine, cosine_restarts, three_phase])
@pytest.mark.parametrize("rate", [0.0, -1, None, float("inf")])
def test_curves_refuse_a_bad_rate(curve, rate):
    with pytest.raises(ValueError, match=f"learning_rate` must be a number > 0.*={rate}"):
        curve(rate)


@pytest.mark.parametrize(
    ("curve", "form", "text"),
    [
        (one_cycle, {"start_divisor": 0}, "`start_divisor` must be a number > 0"),
        (one_cycle, {"final_divisor": -1.0}, "`final_divisor` must be a number > 0"),
        (one_cycle, {"warmup_fraction": 1.01}, "`warmup_fraction` must be a number from 0 to 1"),
        (flat_cosine, {"flat_fraction": -0.01}, "`flat_fraction` must be a number from 0 to 1"),
        (flat_cosine, {"final_divisor": 0.0}, "`final_divisor` must be a number > 0"),
        (cosine_restarts, {"cycles": 0}, "`cycles` must be a whole number >= 1"),
        (cosine_restarts, {"cycles": 1.5}, "`cycles` must be a whole number >= 1"),
        (cosine_restarts, {"cycle_multiplier": 0}, "`cycle_multiplier` must be a number > 0"),
        (cosine_restarts, {"final_divisor": 0}, "`final_divisor` must be a number > 0"),
        (three_phase, {"start_divisor": -10}, "`start_divisor` must be a number > 0"),
        (three_phase, {"final_divisor": 0}, "`final_divisor` must be a number > 0"),
        (three_phase, {"annihilation_fraction": 2}, "`annihilation_fraction` must be a number f"),
    ],
)
def test_curves_refuse_a_bad_form(curve, form, text):
    with pytest.raises(ValueError, match=text):
        curve(1.0, **form)


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


def test_segment_refuses_what_is_no_number():
    with pytest.raises(ValueError, match=r"must be finite numbers\. Received: start=nan"):
        Segment(1.0, float("nan"), 1.0)
