"""Peak memory of interpreting many synthetic photos, each number in a process of its own.

    python benchmarks/interpretation_memory.py 1000 10000

The photos are JPEG files of 256 x 256 pixels written to a temporary folder, read at 224 x 224 in
each pass (`cache=None`). A small network keeps the time short, since what is asked is how much
memory `interpret` and a gallery of the worst mistakes take over what model and data set have, and
whether that grows with the number of photos. `--stream` asks the same of a `tf.data.Dataset` that
knows nothing of its files.

Measured on 2 CPU cores: 160 MB over the model's own for 1,000 photos, 159 for 3,000, 164 for
10,000, none of it for the gallery; as a stream 116 to 144 MB for 1,000, 177 to 181
for 5,000, 193 for 10,000.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("counts", type=int, nargs="+")
parser.add_argument("--stream", action="store_true", help="a tf.data.Dataset without a source")
parser.add_argument("--alone", action="store_true", help="measure in this very process")
options = parser.parse_args()


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(count):
    """Interpret so many files, draw the worst, and print the peaks."""
    import keras
    import matplotlib
    import numpy as np
    import simplejpeg

    import keras_practical as kp

    matplotlib.use("Agg")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for label in ("a", "b"):
            (Path(folder) / label).mkdir()
        for number in range(count):
            picture = rng.integers(0, 256, (16, 16, 3), "uint8").repeat(16, 0).repeat(16, 1)
            file = Path(folder) / "ab"[number % 2] / f"{number}.jpg"
            file.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture)))
        keras.utils.set_random_seed(0)
        layers = [
            keras.Input((224, 224, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Conv2D(32, 3, strides=4, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(2, activation="softmax"),
        ]
        model = keras.Sequential(layers)
        photos = kp.load_images(folder, cache=None, validation_fraction=0, verbose=False)
        data = photos.train.map(lambda images, labels: (images, labels))
        data = data if options.stream else photos.train
        # What model and data set take by themselves.
        for images, _ in photos.train.take(20):
            model.predict_on_batch(images)
        before = peak()
        started = time.perf_counter()
        found = kp.interpret(model, data)
        seconds = time.perf_counter() - started
        read = peak()
        found.plot_top_losses(n=24)
        print(
            f"{len(found):,} photos in {seconds:.0f} s: {before:.0f} MB before, "
            f"{read - before:.0f} MB more for interpret, {peak() - read:.0f} MB more for a gallery"
        )


if options.alone:
    measure(options.counts[0])
else:
    for count in options.counts:
        arguments = [str(count), "--alone", *(["--stream"] if options.stream else [])]
        subprocess.run([sys.executable, __file__, *arguments], check=True)
