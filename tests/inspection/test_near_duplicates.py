"""Copies of images are found, whatever was done to them, and nothing else is."""

import numpy as np
import pytest
from PIL import Image
from planted_copies import COPIES, copy_of, photo

from keras_practical.inspection import alignment as similarity_module
from keras_practical.inspection import copies as module
from keras_practical.inspection.copies import SimilarPair, near_duplicates, perceptual_hashes


def thumbnail(image):
    return np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BOX))


@pytest.fixture(scope="module")
def photos():
    return [photo(seed) for seed in range(40)]


@pytest.mark.parametrize("kind", COPIES)
def test_each_kind_of_copy_is_found_and_nothing_else(photos, kind):
    rng = np.random.default_rng(1)
    copies = [copy_of(image, kind, rng) for image in photos[:15]]
    pairs = near_duplicates(np.stack([thumbnail(image) for image in (*photos, *copies)]))
    assert [(pair.first, pair.second) for pair in pairs] == [(n, 40 + n) for n in range(15)]
    assert {pair.mirrored for pair in pairs} == {kind == "mirrored"}


def test_different_pictures_are_no_pairs(photos):
    assert near_duplicates(np.stack([thumbnail(image) for image in photos])) == ()


def test_a_picture_that_is_its_own_mirror_image_is_no_pair(photos):
    half = thumbnail(photos[0])[:, :32]
    symmetric = np.concatenate([half, half[:, ::-1]], axis=1)
    assert near_duplicates(np.stack([symmetric, thumbnail(photos[1])])) == ()


def framed(image):
    """Return a faint image on paper that lies on a dark table."""
    pixels = 0.12 * np.asarray(image.convert("L").resize((128, 128)), "float32") + 150
    pixels[:14] = pixels[-14:] = pixels[:, :14] = pixels[:, -14:] = 20
    return Image.fromarray(pixels.astype("uint8"))


def test_a_frame_that_all_share_makes_no_copies(photos, monkeypatch):
    rng = np.random.default_rng(1)
    on_table = [framed(image) for image in photos]
    copies = [copy_of(image, "re-encoded", rng) for image in on_table[:5]]
    thumbnails = np.stack([thumbnail(image) for image in (*on_table, *copies)])
    planted = [(n, 40 + n) for n in range(5)]
    assert [(pair.first, pair.second) for pair in near_duplicates(thumbnails)] == planted
    monkeypatch.setattr(similarity_module, "_FEWEST_FOR_CHANCE", 1000)
    assert len(near_duplicates(thumbnails)) > 5


def test_many_copies_of_few_pictures_are_no_frame(photos):
    rng = np.random.default_rng(1)
    copies = [copy_of(image, "re-encoded", rng) for image in photos[:3] for _ in range(10)]
    pairs = near_duplicates(np.stack([thumbnail(image) for image in copies]))
    assert len(pairs) >= 3 * 9


def test_blank_pictures_are_not_compared():
    assert near_duplicates(np.full((50, 64, 64), 200, "uint8")) == ()
    assert near_duplicates(np.empty((0, 64, 64), "uint8")) == ()


def test_what_is_alike_from_afar_differs_in_detail(photos):
    # The same coarse picture under different details, such as two leaves on one table.
    coarse = np.asarray(Image.fromarray(thumbnail(photos[0])).resize((5, 5)).resize((64, 64)))
    rng = np.random.default_rng(0)
    pictures = [
        np.clip(0.8 * coarse + rng.normal(0, 12, (64, 64)), 0, 255).astype("uint8")
        for _ in range(2)
    ]
    hashes = perceptual_hashes(np.stack(pictures)).reshape(2, -1)
    assert np.corrcoef(pictures[0].ravel(), pictures[1].ravel())[0, 1] > 0.6
    assert near_duplicates(np.stack(pictures)) == ()
    assert (hashes[0] != hashes[1]).mean() < 0.5


