"""Each cell of a feature map lies at the centre of what it sees."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_practical as kp
from keras_practical.evaluation.receptive_fields import cell_centres

pytestmark = pytest.mark.any_backend


def conv(size, strides=1, padding="valid", **options):
    return layers.Conv2D(1, size, strides=strides, padding=padding, **options)


@pytest.mark.parametrize(
    ("stack", "expected"),
    [
        # Unpadded, 5 wide: the first cell looks at pixel 2.
        ([conv(5)], [2, 3, 4]),
        ([conv(3, 2)], [1, 3, 5]),
        # "same" with stride 2 on an even side pads on the right only: pixels 0 to 2, middle 1.
        ([conv(3, 2, "same")], [1, 3, 5]),
        ([layers.ZeroPadding2D(((1, 1), (1, 1))), conv(3, 2)], [0, 2, 4]),
        ([layers.Cropping2D(2), conv(1)], [2, 3, 4]),
        ([layers.MaxPooling2D(2), conv(3)], [2.5, 4.5, 6.5]),
        ([conv(3, dilation_rate=2)], [2, 3, 4]),
        ([layers.AveragePooling2D(2), layers.UpSampling2D(2)], [0, 1, 2]),
    ],
)
def test_centres_counted_by_hand(stack, expected):
    model = keras.Sequential([keras.Input((12, 12, 1)), *stack])
    rows, columns = cell_centres(model, model.layers[-1], (12, 12))
    np.testing.assert_allclose(rows[:3], expected)
    np.testing.assert_allclose(columns[:3], expected)
    assert len(rows) == model.output_shape[1]


def heat_of_a_spot(build, row, column, side=64):
    """Return where the heat of a bright spot lies: its centre of gravity."""
    inputs = keras.Input((side, side, 1))
    pooled = layers.GlobalAveragePooling2D()(build(inputs))
    model = keras.Model(inputs, layers.Dense(1, use_bias=False)(pooled))
    for weight in model.weights:
        size = np.prod(weight.shape[:-1])
        weight.assign(np.full(weight.shape, 1 / size) if len(weight.shape) > 1 else [0.0])
    image = np.zeros((side, side, 1), "float32")
    image[row - 1 : row + 2, column - 1 : column + 2] = 200.0
    heat = kp.grad_cam(model, image, class_index=1).heat
    rows, columns = np.mgrid[:side, :side]
    return (heat * rows).sum() / heat.sum(), (heat * columns).sum() / heat.sum()


@pytest.mark.parametrize(
    "build",
    [
        lambda inputs: conv(9)(conv(9)(inputs)),
        lambda inputs: conv(3, 2)(layers.ZeroPadding2D(((0, 1), (0, 1)))(inputs)),
        lambda inputs: layers.Add()([conv(9)(inputs), layers.Cropping2D(4)(conv(1)(inputs))]),
        lambda inputs: conv(5)(
            keras.Sequential([keras.Input((64, 64, 1)), conv(5), layers.MaxPooling2D(2)])(inputs)
        ),
    ],
    ids=["unpadded", "padded on one side", "branches", "nested"],
)
def test_heat_lies_on_a_spot(build):
    # Stretched evenly, the map of the first of them would lie 3 pixels beside it.
    row, column = heat_of_a_spot(build, 20, 44)
    assert abs(row - 20) < 1.0
    assert abs(column - 44) < 1.0


def test_without_a_graph_the_map_is_stretched():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = conv(5), layers.GlobalAveragePooling2D()

        def call(self, inputs):
            return self.pool(self.conv(inputs))

    model = Own()
    image = np.zeros((1, 12, 12, 1), "float32")
    model(image)
    assert cell_centres(model, model.conv, (12, 12)) is None
    assert kp.grad_cam(model, image[0], layer=model.conv).heat.shape == (12, 12)
