"""Examples that belong together: counted in one place, in every interval, test and split."""

import keras
import numpy as np
import pytest
from scipy import integrate, special, stats

import keras_practical as kp
from keras_practical.data.groups import group_numbers
from keras_practical.data.index import ImageRecord
from keras_practical.utils.intervals import (
    difference_interval,
    independent_examples,
    mean_interval,
    proportion_interval,
    wilson_interval,
)

# Also run on JAX.
pytestmark = pytest.mark.any_backend

QUIET = {"verbose": False}


def drawn(rng, groups, size, accuracy, likeness):
    """Return whether each example is right, and its group: some groups are harder."""
    strength = (1 - likeness) / likeness
    hard = rng.beta(accuracy * strength, (1 - accuracy) * strength, groups)
    grouping = np.repeat(np.arange(groups), size)
    return (rng.random(len(grouping)) < hard[grouping]).astype(float), grouping


def evaluation_of(right, **options):
    labels = np.arange(len(right)) % 2
    said = np.where(right, labels, 1 - labels)
    return kp.evaluate_predictions(np.eye(2)[said] * 0.8 + 0.1, labels, **options)


# Who belongs to whom


def test_groups_from_values_functions_and_the_index():
    records = [ImageRecord("a_1", 0, group="a"), ImageRecord("b_1", 0)]
    records.append(ImageRecord("a_2", 0, group="a"))
    assert group_numbers(None, 3, index=records).tolist() == [0, 1, 0]
    assert group_numbers(lambda r: r.name[0], 3, index=records).tolist() == [0, 1, 0]
    assert group_numbers(np.array([7, 7, 5]), 3).tolist() == [0, 0, 1]
    assert group_numbers([7, "7", 7.5], 3).tolist() == [0, 0, 1]


def test_an_example_without_group_stands_by_itself():
    assert group_numbers([None, None, "a", "a"], 4).tolist() == [0, 1, 2, 2]
    assert group_numbers([np.nan, np.nan, "a", "a"], 4).tolist() == [0, 1, 2, 2]
    assert group_numbers(["a", "b", "c"], 3) is None
    assert group_numbers(None, 3) is None
    with pytest.raises(ValueError, match="Received: 2 for 3"):
        group_numbers(["a", "b"], 3)


# Intervals


def test_interval_of_groups_equals_an_integral_over_the_model():
    """The beta-binomial posterior by scipy's adaptive integration instead of our grids."""
    hits, sizes = np.array([3, 9, 10, 2]), np.array([4, 10, 10, 8])
    grouping = np.repeat(np.arange(4), sizes)
    right = np.concatenate([np.arange(n) < k for k, n in zip(hits, sizes, strict=True)])
    low, high = proportion_interval(right.astype(float), groups=grouping)

    def density(likeness, share):
        strength = (1 - likeness) / likeness
        a, b = share * strength, (1 - share) * strength
        return np.exp((special.betaln(a + hits, b + sizes - hits) - special.betaln(a, b)).sum())

    def mass(start, end):
        return integrate.dblquad(density, start, end, 1e-6, 1 - 1e-6, epsrel=1e-3)[0]

    whole = mass(1e-6, 1 - 1e-6)
    assert mass(1e-6, low) / whole == pytest.approx(0.025, abs=0.003)
    assert mass(high, 1 - 1e-6) / whole == pytest.approx(0.025, abs=0.003)


@pytest.mark.parametrize("groups", [5, 10, 50])
@pytest.mark.parametrize(("accuracy", "likeness"), [(0.8, 0.3), (0.95, 0.1)])
def test_intervals_of_groups_hold_the_truth(groups, accuracy, likeness):
    """A small version of benchmarks/interval_coverage.py."""
    rng = np.random.default_rng(groups)
    held = []
    for _ in range(150):
        right, grouping = drawn(rng, groups, rng.integers(3, 15, groups), accuracy, likeness)
        low, high = proportion_interval(right, groups=grouping)
        assert high - low > 0.01
        held.append(low <= accuracy <= high)
    assert np.mean(held) >= 0.9


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("groups", [1, 2, 5, 40])
def test_intervals_where_all_agree_have_width(share, groups):
    right, grouping = np.full(80, share), np.arange(80) * groups // 80
    low, high = proportion_interval(right, groups=grouping)
    alone = wilson_interval(int(share * 80), 80)
    assert low <= share <= high
    assert high - low > alone[1] - alone[0]
    assert high - low < 1.0
    found = evaluation_of(right == 1, groups=grouping)
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc"):
        low, high = getattr(found, f"{name}_interval")
        assert low <= getattr(found, name) <= high
        assert high - low > 0