def test_hashes_are_those_of_imagehash(photos):
    imagehash = pytest.importorskip("imagehash")
    thumbnails = np.stack([thumbnail(image) for image in photos])
    expected = [imagehash.phash(Image.fromarray(t), hash_size=16).hash for t in thumbnails]
    # Single precision may put a frequency that lies at the median on its other side.
    assert (perceptual_hashes(thumbnails) != np.stack(expected)).mean() < 1e-3


def test_features_settle_doubtful_pairs_only(photos):
    first, other = (thumbnail(image).astype(float) for image in photos[:2])
    doubtful = 0.65 * first + 0.35 * other
    pictures = np.stack([first, doubtful, thumbnail(photos[2])]).astype("uint8")
    assert near_duplicates(pictures) == ()
    alike = np.array([[1.0, 0.0], [0.95, 0.2], [1.0, 0.0]])
    [pair] = near_duplicates(pictures, features=alike)
    assert (pair.first, pair.second) == (0, 1)
    assert 0.8 <= pair.similarity < 0.9
    assert near_duplicates(pictures, features=alike[[0, 2, 1]] * [[1, 0], [0, 1], [1, 1]]) == ()


def test_clipped_highlights_are_allowed_for(photos, monkeypatch):
    bright = [image.point(lambda value: min(255, int(value * 1.8))) for image in photos[:5]]
    thumbnails = np.stack([thumbnail(image) for image in (*photos, *bright)])
    pairs = near_duplicates(thumbnails)
    assert [(pair.first, pair.second) for pair in pairs] == [(n, 40 + n) for n in range(5)]
    monkeypatch.setattr(
        similarity_module, "_equally_bright", lambda first, second, covered: (first, second)
    )
    clipped = {(pair.first, pair.second): pair.similarity for pair in near_duplicates(thumbnails)}
    assert all(pair.similarity > clipped.get((pair.first, pair.second), 0) for pair in pairs)


def test_many_copies_of_one_picture_hang_together(photos):
    picture = thumbnail(photos[0])
    pairs = near_duplicates(np.stack([picture] * 80))
    # Not all of the 3,160 pairs, but enough of them to know the set.
    assert 79 <= len(pairs) <= 80 * 20
    reached = {0}
    for _ in range(5):
        reached |= {p.second for p in pairs if p.first in reached}
        reached |= {p.first for p in pairs if p.second in reached}
    assert len(reached) == 80


def test_pairs_are_found_across_blocks(photos, monkeypatch):
    pictures = np.stack([thumbnail(image) for image in (*photos, photos[0])])
    expected = near_duplicates(pictures)
    assert expected == (SimilarPair(first=0, second=40, similarity=1.0, mirrored=False),)
    monkeypatch.setattr(module, "_BLOCK", 7)
    assert near_duplicates(pictures) == expected


def test_bits_are_counted_without_numpy_2(monkeypatch):
    words = np.random.default_rng(0).integers(0, 2**63, (3, 5), "uint64")
    expected = [[bin(word).count("1") for word in row] for row in words.tolist()]
    assert module._bits_set(words).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    assert module._bits_set(words).tolist() == expected


@pytest.mark.parametrize(
    ("pictures", "options", "match"),
    [
        (np.zeros((3, 32, 32), "uint8"), {}, r"`thumbnails` must be uint8 .* shape \(3, 32, 32\)"),
        (np.zeros((3, 64, 64)), {}, "Received: float64"),
        (
            np.zeros((3, 64, 64), "uint8"),
            {"sizes_pixels": [(8, 8)]},
            "one row for each of 3 .* 1 sizes",
        ),
        (np.zeros((3, 64, 64), "uint8"), {"features": np.zeros((2, 4))}, "2 features"),
    ],
)
def test_wrong_shapes_are_named(pictures, options, match):
    with pytest.raises(ValueError, match=match):
        near_duplicates(pictures, **options)
