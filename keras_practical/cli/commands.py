"""The command line: train and judge a classifier without writing code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__)

Photos = Annotated[
    str, typer.Argument(help="A folder of class folders, a CSV file, cats_vs_dogs or tfds:NAME.")
]


@app.command()
def train(
    photos: Photos,
    *,
    output: Annotated[Path, typer.Option(help="The .keras file to write.")],
    backbone: Annotated[str, typer.Option(help="A keras.applications name.")] = "MobileNetV2",
    image_size: Annotated[int, typer.Option(help="Pixels.")] = 224,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of all layers, after the head. Default: what the photos need."),
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="How long it may train.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images a batch.")] = 32,
    seed: Annotated[int, typer.Option(help="Decides split, order and first weights.")] = 0,
    weights: Annotated[str, typer.Option(help="imagenet, none or a file.")] = "imagenet",
    download: Annotated[bool, typer.Option(help="Fetch a named data set.")] = False,
) -> None:
    """Fine-tune a pretrained network on PHOTOS, say how good it is, and save it."""
    import keras_practical as kp

    if output.suffix != ".keras" or not output.absolute().parent.is_dir():
        raise typer.BadParameter(f"{output} must be a .keras file in a folder that exists.")
    with _clear_errors():
        data = kp.load_images(
            photos, image_size=image_size, batch_size=batch_size, seed=seed, download=download
        )
        model = kp.transfer.classifier(
            backbone,
            data.class_names,
            image_size=image_size,
            weights=None if weights == "none" else weights,
            seed=seed,
        )
        kp.transfer.fine_tune(
            model, data.train, validation_data=data.validation, epochs=epochs, minutes=minutes
        )
        typer.echo(kp.evaluate(model, data.validation))
    model.save(output)
    typer.echo(f"Saved {output}. Classes, in order: {', '.join(data.class_names)}")


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A .keras file.", exists=True, dir_okay=False)],
    photos: Photos,
    *,
    download: Annotated[bool, typer.Option(help="Fetch a named data set.")] = False,
) -> None:
    """Judge a saved classifier on all the images of PHOTOS, with intervals."""
    import keras

    import keras_practical as kp

    with _clear_errors():
        classifier = keras.models.load_model(model, compile=False)
        *size, channels = classifier.input_shape[1:]
        data = kp.load_images(
            photos,
            image_size=tuple(size),
            color_mode="grayscale" if channels == 1 else "rgb",
            # A model that has names is judged by them; images of other classes are passed over.
            class_names=kp.models.class_names_of(classifier) if Path(photos).exists() else None,
            validation_fraction=0,
            download=download,
        )
        for split in ("train", "validation", "test"):
            dataset = getattr(data, split)
            if dataset is not None:
                typer.echo(f"{split}: {kp.evaluate(classifier, dataset)}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="A .keras file.", exists=True, dir_okay=False)],
    images: Annotated[Path, typer.Argument(help="A folder of images, or one.", exists=True)],
    *,
    csv: Annotated[Path | None, typer.Option(help="A table to write.")] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Below this probability the answer is 'unsure'.")
    ] = None,
) -> None:
    """Say what IMAGES show, by a saved classifier."""
    import keras

    import keras_practical as kp

    with _clear_errors():
        found = kp.predict(
            keras.models.load_model(model, compile=False), images, threshold=threshold
        )
        typer.echo(found)
        if csv is not None:
            found.to_csv(csv)
            typer.echo(f"Wrote {csv}.")


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Show what a user can mend as one message, without a traceback."""
    try:
        yield
    except (ValueError, RuntimeError) as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from error


def main() -> None:
    """Run the command line."""
    app()
