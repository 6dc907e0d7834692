"""The losses of a painting's style, and their gradients, against numpy and numbers by hand."""

import numpy as np
import pytest
from keras import ops

from keras_practical.style.descent import descend
from keras_practical.style.losses import (
    content_loss,
    gram_matrix,
    histogram_loss,
    painting_strength,
    quantiles,
    smoothness_weight,
    style_loss,
    total_variation,
)
from keras_practical.utils.keras_internals.gradients import value_and_gradient

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def gradient_of(loss, x, *others):
    """Return a loss and its gradient by its first argument."""
    run = value_and_gradient(lambda x, others: (loss(x, *others), {"loss": loss(x, *others)}))
    value, parts, gradient = run(np.asarray(x, "float32"), tuple(np.asarray(o) for o in others))
    assert parts["loss"] == pytest.approx(value)
    return value, gradient


def remapped(values, wanted):
    """Return values of the `wanted` histogram in the order of `values`, rank by rank."""
    ranks = values.argsort(axis=0, kind="stable").argsort(axis=0)
    return np.take_along_axis(np.sort(wanted, axis=0), ranks, axis=0)


def test_gram_matrix_by_hand():
    # (1, 2), (3, 4): products 1 + 9, 2 + 12, 4 + 16, halved.
    found = ops.convert_to_numpy(gram_matrix(np.array([[1.0, 2.0], [3.0, 4.0]])))
    assert found.tolist() == [[5.0, 7.0], [7.0, 10.0]]


def test_gram_matrix_does_not_mind_order_nor_repetition(rng):
    features = rng.normal(size=(12, 3)).astype("float32")
    once = ops.convert_to_numpy(gram_matrix(features))
    np.testing.assert_allclose(once, features.T @ features / 12, rtol=1e-5)
    for others in (features[::-1], np.tile(features, (3, 1))):
        np.testing.assert_allclose(ops.convert_to_numpy(gram_matrix(others)), once, rtol=1e-5)


def test_style_loss_and_its_gradient(rng):
    features = rng.normal(size=(10, 3)).astype("float32")
    wanted = np.diag([1.0, 2.0, 3.0]).astype("float32")
    value, gradient = gradient_of(style_loss, features, wanted)
    difference = features.T @ features / 10 - wanted
    assert value == pytest.approx((difference**2).sum() / 14, rel=1e-5)
    np.testing.assert_allclose(gradient, 4 * features @ difference / 10 / 14, rtol=1e-4, atol=1e-6)


def test_content_loss_is_relative():
    features, wanted = np.array([[1.0, 1.0]]), np.array([[0.0, 3.0]])
    assert float(content_loss(features, wanted)) == pytest.approx(5 / 9)
    assert float(content_loss(10 * features, 10 * wanted)) == pytest.approx(5 / 9)


def test_histogram_by_hand():
    # 5, 1, 3 become 30, 10, 20: ranks 3, 1, 2.
    values, wanted = np.array([[5.0], [1.0], [3.0]]), np.array([[10.0], [20.0], [30.0]])
    assert remapped(values, wanted).ravel().tolist() == [30.0, 10.0, 20.0]
    assert float(histogram_loss(values, wanted)) == pytest.approx((25**2 + 9**2 + 17**2) / 1400)


def test_histogram_loss_is_the_distance_to_the_remapped_values(rng):
    values = rng.normal(size=(50, 4)).astype("float32")
    wanted = np.sort(rng.gamma(1.0, size=(50, 4)), axis=0).astype("float32")
    target = remapped(values, wanted)
    value, gradient = gradient_of(histogram_loss, values, wanted)
    assert value == pytest.approx(((values - target) ** 2).sum() / (wanted**2).sum(), rel=1e-5)
    # The remapped values are a target: no gradient flows through them.
    np.testing.assert_allclose(gradient, 2 * (values - target) / (wanted**2).sum(), atol=1e-6)


def test_histogram_loss_goes_where_a_gram_matrix_is_blind():
    # The same Gram matrix, of other values: 1, 1, 1, 1 and 0, 0, 0, 2.
    values, wanted = np.ones((4, 1)), np.array([[0.0], [0.0], [0.0], [2.0]])
    gram = ops.convert_to_numpy(gram_matrix(wanted))
    assert float(style_loss(values, gram)) == 0.0
    assert float(histogram_loss(values, wanted)) == pytest.approx(1.0)


