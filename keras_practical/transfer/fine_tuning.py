"""`fine_tune`: the head at once, then all layers, as far as it helps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from keras_practical.data.origin import origin_of
from keras_practical.models.anatomy import anatomy_of
from keras_practical.models.class_names import class_names_of, numbers_by_name
from keras_practical.training.one_cycle import OneCycle
from keras_practical.transfer.two_phases import TwoPhases
from keras_practical.utils.checks import check_between, check_count, check_positive
from keras_practical.utils.keras_internals.half_precision import half_precision
from keras_practical.utils.keras_internals.layers import every_layer

if TYPE_CHECKING:
    from keras_practical.utils.types import BackbonePart, Data

__all__ = ["fine_tune"]


def fine_tune(
    model: keras.Model,
    train: Data,
    *,
    validation_data: Data | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    frozen_epochs: int | None = None,
    max_learning_rate: float | str | None = None,
    frozen_learning_rate: float | None = None,
    backbone_multiplier: float | None = None,
    share: float | None = None,
    train_batch_norm: bool = False,
    mixed_precision: bool = False,
    views: int | None = None,
    cache_dir: str | Path | None = None,
    class_weight: Mapping[int, float] | None = None,
    backbone: BackbonePart | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> keras.callbacks.History:
    """Fine-tune a classifier: its head at once, then all layers, and only as far as it helps.

    Use it on a model of `classifier`, or on any compiled model with a pretrained part. In the
    first phase that part is frozen. The head is a logistic regression on its features, as of
    `linear_probe`: one pass over the images, no learning rate, no epochs. In the second phase all
    layers train under one cycle, faster and longer the more the head alone leaves to gain. At the
    end, held-out data choose between the weights at the start of the second phase, those at its
    end, and three places between: so with `validation_data` the end isn't worse on them than the
    start. Without them it stops half-way or before, which loses little where training harms.

    What was taken for pretrained, what was decided and why, and what it brought, is said. Each
    phase starts a fresh optimizer of the kind and settings that the model was compiled with; loss
    and metrics stay. In plain Keras this is scikit-learn on `predict`'s features, `set_weights`,
    setting `trainable`, compiling, `fit`, and a mean of two lists of weights.

    A head of several layers, or of other labels than one class each, is trained in two frozen
    epochs instead. Its features are computed once where that gives the same result: with data of
    `load_images` or arrays, without random layers before the head, and for a model whose class
    doesn't train in a way of its own.

    For callbacks it is one training: one log, one best epoch, one backup; a head that was solved
    is epoch 0. They see the weights of each epoch, before the choice at the end. `EarlyStopping`
    in the first phase ends that phase only. With `BackupAndRestore`, Keras's or this package's, a
    killed run goes on after the last whole epoch, with data of `load_images` or arrays to the very
    weights of a run that wasn't killed.

    Layers that were frozen by hand, while others of the pretrained part train, stay frozen; so do
    kernels under LoRA. If the call is refused or fails, frozen layers and optimizer are as before.
    After Ctrl-C too; the weights are those so far.

    Args:
        model: A compiled classifier. It is trained in place and stays unfrozen.
        train: Training data: a batched `tf.data.Dataset` of images and labels, a
            `keras.utils.PyDataset`, or an `(images, labels)` tuple of arrays, with sample weights
            as a third element if there are any. It must know its length.
        validation_data: As in `fit`. It also chooses among five places between start and end, by
            log-loss (of a model without probabilities of one class each: by its own loss). So a
            figure to report needs other images.
        epochs: Epochs of the second phase, >= 0. Default: what makes some 150 steps, at most 10; a
            third of that if the head alone is nearly right; and none if there are less than 10
            batches of images besides and nothing is held out.
        minutes: A budget for the whole, > 0. A few steps are timed, and there are fewer epochs; or
            only the last layers train; or the head alone is all. It may end later by what
            compiling takes.
        frozen_epochs: Epochs of a first phase in which the head is trained, >= 0; 0 for a head
            that is good already. Default: the head is solved.
        max_learning_rate: Peak rate of the head in the second phase, > 0. Default: one for all
            layers, from 2e-5 to 4e-4, in proportion to the log-loss of the head alone on held-out
            folds. `"auto"` runs `find_lr` first (100 steps): in a first phase that trains, and
            takes a tenth of its rate for the second; or else on all layers. If the finder gives no
            answer, the default is lowered to where its curve supports it.
        frozen_learning_rate: Peak rate of a first phase that trains, > 0. Default: ten times
            `max_learning_rate` if that is given, or else 0.01, because nothing pretrained can be
            damaged there.
        backbone_multiplier: Learning rate of the backbone's last layer group in the second phase,
            as a part of the head's, > 0. It falls geometrically to a tenth of that for the first.
            Default: 1 for all with the default rate, 0.01 with a rate of your own.
        share: How far to go from the weights at the start of the second phase to those at its
            end, in [0, 1]. Default: chosen by `validation_data`; without them 1/2 if the head was
            solved, 1/4 if it is nearly right then, or else 1.
        train_batch_norm: As in `freeze_to`.
        mixed_precision: Whether the backbone computes in float16 meanwhile, on float32 weights,
            which a GPU does faster; the optimizer scales the loss.
        views: For a model with augmentation inside: `embed` each training image and so many
            augmented views of it, >= 1, for the first phase. 0 never embeds, so that the head is
            trained. Default: the images as they are, for a head that is solved; for one that is
            trained, embed where the result is the same.
        cache_dir: As in `embed`.
        class_weight: As in `fit`, for both phases.
        backbone: The pretrained part: a layer of `model` (a nested model is one), its name, or a
            list of them. Default: as `layer_groups` tells it.
        callbacks: Keras callbacks; they see the whole model, and the epochs counted through.
            `ReduceLROnPlateau` lowers the rest of a phase's cycle. Not `LearningRateScheduler`:
            two can't steer one rate.
        verbose: As in `fit`; 0 also silences the lines that say what is done.

    Returns:
        One `History` of both phases, `learning_rate` (the head's) included. Its `params` say
        `share`, `solved_head`, `max_learning_rate` and the numbers of epochs.

    Raises:
        ValueError: An argument is outside its range, the model isn't compiled, it isn't clear which
            part of it is pretrained, data and model list their classes in different orders, the
            data don't say how many batches they have, a callback sets the learning rate, or with
            `"auto"` the loss explodes at every rate.

    Example:

    >>> from keras_practical import load_images
    >>> from keras_practical.models.classifiers import classifier
    >>> digits = load_images("digits", batch_size=256, verbose=False)
    >>> backbone = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3)])
    >>> model = classifier(backbone, digits.class_names, seed=0)
    >>> history = fine_tune(model, digits.train, validation_data=digits.validation, verbose=0)
    >>> history.epoch[0], history.params["solved_head"], history.history["val_accuracy"][0] > 0.5
    (0, True, True)

    Reference:
        The head first and exactly: Kumar et al., *Fine-Tuning can Distort Pretrained Features*
        (2022), arXiv 2202.10054. Between the weights: Wortsman et al., *Robust fine-tuning of
        zero-shot models* (2021), arXiv 2109.01903. One cycle: arXiv 1803.09820. What was measured:
        `benchmarks/fine_tuning.md`.
    """
    if epochs is not None:
        check_count("epochs", epochs, minimum=0)
    if frozen_epochs is not None:
        check_count("frozen_epochs", frozen_epochs, minimum=0)
    for name, value in (
        ("minutes", minutes),
        ("max_learning_rate", None if max_learning_rate == "auto" else max_learning_rate),
        ("frozen_learning_rate", frozen_learning_rate),
        ("backbone_multiplier", backbone_multiplier),
    ):
        if value is not None:
            check_positive(name, value)
    if share is not None:
        check_between("share", share, 0.0, 1.0)
    if views is not None:
        check_count("views", views, minimum=0)
    if not model.compiled:
        raise ValueError("`model` must be compiled: call model.compile(...) first.")
    for callback in callbacks:
        if isinstance(callback, OneCycle | keras.callbacks.LearningRateScheduler):
            raise ValueError(
                "`fine_tune` sets the learning rate itself, one cycle a phase; a second callback "
                f"can't. Take {type(callback).__name__} out of `callbacks`, or call model.fit."
            )
    _check_class_names(model, train=train, validation_data=validation_data)
    anatomy = anatomy_of(model, backbone=backbone)
    phases = TwoPhases(
        model,
        train,
        validation_data,
        callbacks=callbacks,
        verbose=verbose,
        class_weight=class_weight,
        anatomy=anatomy,
        mixed_precision=mixed_precision,
    )
    precision = half_precision(model, anatomy.backbone) if mixed_precision else nullcontext()
    with _as_before_if_it_fails(model), precision:
        if verbose:
            print(f"fine_tune: {anatomy}")
        phases.begin(
            frozen_epochs=frozen_epochs,
            epochs=epochs,
            max_learning_rate=max_learning_rate,
            frozen_learning_rate=frozen_learning_rate,
            views=views,
            cache_dir=cache_dir,
        )
        phases.go_on(
            minutes=minutes,
            backbone_multiplier=backbone_multiplier,
            train_batch_norm=train_batch_norm,
        )
        phases.finish(share)
    return phases.history


@contextmanager
def _as_before_if_it_fails(model: keras.Model) -> Iterator[None]:
    """Put back what was frozen, and the optimizer, if the block raises anything."""
    layers = [(layer, layer.trainable) for layer in every_layer(model)]
    variables = [(variable, variable.trainable) for variable in model.variables]
    optimizer = model.optimizer
    try:
        yield
    except BaseException:
        for layer, trainable in layers:
            layer.trainable = trainable
        for variable, trainable in variables:
            variable.trainable = trainable
        model.optimizer = optimizer
        model.train_function = None
        raise


def _check_class_names(model: keras.Model, **data: Data | None) -> None:
    """Refuse data that number the classes otherwise than the model: `fit` goes by number."""
    known = class_names_of(model)
    for argument, given in data.items():
        names = None if given is None else origin_of(given).class_names
        if known is None or names is None:
            continue
        remedy = f"Load `{argument}` with class_names={list(known)}."
        numbers = numbers_by_name(known, names, remedy=remedy)
        if numbers is not None and list(numbers) != list(range(len(numbers))):
            raise ValueError(
                f"`{argument}` lists its classes as {', '.join(names)}, the model as "
                f"{', '.join(known)}: their numbers differ, and training goes by number. {remedy}"
            )
