"""The schedules, against the curves in numpy and Keras's own."""

import keras
import numpy as np
import pytest
from linear_training import CYCLE, PEAK, STEPS, assert_kernels, fit, linear_model, sgd, train

from keras_practical.training.curves import (
    Segment,
    cosine_restarts,
    evaluate_segments,
    flat_cosine,
    one_cycle,
    three_phase,
)
from keras_practical.training.schedules import (
    CosineRestartsSchedule,
    FlatCosineSchedule,
    OneCycleSchedule,
    SegmentSchedule,
    ThreePhaseSchedule,
)

# Also run on JAX.
pytestmark = pytest.mark.any_backend

schedules = keras.optimizers.schedules

ONE_CYCLE_FORM = {"start_divisor": 5.0, "final_divisor": 3.0, "warmup_fraction": 0.4}
STEEP_FORM = {"start_divisor": 0.5, "final_divisor": 1e9, "warmup_fraction": 0.3}
THREE_PHASE_FORM = {"start_divisor": 5.0, "final_divisor": 50.0, "annihilation_fraction": 0.37}

# The class, the curve that it must follow and the form of both.
NAMED = {
    "one_cycle": (OneCycleSchedule, one_cycle, {}),
    "one_cycle_form": (OneCycleSchedule, one_cycle, ONE_CYCLE_FORM),
    "one_cycle_steep": (OneCycleSchedule, one_cycle, STEEP_FORM),
    "one_cycle_fall": (OneCycleSchedule, one_cycle, {"warmup_fraction": 0.0}),
    "one_cycle_rise": (OneCycleSchedule, one_cycle, {"warmup_fraction": 1.0}),
    "flat_cosine": (FlatCosineSchedule, flat_cosine, {}),
    "flat_cosine_form": (
        FlatCosineSchedule,
        flat_cosine,
        {"flat_fraction": 0.37, "final_divisor": 20.0},
    ),
    "restarts": (CosineRestartsSchedule, cosine_restarts, {}),
    "restarts_form": (
        CosineRestartsSchedule,
        cosine_restarts,
        {"cycles": 5, "cycle_multiplier": 1.0, "final_divisor": 20.0},
    ),
    "three_phase": (ThreePhaseSchedule, three_phase, {}),
    "three_phase_form": (ThreePhaseSchedule, three_phase, THREE_PHASE_FORM),
}

NAMED_CLASSES = list(dict.fromkeys(row[0] for row in NAMED.values()))

# Segments and how near float32 comes: a large exponent costs digits.
COMPOSED = {
    "linear": ([Segment(0.3, 0.0, 2.0, "linear"), Segment(0.7, 2.0, 1e-3, "linear")], 1e-6),
    "cosine": ([Segment(0.3, 0.0, 2.0), Segment(0.7, 2.0, 1e-9)], 1e-6),
    "exponential": (
        [Segment(0.3, 1e-7, 10.0, "exponential"), Segment(0.7, 10.0, 1e-3, "exponential")],
        1e-5,
    ),
    "polynomial": (
        [Segment(0.3, 1.0, 2.0, "polynomial", 3.0), Segment(0.7, 2.0, 1e-3, "polynomial", 0.5)],
        1e-6,
    ),
    "mixed": (
        [
            Segment(1 / 3, 0.0, 1.0, "linear"),
            Segment(1 / 7, 1.0, 1.0),
            Segment(0.0, 9.0, 9.0),
            Segment(11 / 21, 0.5, 0.1, "exponential"),
        ],
        1e-6,
    ),
    # As users round a third: an error at a boundary shows, because the value jumps there.
    "rounded": ([Segment(0.3333333, 1.0, 0.1)] * 3, 1e-6),
}

# One schedule of each class over 10 steps.
EACH = {
    "one_cycle": OneCycleSchedule(10, max_learning_rate=0.3, **ONE_CYCLE_FORM),
    "flat_cosine": FlatCosineSchedule(10, learning_rate=0.3, flat_fraction=0.4, final_divisor=7.0),
    "restarts": CosineRestartsSchedule(
        10, max_learning_rate=0.3, cycles=2, cycle_multiplier=1.5, final_divisor=7.0
    ),
    "three_phase": ThreePhaseSchedule(10, max_learning_rate=0.3, **THREE_PHASE_FORM),
    "segments": SegmentSchedule(10, COMPOSED["polynomial"][0]),
}


def cases(table):
    """Return the rows of `table` for `parametrize`, named by its keys."""
    rows = [row if isinstance(row, tuple) else (row,) for row in table.values()]
    return [pytest.param(*row, id=name) for name, row in zip(table, rows, strict=True)]


