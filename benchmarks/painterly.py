"""Painterly harmonization beside the published results, judged on layers that it didn't optimize.

    KERAS_PRACTICAL_TEST_DATA=... KERAS_HOME=... python benchmarks/painterly.py --output out/

Four cases of the paper's authors, with their own results. SqueezeNet's features are optimized on
fire3, fire5, fire9 and conv1; judges are its fire2, fire4 and fire7 and, as a network that had no
part in it, three layers of MobileNetV2. The style distance of a region is that of its Gram matrix,
and of its channels' histograms, to the whole painting's, relative to the latter's size; over layers
the geometric mean, so that none outweighs the others. Content is
kept if the edges inside the object are where the paste's are (correlation of gradient magnitudes).
"""

import argparse
import sys
import time
from pathlib import Path

import cv2
import keras
import numpy as np

import keras_practical as kp
from keras_practical.style.features import feature_maps
from keras_practical.style.losses import gram_matrix, histogram_loss, quantiles

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder
from squeezenet import squeezenet

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--cases", nargs="+", default=["0", "1", "4", "6"])
parser.add_argument("--image-size", type=int, default=384)
parser.add_argument("--steps", type=int, default=150)
parser.add_argument("--output", default="output/painterly", help="for the pictures")
options = parser.parse_args()

JUDGES = {
    "SqueezeNet": ("fire2", "fire4", "fire7"),
    "MobileNetV2": ("block_2_add", "block_4_add", "block_8_add"),
}


def style_distances(network, names, scaling, painting, pictures, mask):
    """Return each picture's distances (Gram, histogram) of the masked region to the painting."""
    maps = feature_maps(network, names, scaling, painting.shape[:2])
    style = maps(painting[None].astype("float32"))
    found = []
    for picture in pictures:
        own = maps(picture[None].astype("float32"))
        grams, histograms = [], []
        for name in names:
            wanted = np.asarray(style[name])[0].reshape(-1, style[name].shape[-1])
            values = np.asarray(own[name])[0]
            share = cv2.resize(mask, values.shape[1::-1], interpolation=cv2.INTER_AREA)
            values = values[share > min(0.5, 0.99 * share.max())]
            gram = np.asarray(gram_matrix(wanted))
            grams.append(((np.asarray(gram_matrix(values)) - gram) ** 2).sum() / (gram**2).sum())
            histograms.append(float(histogram_loss(values, quantiles(wanted, len(values)))))
        found.append(tuple(np.exp(np.mean(np.log(values))) for values in (grams, histograms)))
    return found


def edges(picture):
    """Return gradient magnitudes of a picture's light."""
    light = cv2.GaussianBlur(picture.astype("float32").mean(-1), (0, 0), 1.0)
    return np.hypot(cv2.Sobel(light, -1, 1, 0), cv2.Sobel(light, -1, 0, 1))


def shrunk(picture, factor):
    size = tuple(round(side * factor) for side in picture.shape[1::-1])
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


networks = {
    "SqueezeNet": (squeezenet(), "caffe"),
    "MobileNetV2": (
        keras.applications.MobileNetV2(include_top=False, input_shape=(None, None, 3)),
        "minus_one_to_one",
    ),
}
output = Path(options.output)
output.mkdir(parents=True, exist_ok=True)
for case in options.cases:
    folder = data_folder() / "painterly"
    painting, naive, published = (
        kp.read_image(folder / f"{case}_{name}.jpg").astype("uint8")
        for name in ("target", "naive", "published_result")
    )
    mask, widened = (
        kp.read_image(folder / f"{case}_{name}.jpg", color_mode="grayscale")[..., 0] / 255
        for name in ("c_mask", "c_mask_dilated")
    )
    wall, processor = time.perf_counter(), time.process_time()
    ours = kp.style.harmonize(
        painting,
        naive,
        mask,
        dilated_mask=widened,
        extractor=networks["SqueezeNet"][0],
        preprocessing="caffe",
        image_size=options.image_size,
        steps=options.steps,
    )
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    outside = widened < 0.5
    equal = bool((ours[outside & (mask < 0.5)] == painting[outside & (mask < 0.5)]).all())
    factor = options.image_size / max(painting.shape[:2])
    small = [shrunk(picture, factor) for picture in (painting, naive, ours, published)]
    small_mask = shrunk(mask.astype("float32"), factor)
    inside = small_mask > 0.5
    print(f"case {case}: {wall:.0f} s ({processor:.0f} CPU seconds); outside equal: {equal}")
    for judge, names in JUDGES.items():
        rows = style_distances(
            *networks[judge][:1], names, networks[judge][1], small[0], small[1:], small_mask
        )
        for number, what in enumerate(("Gram", "histogram")):
            paste, own, theirs = (row[number] for row in rows)
            print(
                f"  {judge} {what}: paste {paste:.3f}, ours {own:.4f} ({paste / own:.1f}x less), "
                f"published {theirs:.4f} ({own / theirs:.2f}x of it)"
            )
    kept = [
        np.corrcoef(edges(picture)[inside], edges(small[1])[inside])[0, 1] for picture in small[2:]
    ]
    print(f"  edges: ours {kept[0]:.2f}, published {kept[1]:.2f}", flush=True)
    sheet = np.concatenate([naive, ours, published], axis=1)
    cv2.imwrite(str(output / f"{case}.png"), sheet[..., ::-1])
