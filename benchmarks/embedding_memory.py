"""Peak memory of embedding many synthetic pictures, each number in a process of its own.

    python benchmarks/embedding_memory.py 5000 20000

The pictures are JPEG files of 256 x 256 pixels written to a temporary folder; a small network keeps
the time short, since what is asked is whether memory grows with their number.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("counts", type=int, nargs="+")
parser.add_argument("--alone", action="store_true", help="measure in this very process")
options = parser.parse_args()


def measure(count):
    """Embed so many files, and print the peak."""
    import keras
    import numpy as np
    import simplejpeg

    import keras_practical as kp

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for label in ("a", "b"):
            (Path(folder) / label).mkdir()
        for number in range(count):
            picture = rng.integers(0, 256, (16, 16, 3), "uint8").repeat(16, 0).repeat(16, 1)
            file = Path(folder) / "ab"[number % 2] / f"{number}.jpg"
            file.write_bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(picture)))
        layers = [
            keras.Input((224, 224, 3)),
            keras.layers.Conv2D(32, 3, strides=4),
            keras.layers.Conv2D(1280, 3, strides=8),
        ]
        photos = kp.load_images(folder, cache=None, validation_fraction=0, verbose=False)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        found = kp.embed(keras.Sequential(layers), photos.train, cache_dir=Path(folder) / ".cache")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{len(found):,} pictures: peak {peak:.0f} MB, {before:.0f} MB before embedding")


if options.alone:
    measure(options.counts[0])
else:
    for count in options.counts:
        subprocess.run([sys.executable, __file__, str(count), "--alone"], check=True)
