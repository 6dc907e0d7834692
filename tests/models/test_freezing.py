import keras
import numpy as np
import pytest
from tiny import tiny_backbone, tiny_data, weights_by_layer

from keras_practical import transfer
from keras_practical.models.freezing import TransferSummary

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def changed(before, after):
    """Return the last two parts of the paths of the weights that differ."""
    return {
        "/".join(path.split("/")[-2:])
        for path, value in before.items()
        if not np.array_equal(value, after[path])
    }


@pytest.fixture
def model():
    return transfer.classifier(tiny_backbone(), 3, seed=0)


def test_groups_are_thirds_of_the_backbone_and_the_head(model):
    names = [
        [layer.name for layer in group if layer.weights] for group in transfer.layer_groups(model)
    ]
    assert [len(group) for group in names] == [2, 1, 2, 1]
    assert names[0][0] == "early"
    assert names[3] == ["probabilities"]


def test_groups_of_a_model_without_a_backbone_end_with_the_last_weighted_layer():
    model = keras.Sequential(
        [keras.Input((4,)), *(keras.layers.Dense(2) for _ in range(4)), keras.layers.Softmax()]
    )
    assert [len(group) for group in transfer.layer_groups(model)] == [1, 1, 1, 2]


def test_groups_of_a_single_layer_are_the_head_alone():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    assert [len(group) for group in transfer.layer_groups(model)] == [1]


@pytest.mark.parametrize(
    ("group", "trains"),
    [
        (-1, {"probabilities/kernel", "probabilities/bias"}),
        (2, {"late/kernel", "late/bias", "probabilities/kernel", "probabilities/bias"}),
        (
            0,
            {
                f"{layer}/{weight}"
                for layer in ("early", "middle", "late", "probabilities")
                for weight in ("kernel", "bias")
            },
        ),
    ],
)
def test_freeze_to_decides_what_fit_changes(model, group, trains):
    transfer.freeze_to(model, group)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = weights_by_layer(model)
    model.fit(*tiny_data(), verbose=0)
    assert changed(before, weights_by_layer(model)) == trains


def test_freeze_to_trains_batch_norm_when_asked(model):
    transfer.unfreeze(model, train_batch_norm=True)
    model.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    before = weights_by_layer(model)
    model.fit(*tiny_data(), verbose=0)
    moved = changed(before, weights_by_layer(model))
    for weight in ("gamma", "beta", "moving_mean", "moving_variance"):
        assert sum(path.endswith(weight) for path in moved) == 2


def test_freeze_to_without_compiling_again_is_an_error_not_silence(model):
    model.fit(*tiny_data(), verbose=0)
    transfer.unfreeze(model)
    with pytest.raises((ValueError, KeyError), match=r"(?i)variable"):
        model.fit(*tiny_data(), verbose=0)


def test_freeze_to_finds_batch_norm_in_nested_layers():
    backbone = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            keras.Sequential([keras.layers.Conv2D(2, 3), keras.layers.BatchNormalization()]),
        ]
    )
    model = transfer.classifier(backbone, 2)
    transfer.unfreeze(model)
    found = transfer.summary(model)
    assert (found.frozen_batch_norm_count, found.batch_norm_count) == (1, 1)


@pytest.mark.parametrize("group", [4, -5])
def test_freeze_to_refuses_a_group_that_is_not_there(model, group):
    with pytest.raises(ValueError, match=rf"4 layer groups.*Received: group={group}"):
        transfer.freeze_to(model, group)


def test_summary_counts_by_hand(model):
    # early 3*3*3*4+4, batch norms 4*4, middle 3*3*4*4+4, late 3*3*4*6+6, head 6*3+3
    assert transfer.summary(model) == TransferSummary(
        rows=(
            ("group 0", 3, 112 + 16, 0),
            ("group 1", 1, 148, 0),
            ("group 2", 3, 16 + 222, 0),
            ("head", 3, 21, 21),
        ),
        trainable_count=21,
        total_count=535,
        frozen_batch_norm_count=2,
        batch_norm_count=2,
    )


def test_summary_prints_what_trains(model):
    transfer.unfreeze(model)
    text = str(transfer.summary(model))
    assert "503 of 535 parameters train; BatchNormalization: 2 of 2 layers in inference" in text
    assert "112 train" in text
    assert text.splitlines()[3].endswith("trains")