def test_quantiles_of_as_many_are_the_sorted_values(rng):
    values = rng.normal(size=(9, 2)).astype("float32")
    np.testing.assert_allclose(quantiles(values, 9), np.sort(values, axis=0), rtol=1e-6)


def test_fewer_and_more_quantiles_keep_the_distribution(rng):
    values = rng.gamma(2.0, size=(500, 1))
    for n in (50, 5000):
        found = quantiles(values, n)
        assert found.shape == (n, 1)
        assert (np.diff(found, axis=0) >= 0).all()
        assert found.mean() == pytest.approx(values.mean(), rel=0.02)
        assert found.std() == pytest.approx(values.std(), rel=0.05)


def test_total_variation_by_hand():
    # Down: 3 - 1, 4 - 2. Right: 2 - 1, 4 - 3. Squares: 4 + 4 + 1 + 1 over four pixels.
    picture = np.array([[[1.0], [2.0]], [[3.0], [4.0]]], "float32")
    ones = np.ones((2, 2), "float32")
    value, gradient = gradient_of(total_variation, picture, ones)
    assert value == pytest.approx(10 / 4)
    # The first pixel: -2 (3 - 1) - 2 (2 - 1) = -6, over four.
    np.testing.assert_allclose(gradient[..., 0], np.array([[-6, -2], [2, 6]]) / 4)
    # Only differences at the last pixel: 4 down and 1 right, over one pixel.
    corner = np.array([[0.0, 0.0], [0.0, 1.0]], "float32")
    assert float(total_variation(picture, corner)) == pytest.approx(5.0)
    assert float(total_variation(picture, 0 * corner)) == 0.0


def test_rough_painting_wants_more_style_and_less_smoothness(rng):
    smooth = np.full((32, 32, 3), 120, "uint8")
    rough = rng.integers(0, 256, (32, 32, 3)).astype("uint8")
    assert painting_strength(smooth) == 1.0
    assert painting_strength(rough) == 10.0
    assert smoothness_weight(smooth) == pytest.approx(10.0)
    assert smoothness_weight(rough) < 1e-6


def test_strength_between_its_ends_by_hand():
    # Rows alternate between 0 and 0.07 of the range, columns don't: 0.035 on average.
    picture = np.zeros((41, 41, 3))
    picture[1::2] = 0.07 * 255
    assert painting_strength(picture) == pytest.approx(1 + 9 * 0.025 / 0.05)


def test_smoothness_weight_by_hand():
    # Each pixel differs from that below by 0.03 in one channel: 9e-4 + 0 (1e4 x - 25 = -16).
    picture = np.zeros((20, 20, 3))
    picture[1::2, :, 0] = 0.03 * 255
    assert smoothness_weight(picture) == pytest.approx(10 / (1 + np.exp(-16)))
    picture[1::2, :, 0] = 0.06 * 255
    assert smoothness_weight(picture) == pytest.approx(10 / (1 + np.exp(11)))


def test_descent_finds_the_minimum_and_tells_the_best_so_far():
    target = np.array([[0.25, 0.75], [2.0, -1.0]], "float32")
    run = value_and_gradient(lambda x, c: (ops.sum((x - c) ** 2), {"loss": ops.sum((x - c) ** 2)}))
    seen = []
    descend(
        run,
        target,
        np.full((2, 2), 0.5, "float32"),
        steps=8,
        on_step=lambda step, picture, parts: seen.append((step, picture)),
    )
    assert [step for step, _ in seen][:2] == [1, 2]
    assert len(seen) <= 8
    # What lies outside of [0, 1] ends at its border.
    np.testing.assert_allclose(seen[-1][1], [[0.25, 0.75], [1.0, 0.0]], atol=1e-3)
    losses = [((picture - target) ** 2).sum() for _, picture in seen]
    assert losses == sorted(losses, reverse=True)


def test_descent_says_when_the_loss_is_no_number():
    def objective(x, constants):
        return float("nan"), {}, np.zeros_like(x)

    with pytest.raises(ValueError, match=r"The loss became nan\. Check the extractor's weights"):
        descend(objective, {}, np.zeros((2, 2)), steps=3, on_step=lambda *_: None)