def test_alike_members_count_as_one_and_unlike_ones_as_many():
    grouping = np.arange(400) // 10
    alike = np.repeat(np.arange(40) % 4 > 0, 10).astype(float)
    assert independent_examples(alike, grouping) == pytest.approx(40, rel=0.1)
    unlike = np.tile(np.arange(10) < 7, 40).astype(float)
    assert independent_examples(unlike, grouping) > 300
    assert independent_examples(unlike, None) == 400


def test_values_outside_0_to_1_are_named():
    for values in ([1.5], [], [[1.0]], [np.nan]):
        with pytest.raises(ValueError, match="`values` must be"):
            proportion_interval(np.array(values))
    with pytest.raises(ValueError, match="one number for each value"):
        proportion_interval(np.ones(3), groups=np.arange(2))


def test_mean_over_groups_is_that_of_groups_of_one_size():
    """With equal sizes, examples that repeat say no more than one of each."""
    values = np.random.default_rng(0).exponential(size=30)
    grouped = mean_interval(np.repeat(values, 7), groups=np.repeat(np.arange(30), 7))
    np.testing.assert_allclose(grouped, mean_interval(values))
    assert np.isnan(mean_interval(values, groups=np.zeros(30))).all()


# Figures


def test_every_interval_of_an_evaluation_allows_for_groups():
    right, grouping = drawn(np.random.default_rng(4), 20, 10, 0.8, 0.6)
    alone, grouped = evaluation_of(right == 1), evaluation_of(right == 1, groups=grouping)
    assert (grouped.accuracy, grouped.macro_f1) == (alone.accuracy, pytest.approx(alone.macro_f1))
    for name in ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "loss"):
        widths = [np.ptp(getattr(found, f"{name}_interval")) for found in (alone, grouped)]
        assert widths[1] > 1.3 * widths[0], name
    for name in ("recall_intervals", "precision_intervals"):
        for narrow, wide in zip(getattr(alone, name), getattr(grouped, name), strict=True):
            assert np.ptp(wide) > 1.3 * np.ptp(narrow)
    assert "n=200 in 20 groups" in str(grouped)


