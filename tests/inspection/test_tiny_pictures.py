"""Copies of images of a few pixels are found, and other people's digits are left alone."""

import cv2
import numpy as np
import pytest
from PIL import Image
from planted_copies import COPIES, copy_of, photo
from sklearn.datasets import load_digits

from keras_practical.inspection import tiny_images as module
from keras_practical.inspection.copies import near_duplicates


def digits(count):
    return (load_digits().images[:count] * (255 / 16)).astype("uint8")


def thumbnail(picture):
    shrinks = min(picture.shape) > 64
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(picture, (64, 64), interpolation=how)


def found(pictures):
    """Return the pairs among grey images of any size, as `(first, second, mirrored)`."""
    thumbnails = np.stack([thumbnail(picture) for picture in pictures])
    pairs = near_duplicates(thumbnails, sizes_pixels=[picture.shape for picture in pictures])
    return {(pair.first, pair.second, pair.mirrored) for pair in pairs}


@pytest.mark.parametrize("kind", COPIES)
def test_each_kind_of_copy_is_found_and_nothing_else(kind):
    pictures, rng = digits(200), np.random.default_rng(1)
    images = [Image.fromarray(picture).convert("RGB") for picture in pictures[:40]]
    copies = [np.asarray(copy_of(image, kind, rng).convert("L")) for image in images]
    planted = {(n, 200 + n, kind == "mirrored") for n in range(40)}
    pairs = found([*pictures, *copies])
    assert pairs <= planted
    assert len(pairs) >= 38


def test_different_digits_are_no_pairs():
    assert found(digits(200)) == set()


def test_a_picture_reduced_to_a_few_pixels_is_found():
    pictures = [np.asarray(photo(seed).convert("L")) for seed in range(30)]
    small = np.asarray(photo(4).convert("L").resize((11, 8), Image.Resampling.BILINEAR))
    assert found([*pictures, small, small[:, ::-1]]) == {
        (4, 30, False),
        (4, 31, True),
        (30, 31, True),
    }


def test_of_two_that_a_piece_may_come_from_only_the_better_one_is_its_original():
    original = digits(1)[0]
    lookalike = np.where(original > 100, original + 4, original).astype("uint8")
    piece = np.asarray(Image.fromarray(original).resize((5, 5), Image.Resampling.BILINEAR))
    thumbnails = np.stack([thumbnail(picture) for picture in (lookalike, original, piece)])
    pairs = module.tiny_pairs(thumbnails, np.array([(8, 8), (8, 8), (5, 5)]), 12)
    assert {pair[:2] for pair in pairs} == {(0, 1), (1, 2)}


def test_two_by_two_pixels_say_too_little():
    pictures = np.random.default_rng(0).integers(0, 256, (50, 2, 2), "uint8")
    assert found(pictures) == set()


def test_stretching_is_taken_back():
    picture = np.random.default_rng(0).integers(0, 256, (5, 7), "uint8")
    stretched = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_allclose(module._restored(stretched[None], 5, 7)[0], picture, atol=1)


def test_reducing_is_a_weighted_mean_of_what_lies_under_a_pixel():
    weights = module._weights(module._triangle, 2, 4)
    # Triangles two pixels wide around 1 and 3, cut off at the edge.
    np.testing.assert_allclose(weights, [[3, 3, 1, 0], [0, 1, 3, 3]] / np.array(7))
    np.testing.assert_array_equal(module._weights(module._triangle, 4, 4), np.eye(4))


def test_pairs_are_found_across_blocks(monkeypatch):
    pictures = [*digits(50), digits(50)[3, :, ::-1], digits(50)[7, :7]]
    expected = {(3, 50, True), (7, 51, False)}
    assert found(pictures) == expected
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert found(pictures) == expected
