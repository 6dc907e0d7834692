"""`text.fine_tune` ends no worse on held-out texts than its head alone, and says by how much."""

import numpy as np
import pytest

import keras_practical as kp

# Also run on JAX.
pytestmark = pytest.mark.any_backend


def data_of(n=24, wrong=0):
    nouns = ("rain", "goal")
    texts = [f"{nouns[k % 2]} number {k}" for k in range(n)]
    labels = [("weather", "sports")[(k + (k < wrong)) % 2] for k in range(n)]
    return kp.text.load_texts((texts, labels), seed=1, verbose=False)


def language():
    texts = data_of().train.texts
    vocabulary = kp.text.build_vocabulary(texts, size=60, verbose=False)
    return kp.text.language_model(vocabulary, texts=texts, seed=0)


def losses(model, texts):
    probabilities = kp.text.predict_texts(model, texts.texts, verbose=False)
    return -np.log(np.clip(probabilities[np.arange(len(texts)), texts.labels], 1e-7, 1)).mean()


@pytest.mark.parametrize("rate", [1e-3, 3.0])
def test_the_end_is_not_worse_than_the_head_alone(rate, capsys):
    data, network = data_of(), language()
    alone = kp.text.classifier(network, data.class_names, seed=0)
    kp.text.fine_tune(alone, data.train, epochs=0, verbose=0)
    model = kp.text.classifier(language(), data.class_names, seed=0)
    history = kp.text.fine_tune(
        model,
        data.train,
        validation_data=data.validation,
        epochs=2,
        max_learning_rate=rate,
        verbose=2,
    )
    out = capsys.readouterr().out
    assert losses(model, data.validation) <= losses(alone, data.validation) + 1e-4
    assert "held-out examples right, was" in out
    assert f"{history.params['share']:.0%} of the way from the head alone is kept" in out
    if rate > 1:
        assert max(history.history["val_loss"]) > losses(alone, data.validation)