def named(schedule_class, total_steps, form, rate=0.3):
    """Return a schedule of `schedule_class`, whatever it calls its rate."""
    name = "learning_rate" if schedule_class is FlatCosineSchedule else "max_learning_rate"
    return schedule_class(total_steps, **{name: rate}, **form)


def assert_follows(schedule, segments, rtol=1e-6):
    """Fail unless the schedule has the curve's values at each of its steps."""
    values = np.asarray(schedule(np.arange(schedule.total_steps)))
    expected = evaluate_segments(segments, schedule.total_steps)
    np.testing.assert_allclose(values, expected, rtol=rtol)


@pytest.mark.parametrize("total_steps", [1, 2, 10, 300])
@pytest.mark.parametrize(("schedule_class", "curve", "form"), cases(NAMED))
def test_named_schedule_is_the_curve(schedule_class, curve, form, total_steps):
    assert_follows(named(schedule_class, total_steps, form), curve(0.3, **form))


@pytest.mark.parametrize("total_steps", [1, 2, 10, 300])
@pytest.mark.parametrize(("segments", "rtol"), cases(COMPOSED))
def test_segment_schedule_is_the_curve(segments, rtol, total_steps):
    assert_follows(SegmentSchedule(total_steps, segments), segments, rtol)


@pytest.mark.parametrize(
    "segments", [one_cycle(0.3), one_cycle(0.3, warmup_fraction=1 / 3), cosine_restarts(0.3)]
)
def test_segment_schedule_keeps_the_digits_of_a_long_run(segments):
    assert_follows(SegmentSchedule(100_000, segments), segments)


def test_segment_schedule_keeps_the_digits_in_a_compiled_graph():
    # TensorFlow's graph optimizer may join what float32 needs apart: boundaries such as 14285.7.
    segments = cosine_restarts(0.3)
    schedule = SegmentSchedule(100_000, segments)
    inputs = keras.Input(())
    model = keras.Model(inputs, keras.layers.Lambda(lambda step: schedule(step))(inputs))
    values = model.predict(np.arange(100_000), batch_size=100_000, verbose=0)
    np.testing.assert_allclose(values, evaluate_segments(segments, 100_000), rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "power", "keras_schedule"),
    [
        ("linear", 1.0, schedules.PolynomialDecay(0.3, 20, end_learning_rate=0.03)),
        ("polynomial", 2.5, schedules.PolynomialDecay(0.3, 20, end_learning_rate=0.03, power=2.5)),
        ("cosine", 1.0, schedules.CosineDecay(0.3, 20, alpha=0.1)),
        ("exponential", 1.0, schedules.ExponentialDecay(0.3, 20, decay_rate=0.1)),
    ],
)
def test_segment_schedule_has_kerass_shapes(shape, power, keras_schedule):
    schedule = SegmentSchedule(20, [Segment(1.0, 0.3, 0.03, shape, power)])
    expected = [float(keras_schedule(step)) for step in range(21)]
    np.testing.assert_allclose(np.asarray(schedule(np.arange(21))), expected, rtol=1e-5)


@pytest.mark.parametrize("step", [8, 9, 10_000])
@pytest.mark.parametrize(
    ("schedule_class", "form"),
    [
        *((OneCycleSchedule, {"warmup_fraction": part}) for part in (0.0, 0.25, 1.0)),
        *((FlatCosineSchedule, {"flat_fraction": part}) for part in (0.0, 0.25, 1.0)),
        *((CosineRestartsSchedule, {"cycles": count}) for count in (1, 3)),
        *((ThreePhaseSchedule, {"annihilation_fraction": part}) for part in (0.0, 0.25, 1.0)),
    ],
)
def test_named_schedule_keeps_the_last_value(schedule_class, form, step):
    schedule = named(schedule_class, 8, {"final_divisor": 10.0, **form}, rate=1.0)
    assert float(schedule(step)) == pytest.approx(0.1, rel=1e-6)


@pytest.mark.parametrize("shape", ["linear", "cosine", "exponential", "polynomial"])
@pytest.mark.parametrize("step", [4, 5, 10_000])
def test_segment_schedule_keeps_the_last_value(shape, step):
    schedule = SegmentSchedule(4, [Segment(0.5, 1.0, 2.0, shape), Segment(0.5, 2.0, 3.0, shape)])
    assert float(schedule(step)) == 3.0


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
@pytest.mark.parametrize("schedule", cases(EACH))
def test_schedule_gives_a_float32_scalar_for_any_step(schedule, dtype):
    if dtype == "int64" and keras.backend.backend() == "jax":
        dtype = "uint32"  # JAX has no int64.
    value = schedule(keras.ops.cast(1, dtype))
    assert (keras.backend.standardize_dtype(value.dtype), tuple(value.shape)) == ("float32", ())
    assert float(value) == pytest.approx(evaluate_segments(schedule.segments, 10)[1], rel=1e-6)


