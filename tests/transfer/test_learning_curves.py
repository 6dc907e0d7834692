"""Power laws found again, learning curves that say what more would bring."""

import numpy as np
import pytest

import keras_practical as kp
from keras_practical.data.features import Embeddings
from keras_practical.transfer.extrapolation import PowerLaw, fit_power_law

# Also run on JAX.
pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize(
    ("scale", "exponent", "floor"), [(1.0, 0.5, 0.0), (0.8, 0.3, 0.05), (2.0, 1.0, 0.1)]
)
def test_fit_finds_the_law(scale, exponent, floor):
    n = np.geomspace(10, 640, 7)
    found = fit_power_law(n, scale * n**-exponent + floor)
    np.testing.assert_allclose(found.at(5000), scale * 5000**-exponent + floor, rtol=0.03)


def test_fit_of_flat_and_rising_values_stays_flat():
    n = np.array([10.0, 20.0, 40.0, 80.0])
    assert fit_power_law(n, np.full(4, 0.2)).at(1000) == pytest.approx(0.2, abs=0.02)
    assert fit_power_law(n, np.array([0.1, 0.12, 0.14, 0.16])).at(1000) >= 0.05
    assert fit_power_law(n, np.zeros(4)).at(1000) == 0.0


def gaussians(n, seed=0, size=30):
    """Return two classes whose probe gets better slowly: many useless features."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    features = rng.normal(size=(n, size))
    features[:, 0] += 2.0 * (labels - 0.5)
    return Embeddings(features.astype("float32"), labels, (), ("a", "b"))


def test_curve_rises_and_forecasts_the_truth():
    curve = kp.learning_curve(gaussians(400), repeats=6, verbose=False)
    means = curve.accuracies.mean(0)
    assert curve.accuracies.shape == (6, 6)
    assert means[-1] > means[0]
    gain, low, high = curve.gain(2.0)
    assert low <= gain <= high
    truth = kp.learning_curve(gaussians(800, seed=1), repeats=6, verbose=False)
    _, low, high = curve.accuracy_at(float(truth.sizes[-1]))
    assert low <= truth.accuracies.mean(0)[-1] <= high


def test_sizes_are_nested_and_stratified():
    labels = np.repeat([0, 1], [300, 60])
    rng = np.random.default_rng(0)
    data = Embeddings(rng.normal(size=(360, 4)), labels, (), ("many", "few"))
    curve = kp.learning_curve(data, repeats=2, points=4, verbose=False)
    assert curve.sizes[-1] == pytest.approx((225 + 45) / 2)
    assert (np.diff(curve.sizes) > 0).all()


def test_words_and_plot():
    law = PowerLaw(1.0, 0.5, 0.0)
    curve = kp.LearningCurve(
        sizes=np.array([25.0, 100.0]),
        accuracies=np.array([[0.7, 0.9], [0.9, 0.9]]),
        n=300,
        classes=2,
        law=law,
        laws=(law,),
    )
    expected = 100 * (0.1 - 200**-0.5)
    assert curve.gain(2.0)[0] == pytest.approx(expected / 100)
    text = str(curve)
    assert f"doubling to 200 a class would bring about +{expected:.1f} points" in text
    assert text.startswith("     25 a class: accuracy 0.800 ± 0.141")  # the root of 0.02
    assert curve.plot().get_xscale() == "log"


def test_same_seed_same_curve():
    first, second = (
        kp.learning_curve(gaussians(200), repeats=2, seed=4, verbose=False) for _ in range(2)
    )
    np.testing.assert_array_equal(first.accuracies, second.accuracies)


@pytest.mark.parametrize(
    ("data", "options", "match"),
    [
        (gaussians(20), {}, "16 images of each class. Received: 10 of 'a'"),
        (gaussians(100), {"points": 2}, "`points` must be"),
        (gaussians(100), {"repeats": 1}, "`repeats` must be"),
        (gaussians(100), {"test_fraction": 0.9}, "`test_fraction` must be"),
    ],
)
def test_bad_arguments_are_named(data, options, match):
    with pytest.raises(ValueError, match=match):
        kp.learning_curve(data, **options, verbose=False)


# What doesn't help


@pytest.mark.parametrize(
    "errors",
    [
        [0.30, 0.29, 0.31, 0.30, 0.305, 0.30],
        [0.20, 0.22, 0.24, 0.25, 0.26, 0.27],
        [0.3, 0.2, 0.14, 0.12, 0.1, 0.09],
        [0.5, 0.5, 0.5, 0.5, 0.5, 0.5],
        [0.3, 0.1, 0.0, 0.0, 0.0, 0.0],
    ],
)
def test_fit_equals_scipys_nonnegative_least_squares(errors):
    from scipy.optimize import nnls

    n, errors = np.geomspace(5, 75, 6), np.array(errors)
    weights = 1 / np.maximum(errors, errors.max() * 0.05)
    fits = []
    for exponent in np.linspace(0.05, 1.5, 59):
        columns = np.stack([n**-exponent, np.ones(6)], axis=1) * weights[:, None]
        (scale, floor), rest = nnls(columns, errors * weights)
        fits.append((rest**2, scale * 750**-exponent + floor))
    least, expected = min(fits)
    law = fit_power_law(n, errors)
    assert (((law.at(n) - errors) * weights) ** 2).sum() == pytest.approx(least, abs=1e-9)
    assert float(law.at(np.array(750.0))) == pytest.approx(expected, abs=1e-6)


def test_values_that_rise_stay_and_more_images_do_not_help():
    """The feature says all there is to say from the first images on; errors are chance."""
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 2
    seen = np.where(rng.random(600) < 0.2, 1 - labels, labels)
    data = Embeddings((4.0 * seen[:, None] - 2).astype("float32"), labels, (), ("a", "b"))
    curve = kp.learning_curve(data, repeats=4, verbose=False)
    assert curve.law.scale == 0.0
    assert curve.gain(10.0)[0] == 0.0
    assert curve.accuracy_at(10 * curve.sizes[-1])[0] == pytest.approx(
        curve.accuracies[:, -1].mean()
    )
    assert not curve.helps
    text = str(curve)
    assert "the accuracy doesn't rise with the number of images" in text
    assert "more images of this kind won't help" in text
    assert kp.learning_curve(gaussians(200), repeats=4, verbose=False).helps


def test_bands_hold_what_flat_and_falling_curves_come_to():
    """A small version of benchmarks/learning_curve_forecast.py --simulate."""
    from keras_practical.transfer import extrapolation

    for law in (PowerLaw(0.0, 1.0, 0.2), PowerLaw(0.8, 0.5, 0.03)):
        held = []
        for draw in range(40):
            rng = np.random.default_rng(draw)
            sizes = np.geomspace(1 / 16, 1, 6) * 150
            hard = rng.random(400)
            rights = np.full((10, 6, 400), np.nan)
            for repeat in range(10):
                test = rng.permutation(400)[:100]
                own = rng.random((6, 100))
                mixed = np.where(rng.random((6, 100)) < 0.7, hard[test], own)
                rights[repeat][:, test] = mixed > law.at(sizes)[:, None]
            curve = extrapolation._curve(sizes, rights, 2, None, 0)
            _, low, high = curve.accuracy_at(600.0)
            held.append(low <= rng.binomial(400, 1 - law.at(600.0)) / 400 <= high)
        assert np.mean(held) >= 0.9
