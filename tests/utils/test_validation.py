"""The argument checks: what passes, and what the errors say."""

import math
import re

import pytest

from keras_practical.utils.checks import (
    check_between,
    check_choice,
    check_count,
    check_image_size,
    check_positive,
)

NO_NUMBERS = [None, "1", True, False, [1], 1j, math.nan, math.inf, -math.inf]


def exactly(text):
    return f"^{re.escape(text)}$"


@pytest.mark.parametrize("value", [1, 1e-300, 0.5, 10**9])
def test_check_positive_passes(value):
    assert check_positive("rate", value) is None


@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, *NO_NUMBERS])
def test_check_positive_fails(value):
    text = f"`rate` must be a number > 0. Received: rate={value!r}"
    with pytest.raises(ValueError, match=exactly(text)):
        check_positive("rate", value)


@pytest.mark.parametrize(("value", "minimum"), [(1, 1), (7, 1), (0, 0), (2, 2), (-3, -3)])
def test_check_count_passes(value, minimum):
    assert check_count("epochs", value, minimum=minimum) is None


@pytest.mark.parametrize(
    ("value", "minimum"), [(0, 1), (-1, 0), (1, 2), (2.0, 1), *[(value, 0) for value in NO_NUMBERS]]
)
def test_check_count_fails(value, minimum):
    text = f"`epochs` must be a whole number >= {minimum}. Received: epochs={value!r}"
    with pytest.raises(ValueError, match=exactly(text)):
        check_count("epochs", value, minimum=minimum)


def test_check_count_starts_at_one():
    check_count("epochs", 1)
    with pytest.raises(ValueError, match=exactly("`e` must be a whole number >= 1. Received: e=0")):
        check_count("e", 0)


@pytest.mark.parametrize("value", [0, 0.25, 1, 1.0])
def test_check_between_passes(value):
    assert check_between("fraction", value, 0.0, 1.0) is None


@pytest.mark.parametrize("value", [-1e-9, 1.0000001, 2, *NO_NUMBERS])
def test_check_between_fails(value):
    text = f"`fraction` must be a number from 0 to 1. Received: fraction={value!r}"
    with pytest.raises(ValueError, match=exactly(text)):
        check_between("fraction", value, 0.0, 1.0)


def test_check_between_says_its_bounds():
    text = "`angle` must be a number from -22.5 to 90. Received: angle=91"
    with pytest.raises(ValueError, match=exactly(text)):
        check_between("angle", 91, -22.5, 90.0)


@pytest.mark.parametrize("value", ["crop", None, 3])
def test_check_choice_passes(value):
    assert check_choice("resize", value, iter(["crop", None, 3])) is None


@pytest.mark.parametrize("value", ["Crop", "", 4, [], {}])
def test_check_choice_fails(value):
    text = f"`resize` must be one of 'crop', 'pad'. Received: resize={value!r}"
    with pytest.raises(ValueError, match=exactly(text)):
        check_choice("resize", value, (name for name in ["crop", "pad"]))


@pytest.mark.parametrize(
    ("value", "expected"), [(32, (32, 32)), ((1, 2), (1, 2)), ([3, 4], (3, 4))]
)
def test_check_image_size_gives_height_and_width(value, expected):
    assert check_image_size("size", value) == expected


@pytest.mark.parametrize(
    "value",
    [0, -1, True, 2.0, "32", None, (), (1,), (1, 2, 3), (0, 1), (1, 2.0), (True, 1), {1, 2}],
)
def test_check_image_size_fails(value):
    text = (
        "`size` must be a whole number of pixels or a (height, width) pair of them, each >= 1. "
        f"Received: size={value!r}"
    )
    with pytest.raises(ValueError, match=exactly(text)):
        check_image_size("size", value)