@pytest.mark.parametrize("steps_per_execution", [1, 4])
def test_one_cycle_schedule_drives_an_optimizer(steps_per_execution):
    schedule = OneCycleSchedule(3 * STEPS, max_learning_rate=PEAK)
    optimizer = keras.optimizers.SGD(schedule)
    model = linear_model(optimizer, steps_per_execution=steps_per_execution)
    fit(model)
    assert_kernels(model, train(sgd(), CYCLE))


@pytest.mark.parametrize("schedule", cases(EACH))
def test_schedule_survives_serialization(schedule):
    config = schedules.serialize(schedule)
    again = schedules.deserialize(config)
    assert type(again) is type(schedule)
    assert again.get_config() == schedule.get_config()
    assert again.segments == schedule.segments
    steps = np.arange(12)
    assert np.asarray(again(steps)).tolist() == np.asarray(schedule(steps)).tolist()


def test_named_schedule_has_its_arguments_as_config():
    expected = {"total_steps": 10, "max_learning_rate": 0.3, **ONE_CYCLE_FORM}
    assert EACH["one_cycle"].get_config() == expected


def test_segment_schedule_has_plain_dictionaries_as_config():
    schedule = SegmentSchedule(10, [Segment(1.0, 2.0, 3.0, "polynomial", 0.5)])
    fields = {"length": 1.0, "start": 2.0, "end": 3.0, "shape": "polynomial", "power": 0.5}
    assert schedule.get_config() == {"total_steps": 10, "segments": [fields]}


@pytest.mark.parametrize(
    "schedule",
    [
        OneCycleSchedule(3 * STEPS, max_learning_rate=PEAK),
        SegmentSchedule(3 * STEPS, one_cycle(PEAK)),
    ],
    ids=["one_cycle", "segments"],
)
def test_schedule_survives_in_a_saved_model(schedule, tmp_path):
    model = linear_model(keras.optimizers.SGD(schedule))
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    fit(loaded, epochs=2)
    assert_kernels(loaded, train(sgd(), CYCLE))


@pytest.mark.parametrize(
    ("schedule_class", "form", "text"),
    [
        (OneCycleSchedule, {"start_divisor": 0.0}, "`start_divisor` must be a number > 0"),
        (OneCycleSchedule, {"final_divisor": None}, "`final_divisor` must be a number > 0"),
        (OneCycleSchedule, {"warmup_fraction": -0.1}, "`warmup_fraction` must be a number from 0"),
        (FlatCosineSchedule, {"flat_fraction": 1.1}, "`flat_fraction` must be a number from 0 to"),
        (FlatCosineSchedule, {"final_divisor": 0}, "`final_divisor` must be a number > 0"),
        (CosineRestartsSchedule, {"cycles": 0}, "`cycles` must be a whole number >= 1"),
        (CosineRestartsSchedule, {"cycle_multiplier": 0}, "`cycle_multiplier` must be a number > "),
        (ThreePhaseSchedule, {"start_divisor": 0}, "`start_divisor` must be a number > 0"),
        (ThreePhaseSchedule, {"annihilation_fraction": 2}, "`annihilation_fraction` must be a nu"),
    ],
)
def test_named_schedule_refuses_a_bad_form(schedule_class, form, text):
    with pytest.raises(ValueError, match=text):
        named(schedule_class, 4, form)


@pytest.mark.parametrize("schedule_class", NAMED_CLASSES)
def test_named_schedule_refuses_bad_steps_and_rates(schedule_class):
    with pytest.raises(ValueError, match="`total_steps` must be a whole number >= 1"):
        named(schedule_class, 0, {})
    with pytest.raises(ValueError, match="learning_rate` must be a number > 0"):
        named(schedule_class, 4, {}, rate=-1)


@pytest.mark.parametrize(
    ("total_steps", "segments", "text"),
    [
        (0, [Segment(1.0, 1.0, 1.0)], "`total_steps` must be a whole number >= 1"),
        (4, [Segment(0.5, 1.0, 1.0)], r"lengths of `segments` must add up to 1. Received: \[0.5\]"),
        (4, [], r"lengths of `segments` must add up to 1. Received: \[\]"),
        (4, [{"length": 1.0, "start": 1.0, "end": 1.0, "shape": "spline"}], "`shape` must be one"),
    ],
)
def test_segment_schedule_refuses_bad_arguments(total_steps, segments, text):
    with pytest.raises(ValueError, match=text):
        SegmentSchedule(total_steps, segments)