@pytest.mark.tf_only
def test_evaluate_asks_the_index_for_groups(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "photos"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for patient in range(12):
            for number in range(3):
                pixels = rng.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                keras.utils.save_img(folder / name / f"p{name}{patient}_{number}.png", pixels)
    photos = kp.load_images(
        folder, image_size=8, groups=lambda record: record.name.split("_")[0], **QUIET
    )
    layers = [keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    keras.utils.set_random_seed(0)
    model = keras.Sequential([*layers, keras.layers.Softmax()])
    found = kp.evaluate(model, photos.validation, **QUIET)
    patients = {record.group for record in photos.index.split("validation")}
    assert f"in {len(patients)} groups" in str(found)
    assert "groups" in str(kp.compare(model, model, photos.validation, **QUIET))
    said = kp.interpret(model, photos.validation, **QUIET)
    low, high = found.accuracy_interval
    assert f"(95 % interval {low:.3f}–{high:.3f})" in str(said)
    mapped = photos.validation.map(lambda images, labels: (images / 2, labels))
    assert kp.evaluate(model, mapped, **QUIET).grouping is not None
    with pytest.warns(UserWarning, match="in which order they come isn't known"):
        kp.evaluate(model, photos.train, **QUIET)


def test_a_property_that_goes_with_patients_needs_more_than_many_images():
    from keras_practical.evaluation.properties import accuracy_by_property

    alarms = {"alone": 0, "grouped": 0}
    for draw in range(40):
        rng = np.random.default_rng(draw)
        right, grouping = drawn(rng, 16, 12, 0.7, 0.5)
        brightness = rng.normal(size=16)[grouping]
        for name, groups in (("alone", None), ("grouped", grouping)):
            found = accuracy_by_property("brightness", brightness, right == 1, groups=groups)
            alarms[name] += found.p_value < 0.05
    assert alarms["alone"] > 20
    assert alarms["grouped"] <= 6


def test_calibration_error_by_chance_grows_with_groups():
    rng = np.random.default_rng(1)
    right, grouping = drawn(rng, 20, 10, 0.8, 0.6)
    chances = np.where(np.arange(2) == 0, 0.8, 0.2)[None].repeat(200, 0)
    labels = 1 - right.astype(int)
    alone = kp.evaluation.measure_calibration(chances, labels)
    grouped = kp.evaluation.measure_calibration(chances, labels, groups=grouping)
    assert grouped.error == alone.error
    assert grouped.error_by_chance > 1.5 * alone.error_by_chance


def test_area_over_groups_is_that_of_groups_of_one_size():
    """Six equal images of a patient say what one does."""
    rng = np.random.default_rng(0)
    truths = np.arange(40) % 2
    positive = 1 / (1 + np.exp(-rng.normal(size=40) - 1.5 * truths))
    chances = np.stack([1 - positive, positive], axis=1)
    one = kp.evaluate_predictions(chances, truths)
    six = kp.evaluate_predictions(
        chances.repeat(6, 0), truths.repeat(6), groups=np.arange(240) // 6
    )
    assert six.roc_auc == pytest.approx(one.roc_auc)
    assert np.ptp(six.roc_auc_interval) == pytest.approx(np.ptp(one.roc_auc_interval), rel=0.1)


@pytest.mark.parametrize("positive", [0.5, 1.0])
def test_area_over_groups_of_scores_that_all_tie(positive):
    labels, grouping = np.arange(24) % 2, np.arange(24) // 4
    found = kp.evaluate_predictions(np.full(24, positive), labels, groups=grouping)
    low, high = found.roc_auc_interval
    assert found.roc_auc == 0.5
    assert 0 < low < 0.3
    assert 0.7 < high < 1


# Comparison


def test_tangos_interval_equals_his_example():
    """Tango (1998), table II: 43 pairs, 1 and 0 discordant, and 44 pairs, 1 and 0 the other way."""
    np.testing.assert_allclose(difference_interval(0, 1, 43), (-0.0608, 0.1209), atol=2e-3)
    low, high = difference_interval(7, 53 - 7, 100)
    assert low < (46 - 7) / 100 < high


@pytest.mark.parametrize(("first", "second", "n"), [(0, 0, 20), (3, 9, 40), (0, 8, 8), (8, 0, 8)])
def test_tangos_interval_inverts_the_score_test(first, second, n):
    """At each bound the constrained likelihood's score statistic, found by brute force, is 1.96."""
    for bound in difference_interval(first, second, n):
        if abs(bound) > 1 - 1e-6:
            continue
        shares = np.linspace(max(0.0, -bound), (1 - bound) / 2, 200_001)[1:-1]
        with np.errstate(divide="ignore", invalid="ignore"):
            logs = (
                special.xlogy(second, shares + bound)
                + special.xlogy(first, shares)
                + special.xlogy(n - first - second, 1 - 2 * shares - bound)
            )
        share = shares[np.nanargmax(logs)]
        variance = n * (2 * share + bound * (1 - bound))
        distance = (second - first - n * bound) / variance**0.5
        assert abs(distance) == pytest.approx(1.96, abs=0.01)


def pair(only_a, only_b, both, neither, groups=None):
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    return [evaluation_of(right, groups=groups) for right in (a, b)]


@pytest.mark.parametrize(("both", "neither"), [(60, 20), (5, 0), (0, 0), (400, 40)])
def test_interval_and_verdict_agree(both, neither):
    for first in range(10):
        for second in range(12):
            if first + second + both + neither:
                found = kp.compare(*pair(first, second, both, neither))
                low, high = found.difference_interval
                assert (low > 0 or high < 0) == found.real
                assert low <= found.difference <= high


def test_exact_test_never_says_less_than_tangos_interval():
    """So that an interval which the exact test widens is the only kind of disagreement."""
    for split in range(1, 60):
        for first in range(split // 2 + 1):
            if stats.binomtest(first, split).pvalue < 0.05:
                assert difference_interval(first, split - first, 200)[0] > 0


def test_interval_and_verdict_agree_over_groups():
    rng = np.random.default_rng(0)
    for groups in (2, 5, 20):
        for _ in range(40):
            n = groups * 6
            grouping = np.arange(n) // 6
            shift = rng.normal(0.15, 0.3, groups)[grouping]
            a, b = rng.random(n) < 0.6, rng.random(n) < np.clip(0.6 + shift, 0, 1)
            found = kp.compare(*(evaluation_of(right, groups=grouping) for right in (a, b)))
            low, high = found.difference_interval
            assert (low > 0 or high < 0) == found.real
            assert high > low


def test_test_over_groups_is_students_and_never_cries_wolf():
    """With whole groups on which the models part, it is a t-test's kin on the sums of groups."""
    alarms = {"alone": 0, "grouped": 0}
    for draw in range(150):
        rng = np.random.default_rng(draw)
        grouping = np.repeat(np.arange(12), 10)
        better = rng.choice([-1, 1], 12)[grouping]
        part = rng.random(120) < 0.4
        a, b = ~(part & (better > 0)), ~(part & (better < 0))
        for name, groups in (("alone", None), ("grouped", grouping)):
            found = kp.compare(*(evaluation_of(right, groups=groups) for right in (a, b)))
            alarms[name] += found.real
    assert alarms["alone"] > 40
    assert alarms["grouped"] <= 15
    sums = np.bincount(grouping, b.astype(int) - a.astype(int))
    # Beside scipy's t-test of the sums, one more example on which the models part.
    assert found.p_value == pytest.approx(stats.ttest_1samp(sums, 0).pvalue, abs=0.02)
    assert "McNemar's test over groups" in str(found)


def test_one_group_says_nothing_of_a_difference():
    found = kp.compare(*pair(0, 30, 10, 0, groups=np.zeros(40, int)))
    assert found.difference_interval == (-1.0, 1.0)
    assert not found.real


# Splits


@pytest.mark.tf_only
def test_learning_curve_keeps_groups_whole(monkeypatch):
    from keras_practical.transfer import extrapolation

    rng = np.random.default_rng(0)
    patients = np.repeat(np.arange(60), 5)
    labels = np.repeat(rng.integers(0, 2, 60), 5)
    features = rng.normal(size=(60, 40))[patients] + 0.01 * rng.normal(size=(300, 40))
    index = tuple(ImageRecord(f"{i}", 0, group=str(p)) for i, p in enumerate(patients))
    data = kp.Embeddings(features.astype("float32"), labels, index, ("ill", "well"))
    divided, seen = extrapolation._divided, []

    def watched(*arguments):
        test, ordered = divided(*arguments)
        seen.append(set(patients[test]) & set(patients[np.concatenate(ordered)]))
        return test, ordered

    monkeypatch.setattr(extrapolation, "_divided", watched)
    curve = kp.learning_curve(data, repeats=4, **QUIET)
    assert seen == [set()] * 4
    # Labels have nothing to do with what images show: known patients would give it away.
    assert curve.accuracies.mean() < 0.65
    assert curve.independent < 100
    rare = (np.arange(300) >= 280).astype(int)
    records = [
        ImageRecord(f"{i}", label, group=f"{i % 2 if label else i}") for i, label in enumerate(rare)
    ]
    few = kp.Embeddings(data.features, rare, tuple(records), ("ill", "well"))
    with pytest.raises(ValueError, match=r"needs 4 groups of each class\. Received: 2 of 'well'"):
        kp.learning_curve(few, **QUIET)
