"""What any two images of a set have in common makes no copies of them."""

import numpy as np
import pytest
from PIL import Image
from planted_copies import COPIES, copy_of, photo
from sklearn.datasets import load_digits

from keras_practical.inspection import alignment as module
from keras_practical.inspection.copies import near_duplicates


def enlarged_digits(count, side=64):
    pictures = (load_digits().images[:count] * (255 / 16)).astype("uint8")
    return [Image.fromarray(picture).resize((side, side)) for picture in pictures]


def stacked(images):
    return np.stack([np.asarray(image.convert("L").resize((64, 64))) for image in images])


def test_photos_are_alike_by_chance_a_little():
    pictures = stacked([photo(seed) for seed in range(60)])
    assert module.needed_by_chance(pictures, [64] * 60) < 0.9
    assert module.needed_by_chance(pictures[:19], [64] * 19) == -1


def test_what_is_needed_follows_from_random_pairs(monkeypatch):
    values = iter(np.linspace(-0.4, 0.8, 500))
    monkeypatch.setattr(module, "correlation", lambda first, second: next(values))
    # The quarter is at -0.1, the median at 0.2.
    deviation = (np.arctanh(0.2) - np.arctanh(-0.1)) / 0.6745
    monkeypatch.setattr(module, "_DEVIATIONS", 2)
    needed = module.needed_by_chance(np.zeros((20, 64, 64)), [64] * 20)
    assert needed == pytest.approx(np.tanh(np.arctanh(0.2) + 2 * deviation), abs=1e-9)


def test_it_is_never_more_than_copies_reach():
    same = np.stack([stacked([photo(0)])[0]] * 30)
    assert module.needed_by_chance(same, [64] * 30) == 0.995
    assert len(near_duplicates(same)) >= 29


@pytest.mark.parametrize("kind", [kind for kind in COPIES if kind != "brightness"])
def test_copies_of_digits_are_found_and_nothing_else(kind):
    images, rng = enlarged_digits(300), np.random.default_rng(0)
    copies = [copy_of(image.convert("RGB"), kind, rng) for image in images[:30]]
    pairs = near_duplicates(stacked([*images, *copies]))
    planted = {(n, 300 + n) for n in range(30)}
    found = {(pair.first, pair.second) for pair in pairs}
    assert found <= planted
    assert len(found) >= 29


def test_different_digits_are_no_pairs(monkeypatch):
    pictures = stacked(enlarged_digits(300))
    assert near_duplicates(pictures) == ()
    monkeypatch.setattr(module, "_FEWEST_FOR_CHANCE", 1000)
    assert len(near_duplicates(pictures)) > 10


def test_a_pair_that_stands_out_is_found_where_all_are_alike(monkeypatch):
    images = enlarged_digits(100)
    # Another picture shines through the copy: not the same, but nothing else is as near.
    pictures = stacked([*images, Image.blend(images[3], images[4], 0.2)])
    [pair] = near_duplicates(pictures)
    assert (pair.first, pair.second) == (3, 100)
    assert pair.similarity < module.needed_by_chance(pictures, [64] * 101)
    monkeypatch.setattr("keras_practical.inspection.copies._STANDS_OUT", 1000)
    assert near_duplicates(pictures) == ()


def test_the_usual_distance_is_that_of_the_most_alike():
    images = [photo(seed) for seed in range(30)]
    pictures = stacked([*images, *[images[0]] * 25])
    usual = module.usual_distances(pictures, [64] * 55, [0, 1], verbose=False)
    # Among 25 copies the twenty nearest are copies; a photo has none.
    assert usual[0] == pytest.approx(0, abs=1e-3)
    assert usual[1] > 0.5


def test_no_picture_is_its_own_neighbour():
    pictures = stacked([photo(0), photo(0).convert("L").point(lambda value: 255 - value)])
    usual = module.usual_distances(pictures, [64] * 2, [0], verbose=False)
    between = module.aligned_similarity(pictures[1], pictures[0], (0, 0, 64), 64)
    assert usual == {0: 1 - between}
    assert between < 0.5


def test_the_darker_picture_gets_the_brighter_ones_tones():
    dark = np.arange(6, dtype="float32").reshape(2, 3)
    bright = np.minimum(dark * 3, 10)
    covered = np.ones((2, 3), bool)
    for pair in ((dark, bright), (bright, dark)):
        first, second = module._equally_bright(*pair, covered)
        np.testing.assert_allclose(first, bright)
        np.testing.assert_allclose(second, bright)
