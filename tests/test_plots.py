import numpy as np
import pytest

import keras_practical as kp
from keras_practical import plots
from keras_practical.utils.drawing import PALETTE, luminance


def canvas(ax):
    return ax.get_images()[0].get_array()


def test_show_images_draws_each_picture_where_its_title_says():
    pictures = np.stack([np.full((10, 10, 3), value) for value in (10, 20, 30)])
    ax = plots.show_images(pictures, ["ten", "twenty", "thirty"], columns=2)
    drawn = canvas(ax)
    assert drawn.shape == (2 * 12, 2 * 12, 4)
    for value, top, left in ((10, 0, 0), (20, 0, 12), (30, 12, 0)):
        assert (drawn[top : top + 10, left : left + 10] == [value, value, value, 255]).all()
    assert (drawn[12:, 12:, 3] == 0).all()
    assert [text.get_text() for text in ax.texts] == ["ten", "twenty", "thirty"]


def test_show_images_draws_grey_pictures_and_rounds():
    drawn = canvas(plots.show_images(np.full((1, 4, 4, 1), 99.6)))
    assert (drawn[:4, :4, :3] == 100).all()


def test_show_images_draws_a_dollar_sign_as_it_is():
    ax = plots.show_images(np.zeros((1, 4, 4, 3)), ["$x_1$"])
    ax.figure.canvas.draw()
    assert not ax.texts[0].get_parse_math()


def test_show_images_draws_into_the_axes_given():
    import matplotlib.pyplot as plt

    ax = plt.figure().add_subplot()
    assert plots.show_images(np.zeros((1, 4, 4, 3)), ax=ax) is ax


@pytest.mark.parametrize(
    ("images", "titles", "message"),
    [
        (np.zeros((4, 4, 3)), None, r"shape \(n, height, width, channels\).*\(4, 4, 3\)"),
        (np.zeros((0, 4, 4, 3)), None, "n >= 1"),
        (np.zeros((2, 4, 4, 3)), ["one"], "1 titles for 2 images"),
    ],
)
def test_show_images_says_what_is_wrong(images, titles, message):
    with pytest.raises(ValueError, match=message):
        plots.show_images(images, titles)


def test_show_batch_names_the_classes():
    class Data(list):
        class_names = ("cat", "dog")

    ax = plots.show_batch(Data([(np.zeros((3, 4, 4, 3)), np.array([1, 0, 1]))]), n=2)
    assert [text.get_text() for text in ax.texts] == ["dog", "cat"]


def test_learning_curves_draws_epochs_from_one():
    ax = plots.learning_curves({"accuracy": [0.5, 0.8], "val_accuracy": [0.4, 0.6]})
    training, validation = ax.get_lines()
    assert training.get_xydata().tolist() == [[1, 0.5], [2, 0.8]]
    assert validation.get_xydata().tolist() == [[1, 0.4], [2, 0.6]]
    assert ax.get_ylabel() == "accuracy"


def test_learning_curves_does_without_validation():
    assert len(plots.learning_curves({"loss": [1.0]}, metric="loss").get_lines()) == 1


def test_learning_curves_names_the_missing_metric():
    with pytest.raises(ValueError, match=r"no metric 'auc'\. It has: loss"):
        plots.learning_curves({"loss": [1.0]}, metric="auc")


def test_show_images_leaves_room_for_each_line_of_a_title():
    one, three = (
        canvas(plots.show_images(np.zeros((1, 50, 50, 3)), [title])).shape[0]
        for title in ("a", "a\nb\nc")
    )
    assert one < three


def contrast(one, other):
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def test_contrast_is_wcags():
    # https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio; #777777 on white is the known 4.48.
    assert contrast("black", "white") == pytest.approx(21)
    assert contrast("#777777", "white") == pytest.approx(4.48, abs=0.005)


@pytest.mark.parametrize("color", PALETTE)
def test_colors_stand_out_on_white_and_on_black(color):
    assert contrast(color, "white") >= 3
    assert contrast(color, "black") >= 3


