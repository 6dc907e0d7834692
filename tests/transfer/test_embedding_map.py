"""Points on a page, against numpy, and drawn."""

import numpy as np
import pytest
from tiny import blobs

import keras_practical as kp


def test_pca_equals_the_singular_vectors():
    features = blobs(60)
    found = kp.embedding_map(features)
    centred = features.features - features.features.mean(0, dtype="float64")
    left, lengths, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :2] * lengths[:2]
    np.testing.assert_allclose(np.abs(found.points), np.abs(expected), atol=1e-4)
    assert found.explained == pytest.approx((lengths[:2] ** 2).sum() / (lengths**2).sum())
    assert found.labels.tolist() == features.labels.tolist()


def test_tsne_keeps_neighbours_and_is_the_same_each_time():
    features = blobs(60, distance=4.0)
    first, again = (kp.embedding_map(features, method="tsne", verbose=False) for _ in range(2))
    np.testing.assert_array_equal(first.points, again.points)
    same = [first.labels[first.nearest(place, 1)[0]] == first.labels[place] for place in range(60)]
    assert np.mean(same) > 0.95
    assert first.explained is None


def test_nearest_comes_first_and_is_another():
    found = kp.embedding_map(blobs(30))
    nearest = found.nearest(7, 29)
    distances = np.linalg.norm(found.points[list(nearest)] - found.points[7], axis=1)
    assert sorted(distances) == distances.tolist()
    assert set(nearest) == set(range(30)) - {7}


def test_it_draws_each_class_and_circles_mistakes():
    wrong = np.arange(30) % 10 == 0
    ax = kp.embedding_map(blobs(30), wrong=wrong).plot()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b", "c", "mistake"]
    assert [len(points.get_offsets()) for points in ax.collections] == [10, 10, 10, 3]
    own = ax.figure.add_subplot()
    plain = kp.embedding_map(blobs(30), wrong=np.zeros(30, bool)).plot(ax=own)
    assert plain is own
    assert len(own.collections) == 3


def test_one_feature_and_few_pictures_are_enough():
    narrow = kp.embedding_map(blobs(3, size=1))
    assert narrow.points.shape == (3, 2)
    assert kp.embedding_map(blobs(5), method="tsne", verbose=False).points.shape == (5, 2)


@pytest.mark.parametrize(
    ("count", "options", "message"),
    [
        (2, {}, "at least three images.*2 images"),
        (9, {"method": "umap"}, "`method` must be one of 'pca', 'tsne'"),
        (9, {"wrong": [True]}, r"for each of 9 images.*\(1,\)"),
        (9, {"perplexity": 0}, "`perplexity`"),
        (9, {"seed": -1}, "`seed`"),
    ],
)
def test_what_is_wrong_is_named(count, options, message):
    with pytest.raises(ValueError, match=message):
        kp.embedding_map(blobs(count), **options)
