import numpy as np
import pytest

from keras_practical import plots


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