def machado(color, matrix):
    """Return how a colour looks to a colour-blind person, in CIELAB."""
    rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(matrix) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = np.array(to_xyz) @ seen / [0.9505, 1.0, 1.089]
    f = np.where(ratio > 0.008856, np.cbrt(ratio), 7.787 * ratio + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


# Machado, Oliveira & Fernandes (2009), severity 1.
SEEN_BY = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("kind", SEEN_BY)
def test_colour_blind_people_tell_the_colors_apart(kind):
    seen = [machado(color, SEEN_BY[kind]) for color in PALETTE]
    distances = [np.linalg.norm(one - other) for i, one in enumerate(seen) for other in seen[:i]]
    # A difference of 2.3 is just noticeable.
    assert min(distances) > 8


def drawn_plots():
    """Draw each plot once, by name."""
    from keras_practical.evaluation.calibration import Calibration
    from keras_practical.transfer.feature_map import EmbeddingMap

    counts = np.array([[8, 2, 0], [0, 5, 1], [3, 0, 9]])
    points = np.random.default_rng(0).normal(size=(9, 2))
    names = ("ok", "$x$", "a name that is very long indeed, and goes on")
    pictures = np.full((3, 8, 8, 3), 128)
    rates = np.geomspace(1e-4, 1, 9)
    map_ = EmbeddingMap(
        points=points,
        labels=np.arange(9) % 3,
        class_names=names,
        names=(),
        wrong=np.arange(9) == 4,
        method="pca",
        explained=0.4,
    )
    return {
        "show_images": plots.show_images(pictures, names),
        "heatmap": plots.heatmap(pictures[0], np.eye(8)),
        "confusion": plots.confusion(counts, class_names=names),
        "normalized": plots.confusion(counts, normalize=True),
        "accuracies": plots.accuracies(names, [1, 2, 3], [3, 3, 3]),
        "reliability": plots.reliability(
            Calibration(
                error=0.1,
                error_by_chance=0.2,
                confidences=(0.7, 0.9),
                accuracies=(0.6, 0.9),
                counts=(10, 90),
            )
        ),
        "learning_curves": plots.learning_curves(
            {"loss": [2, 1], "val_loss": [3, 2]}, metric="loss"
        ),
        "schedule": plots.schedule(rates, momentums=rates),
        "learning_rate_finder": plots.learning_rate_finder(rates, rates[None], {"valley": 0.01}),
        "embedding_map": map_.plot(),
    }


def texts_of(ax):
    """Return all texts that are drawn outside of coloured cells."""
    labels = [*ax.get_xticklabels(), *ax.get_yticklabels(), ax.title, ax.xaxis.label]
    legend = ax.get_legend()
    return [*labels, ax.yaxis.label, *(legend.get_texts() if legend else [])]


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_every_plot_is_readable_on_a_light_and_on_a_dark_page(style):
    import matplotlib.pyplot as plt

    with plt.style.context(style):
        for name, ax in drawn_plots().items():
            ax.figure.canvas.draw()
            page = ax.figure.get_facecolor()
            for text in texts_of(ax):
                assert contrast(text.get_color(), page) >= 4.5, (name, text)
            for line in ax.get_lines():
                assert contrast(line.get_color(), page) >= 3, (name, line)
            if name == "show_images":
                assert all(contrast(text.get_color(), page) >= 4.5 for text in ax.texts)


@pytest.mark.parametrize("style", ["default", "dark_background"])
def test_numbers_in_a_confusion_matrix_are_readable(style):
    import matplotlib.pyplot as plt

    with plt.style.context(style):
        counts = np.array([[n, 40 - n] + [0] * 18 for n in range(20)])
        ax = plots.confusion(counts)
        image = ax.get_images()[0]
        assert len(ax.texts) == np.count_nonzero(counts)
        for text in ax.texts:
            column, row = text.get_position()
            cell = image.cmap(image.norm(image.get_array()[row, column]))
            assert contrast(text.get_color(), cell) >= 4.5


def test_confusion_writes_counts_or_parts_and_colors_parts():
    counts = np.array([[8, 2], [0, 0]])
    ax = plots.confusion(counts, class_names=["a", "b"])
    assert [text.get_text() for text in ax.texts] == ["8", "2"]
    assert ax.get_images()[0].get_array().tolist() == [[0.8, 0.2], [0.0, 0.0]]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted", "true")
    assert not plots.confusion(np.eye(21, dtype=int)).texts
    own = ax.figure.add_subplot()
    assert plots.confusion(counts, ax=own) is own


@pytest.mark.parametrize(
    ("counts", "names", "message"),
    [
        (np.zeros((2, 3)), None, r"shape \(classes, classes\).*\(2, 3\)"),
        (np.zeros((0, 0)), None, r"\(0, 0\)"),
        (np.array([[1, -1], [0, 1]]), None, "numbers >= 0"),
        (np.eye(2), ["a"], "1 class names for 2 classes"),
    ],
)
def test_confusion_says_what_is_wrong(counts, names, message):
    with pytest.raises(ValueError, match=message):
        plots.confusion(counts, class_names=names)


def test_accuracies_draw_wilsons_interval_and_the_whole():
    ax = plots.accuracies(["a", "b"], [1, 9], [10, 10])
    overall, parts = ax.get_lines()
    assert overall.get_xdata()[0] == 0.5
    assert parts.get_xdata().tolist() == [0.1, 0.9]
    (bars,) = ax.collections
    assert tuple(bars.get_segments()[0][:, 0]) == kp.evaluation.wilson_interval(1, 10)
    for wrong in (([], [], []), (["a"], [1, 2], [3])):
        with pytest.raises(ValueError, match="at least one group"):
            plots.accuracies(*wrong)
    with pytest.raises(ValueError, match="`counts` must be"):
        plots.accuracies(["a"], [0], [0])
