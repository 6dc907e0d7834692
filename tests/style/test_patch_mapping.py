"""Which patch of a painting stands for which place: against numbers worked out by hand."""

import numpy as np
import pytest

from keras_practical.style.patches import (
    consistent_mapping,
    nearest_patches,
    upsampled_mapping,
)


def every_cell(height, width):
    return np.indices((height, width)).reshape(2, -1).T


def nearest_by_loops(features, places, painting):
    """Return the most alike patch by the definition: cosine, patch by patch, borders repeated."""

    def patch(features, row, column):
        rows = np.clip([row - 1, row, row + 1], 0, len(features) - 1)
        columns = np.clip([column - 1, column, column + 1], 0, features.shape[1] - 1)
        return features[np.ix_(rows, columns)].ravel().astype("float64")

    found = []
    for place in places:
        own = patch(features, *place)
        cosines = {}
        for cell in every_cell(*painting.shape[:2]):
            other = patch(painting, *cell)
            size = np.linalg.norm(own) * np.linalg.norm(other)
            cosines[tuple(cell)] = (own @ other) / size
        found.append(max(cosines, key=cosines.get))
    return np.array(found)


def test_nearest_patch_is_that_of_the_largest_cosine(rng):
    features, painting = rng.normal(size=(5, 6, 3)), rng.normal(size=(7, 4, 3))
    places = every_cell(5, 6)
    expected = nearest_by_loops(features, places, painting)
    assert nearest_patches(features, places, painting).tolist() == expected.tolist()


def test_a_brighter_painting_has_the_same_nearest_patches(rng):
    features = rng.random((6, 6, 2))
    places = every_cell(6, 6)
    # Rolled, so that a match is never simply the same cell.
    painting = np.roll(features, 3, axis=1)
    once = nearest_patches(features, places, painting)
    assert nearest_patches(features, places, 7 * painting).tolist() == once.tolist()
    inner = (places[:, 1] == 1) & (places[:, 0] % 5 > 0)
    assert once[inner].tolist() == (places[inner] + np.array([0, 3])).tolist()


def test_a_featureless_place_does_not_divide_by_zero():
    features = np.zeros((3, 3, 2))
    assert nearest_patches(features, np.array([[1, 1]]), np.ones((4, 4, 2))).shape == (1, 2)


def test_a_large_painting_is_sampled_by_seed(rng):
    painting = rng.normal(size=(150, 150, 1))
    places = every_cell(4, 4) + 20
    once, again, other = (nearest_patches(painting, places, painting, seed=s) for s in (0, 0, 1))
    assert once.tolist() == again.tolist()
    assert once.tolist() != other.tolist()
    # 20,000 of 22,500 cells are compared, so most places still find themselves.
    assert (once == places).all(1).mean() > 0.5


def test_neighbours_outvote_an_outlier():
    painting = np.zeros((6, 12, 1))
    painting[0, 11] = 9.0
    places = np.array([[2, column] for column in range(5)])
    matches = places + np.array([1, 3])
    matches[2] = [0, 11]
    # Each place but the outlier sees it proposed, and every other proposal has features 0.
    found = consistent_mapping(places, matches, painting)
    assert found.tolist() == (places + np.array([1, 3])).tolist()


def test_the_vote_counts_features_as_worked_out_by_hand():
    # Two places side by side. The first one's match is cell 0 (feature 0), the second's cell 3.
    # For the first: its own proposal 0, its right neighbour's 3 - 1 = 2. For the second: its own
    # 3, its left neighbour's 0 + 1 = 1. Two voices are equally far from each other: ties go to the
    # proposal from the left, so the second takes 1 and the first keeps 0.
    painting = np.arange(5.0).reshape(1, 5, 1)
    places = np.array([[0, 0], [0, 1]])
    found = consistent_mapping(places, np.array([[0, 0], [0, 3]]), painting)
    assert found.tolist() == [[0, 0], [0, 1]]
    # A third place makes two of three proposals meet: the middle one hears 0 + 1, 3 and 2 - 1.
    places = np.array([[0, 0], [0, 1], [0, 2]])
    found = consistent_mapping(places, np.array([[0, 0], [0, 3], [0, 2]]), painting)
    assert found[1].tolist() == [0, 1]


def test_proposals_outside_of_the_painting_are_not_heard():
    painting = np.arange(4.0).reshape(2, 2, 1)
    places = every_cell(2, 2)
    found = consistent_mapping(places, np.zeros((4, 2), int), painting)
    assert found.min() >= 0
    assert found.max() <= 1


def test_votes_make_a_noisy_mapping_more_consistent(rng):
    painting = rng.normal(size=(20, 20, 3))
    places = every_cell(8, 8) + 4
    move = np.array([5, -3])
    matches = places + move
    wrong = rng.random(64) < 0.2
    matches[wrong] = rng.integers(0, 20, (wrong.sum(), 2))
    found = consistent_mapping(places, matches, painting)
    assert (matches - places == move).all(1).mean() < 0.85
    assert (found - places == move).all(1).mean() > 0.95


def test_a_finer_layer_moves_by_the_same_part_of_the_picture():
    # Coarse cell (1, 1) moves by (3, -1). At twice the resolution its four cells move by (6, -2).
    found = upsampled_mapping(
        np.array([[2, 2], [2, 3], [3, 2], [3, 3]]),
        np.array([[1, 1]]),
        np.array([[4, 0]]),
        coarse_shape=(8, 8),
        shape=(16, 16),
        painting_shape=(16, 16),
    )
    assert found.tolist() == [[8, 0], [8, 1], [9, 0], [9, 1]]


def test_a_move_over_the_edge_ends_at_the_edge():
    found = upsampled_mapping(
        np.array([[3, 3]]),
        np.array([[1, 1]]),
        np.array([[3, 3]]),
        coarse_shape=(4, 4),
        shape=(8, 8),
        painting_shape=(7, 6),
    )
    assert found.tolist() == [[6, 5]]


@pytest.mark.parametrize("side", [(13, 27), (12, 24), (7, 31)])
def test_maps_of_odd_sizes_stay_near_the_true_place(side, rng):
    coarse, fine = side
    coarse_places = every_cell(coarse, coarse)
    move = np.array([2, -3])
    places = every_cell(fine, fine)[::7]
    found = upsampled_mapping(
        places,
        coarse_places,
        coarse_places + move,
        coarse_shape=(coarse, coarse),
        shape=(fine, fine),
        painting_shape=(fine, fine),
    )
    expected = np.clip(places + np.rint(move * fine / coarse), 0, fine - 1)
    assert found.tolist() == expected.tolist()


def test_cell_without_a_coarse_one_around_it_follows_the_nearest():
    found = upsampled_mapping(
        np.array([[0, 13]]),
        np.array([[0, 7], [5, 5]]),
        np.array([[2, 7], [0, 0]]),
        coarse_shape=(8, 8),
        shape=(16, 16),
        painting_shape=(16, 16),
    )
    assert found.tolist() == [[4, 13]]
