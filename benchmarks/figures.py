"""Is each number that the package prints the field's? Compared with independent counts.

    python benchmarks/figures.py --write benchmarks/figures.md

Each figure is computed by the package and by something else (scikit-learn, scipy, pycocotools'
rule by hand, or a plain loop over single examples) on random and on degenerate inputs: one example,
all right, all wrong, a class that is absent, ties. The table gives the largest difference.
"""

import argparse
import math
import warnings
from pathlib import Path

import keras
import numpy as np
from scipy import integrate, optimize, special, stats
from sklearn import metrics

import keras_practical as kp
from keras_practical import evaluation
from keras_practical.detection import AnnotatedImage, DetectionData, Detections, evaluate_detections
from keras_practical.evaluation.properties import accuracy_by_property
from keras_practical.transfer.extrapolation import fit_power_law

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--random", type=int, default=20, help="random inputs for each figure")
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--write", help="where to put the table")
options = parser.parse_args()
ROWS = []


def compare(figure, against, inputs, ours, theirs):
    """Add a row: the largest difference over all random and degenerate inputs."""
    worst = 0.0
    for given in inputs:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            one, other = np.broadcast_arrays(np.asarray(ours(*given)), np.asarray(theirs(*given)))
        one, other = one.astype("float64"), other.astype("float64")
        if not (np.isnan(one) == np.isnan(other)).all():
            worst = np.inf
        same = np.isnan(one) | (one == other)
        worst = max(worst, float(np.abs(np.where(same, 0.0, one - other)).max()))
    ROWS.append((figure, against, options.random, len(inputs) - options.random, worst))
    print(f"{figure}: {against}: {worst:.1e}", flush=True)


# Classification


def classified(rng):
    classes, n = int(rng.integers(2, 7)), int(rng.integers(5, 300))
    labels = rng.integers(0, classes, n)
    chances = rng.dirichlet(np.ones(classes), n) + rng.uniform(0, 1) * np.eye(classes)[labels]
    return chances / chances.sum(1, keepdims=True), labels


def degenerate_classified():
    sure, two = np.eye(2), np.array([0, 1])
    yield sure, two  # all right
    yield sure[::-1], two  # all wrong, by probabilities of 0
    yield np.array([[0.7, 0.3]]), np.array([0])  # one example
    yield np.full((6, 3), 1 / 3), np.array([0, 0, 1, 1, 2, 2])  # ties everywhere
    yield np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]] * 4), np.array([0, 1] * 4)  # class 2 absent
    yield np.array([[0.9, 0.1]] * 5), np.zeros(5, int)  # one class only
    yield np.array([[0.8, 0.2], [0.8, 0.2], [0.4, 0.6]]), np.array([0, 1, 1])  # ties of scores


rng = np.random.default_rng(options.seed)
SETS = [classified(rng) for _ in range(options.random)] + list(degenerate_classified())


def areas(chances, labels):
    """Return the mean over classes of how often a member gets more than another, pair by pair."""
    columns = range(chances.shape[1]) if chances.shape[1] > 2 else [1]
    found = []
    for column in columns:
        members = chances[labels == column, column]
        others = chances[labels != column, column]
        if len(members) and len(others):
            gaps = members[:, None] - others
            found.append(((gaps > 0) + 0.5 * (gaps == 0)).mean())
    return np.mean(found) if found else np.nan


def calibration_error(chances, labels):
    bins = [[] for _ in range(15)]
    for row, label in zip(chances, labels, strict=True):
        sure = max(row)
        bins[min(14, int(sure * 15))].append((sure, float(int(np.argmax(row)) == label)))
    gaps = (abs(sum(s - r for s, r in part)) for part in bins if part)
    return sum(gaps) / len(labels)


def best_temperature(chances, labels):
    logits = np.log(np.clip(chances, 1e-12, 1))

    def loss(power):
        scaled = logits * np.exp(-power)
        return -np.mean([special.log_softmax(s)[y] for s, y in zip(scaled, labels, strict=True)])

    grid = np.linspace(-3, 3, 61)
    start = grid[np.argmin([loss(power) for power in grid])]
    near = (max(-3, start - 0.1), min(3, start + 0.1))
    found = optimize.minimize_scalar(loss, bounds=near, method="bounded", options={"xatol": 1e-9})
    return loss(found.x)


def loss_at(temperature, chances, labels):
    scaled = np.log(np.clip(chances, 1e-12, 1)) / temperature
    return -special.log_softmax(scaled, axis=1)[np.arange(len(labels)), labels].mean()


def threshold(chances, labels):
    """Return the part answered at the lowest confidence from which 80 % are right."""
    best = 0.0
    for least in sorted(set(chances.max(1))):
        answered = [i for i, row in enumerate(chances) if max(row) >= least]
        right = sum(int(np.argmax(chances[i])) == labels[i] for i in answered)
        if right / len(answered) >= 0.8:
            best = max(best, len(answered) / len(labels))
    return best


found = kp.evaluate_predictions
said = "scikit-learn"
compare(
    "accuracy",
    said,
    SETS,
    lambda p, y: found(p, y).accuracy,
    lambda p, y: metrics.accuracy_score(y, p.argmax(1)),
)
compare(
    "balanced accuracy",
    said,
    SETS,
    lambda p, y: found(p, y).balanced_accuracy,
    lambda p, y: metrics.balanced_accuracy_score(y, p.argmax(1)),
)
compare(
    "macro-F1",
    said,
    SETS,
    lambda p, y: found(p, y).macro_f1,
    lambda p, y: metrics.f1_score(y, p.argmax(1), average="macro", zero_division=0),
)
for name, function in (("recall", metrics.recall_score), ("precision", metrics.precision_score)):
    compare(
        f"{name} of each class",
        said,
        SETS,
        lambda p, y, name=name: getattr(found(p, y), name),
        lambda p, y, function=function: function(
            y, p.argmax(1), labels=range(p.shape[1]), average=None, zero_division=np.nan
        ),
    )
compare("ROC-AUC", "all pairs", SETS, lambda p, y: found(p, y).roc_auc, areas)
compare(
    "log-loss",
    "loop, clipped at Keras's 1e-7",
    SETS,
    lambda p, y: found(p, y).loss,
    lambda p, y: (
        -np.mean([math.log(max(row[label], 1e-7)) for row, label in zip(p, y, strict=True)])
    ),
)
compare(
    "calibration error",
    "loop",
    SETS,
    lambda p, y: evaluation.measure_calibration(p, y).error,
    calibration_error,
)
compare(
    "log-loss at the best temperature",
    "grid, then Brent",
    SETS,
    lambda p, y: loss_at(evaluation.temperature_of(p, y), p, y),
    best_temperature,
)
compare(
    '"don\'t know": part answered at 80 %',
    "every threshold in turn",
    SETS,
    lambda p, y: evaluation.dont_know_threshold(p, y, precision=0.8).coverage,
    threshold,
)


def binary(rng):
    labels = rng.permutation(np.arange(int(rng.integers(8, 80))) % 2)
    return np.round(rng.normal(size=len(labels)) + labels, int(rng.integers(0, 4))), labels


def sensitivity(scores, labels):
    negatives = sorted(scores[labels == 0])
    for cut in negatives:
        if sum(n <= cut for n in negatives) >= 0.9 * len(negatives) - 1e-9:
            return float(np.mean([s > cut for s in scores[labels == 1]]))
    return np.nan


compare(
    "sensitivity at a specificity of .9",
    "every threshold in turn",
    [binary(rng) for _ in range(options.random)]
    + [
        (np.zeros(10), np.arange(10) % 2),
        (np.arange(10.0), np.arange(10) // 5),
        (-np.arange(10.0), np.arange(10) // 5),
        (np.array([0.0, 1.0]), np.array([0, 1])),
        (np.array([1.0, 0.0]), np.array([0, 1])),
    ],
    lambda s, y: evaluation.sensitivity_at_specificity(s, y).sensitivity,
    sensitivity,
)

# Intervals and tests


def wilson(k, n):
    """Return the roots of (p - k / n)² = 1.96² p (1 - p) / n."""
    square = stats.norm.ppf(0.975) ** 2
    return sorted(np.roots([1 + square / n, -2 * k / n - square / n, (k / n) ** 2]).real)


counts = [(int(rng.integers(0, n + 1)), int(n)) for n in rng.integers(1, 500, options.random)]
counts += [(0, 1), (1, 1), (0, 1000), (1000, 1000), (1, 2)]
compare(
    "interval of a proportion",
    "roots of Wilson's equation",
    counts,
    evaluation.wilson_interval,
    wilson,
)


def grouped(rng):
    sizes = rng.integers(1, 12, int(rng.integers(2, 12)))
    hits = rng.binomial(sizes, rng.beta(4, 1, len(sizes)))
    return hits, sizes


def ours_grouped(hits, sizes):
    right = np.concatenate([np.arange(n) < k for k, n in zip(hits, sizes, strict=True)])
    groups = np.repeat(np.arange(len(sizes)), sizes)
    low, high = evaluation.proportion_interval(right.astype(float), groups=groups)
    return integrated(hits, sizes, low), integrated(hits, sizes, high)


def integrated(hits, sizes, share):
    """Return how probable a proportion below `share` is, by adaptive integration."""

    def density(likeness, at):
        strength = (1 - likeness) / likeness
        a, b = at * strength, (1 - at) * strength
        return np.exp((special.betaln(a + hits, b + sizes - hits) - special.betaln(a, b)).sum() + 9)

    def mass(end):
        return integrate.dblquad(density, 1e-9, end, 1e-6, 1 - 1e-6, epsrel=1e-4)[0]

    return mass(share) / mass(1 - 1e-9)


def tails(hits, sizes):
    """Return 2.5 and 97.5 %; at an end of 0 or 1 that is the value found, all of the mass."""
    low, high = 0.025, 0.975
    return (0.0 if not hits.any() else low), (1.0 if (hits == sizes).all() else high)


few = [grouped(rng) for _ in range(options.random)]
few += [
    (np.array([0, 0, 0]), np.array([5, 5, 5])),
    (np.array([5, 5, 5]), np.array([5, 5, 5])),
    (np.array([5, 0]), np.array([5, 5])),
    (np.array([3]), np.array([7])),
    (np.array([1, 1, 0]), np.array([1, 1, 1])),
]
compare("interval over groups: mass below its ends", "integration", few, ours_grouped, tails)


def area_bounds(area, positives, negatives):
    """Return Newcombe's bounds by a grid: areas no more than 1.96 errors from the one found."""
    at = np.linspace(0, 1, 2_000_001)
    spread = (positives + negatives) / 2 - 1
    variance = at * (1 - at) * (1 + spread * ((1 - at) / (2 - at) + at / (1 + at)))
    inside = (at - area) ** 2 <= 1.959964**2 * variance / (positives * negatives)
    return at[inside].min(), at[inside].max()


drawn = [
    (float(rng.uniform(0.5, 1)), int(rng.integers(1, 80)), int(rng.integers(1, 80)))
    for _ in range(options.random)
]
drawn += [(1.0, 5, 5), (0.0, 5, 5), (0.5, 1, 1), (1.0, 1, 1), (0.75, 2, 200)]
compare(
    "interval of an area",
    "grid over Newcombe's equation",
    drawn,
    evaluation.auc_interval,
    area_bounds,
)


def pairs(rng):
    n = int(rng.integers(4, 200))
    return tuple(rng.multinomial(n, rng.dirichlet([1, 1, 4, 2])))


def compared(only_a, only_b, both, neither):
    a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    results = [
        kp.evaluate_predictions(
            np.where(r[:, None], [[0.9, 0.1]], [[0.1, 0.9]]), np.zeros(len(r), int)
        )
        for r in (a, b)
    ]
    return kp.compare(*results)


def mcnemar(only_a, only_b, both, neither):
    split = int(only_a + only_b)
    return min(1.0, 2 * sum(math.comb(split, k) for k in range(min(only_a, only_b) + 1)) / 2**split)


outcomes = [pairs(rng) for _ in range(options.random)]
outcomes += [(0, 0, 5, 5), (5, 0, 0, 0), (0, 1, 0, 0), (7, 7, 0, 0), (0, 30, 1, 0)]
compare(
    "McNemar's test", "binomial coefficients", outcomes, lambda *o: compared(*o).p_value, mcnemar
)


def tango(first, second, both, neither):
    """Return the differences whose score, at the likeliest shares, is within 1.96, by search."""
    n = first + second + both + neither

    def distance(at):
        low, high = max(0.0, -at) + 1e-12, (1 - at) / 2 - 1e-12

        def surprise(share):
            return -(
                special.xlogy(second, share + at)
                + special.xlogy(first, share)
                + special.xlogy(both + neither, 1 - 2 * share - at)
            )

        share = low
        if high > low:
            share = optimize.minimize_scalar(
                surprise, bounds=(low, high), method="bounded", options={"xatol": 1e-13}
            ).x
        return (second - first - n * at) / math.sqrt(max(n * (2 * share + at * (1 - at)), 1e-12))

    at = float(np.clip((second - first) / n, -1 + 1e-7, 1 - 1e-7))
    ends = -1 + 1e-7, 1 - 1e-7
    low = (
        optimize.brentq(lambda d: distance(d) - 1.959964, ends[0], at)
        if (distance(ends[0]) > 1.959964)
        else -1.0
    )
    high = (
        optimize.brentq(lambda d: distance(d) + 1.959964, at, ends[1])
        if (distance(ends[1]) < -1.959964)
        else 1.0
    )
    return low, high


compare(
    "interval of a difference",
    "constrained likelihood by search",
    outcomes,
    lambda a, b, both, neither: evaluation.difference_interval(a, b, a + b + both + neither),
    tango,
)


def property_cases(rng):
    n = int(rng.integers(10, 60))
    camera = np.where(rng.random(n) < 0.5, "A", "B")
    camera[:2] = "A", "B"
    return camera, rng.random(n) < 0.7


def exact(camera, right):
    """Return the exact chance of errors spread as unevenly over two cameras."""
    wrong, of_a = int((~right).sum()), int((camera == "A").sum())
    if wrong in (0, len(right)):
        return 1.0
    seen = int((~right & (camera == "A")).sum())
    mean = wrong * of_a / len(right)
    return sum(
        stats.hypergeom.pmf(k, len(right), of_a, wrong)
        for k in range(wrong + 1)
        if abs(k - mean) >= abs(seen - mean) - 1e-9
    )


ab = np.array(["A", "B"] * 5)
compare(
    "p-value by property (5,000 draws)",
    "hypergeometric distribution",
    [property_cases(rng) for _ in range(options.random)]
    + [
        (ab, ab == "A"),
        (ab, np.ones(10, bool)),
        (ab, np.zeros(10, bool)),
        (ab, ab == "B"),
        (ab[:2], np.array([True, False])),
    ],
    lambda c, r: accuracy_by_property("camera", c, r).p_value,
    exact,
)

# Forecasts


def errors(rng):
    n = np.geomspace(4, 100, 6)
    law = rng.uniform(0.1, 2) * n ** -rng.uniform(0.1, 1.2) + rng.uniform(0, 0.2)
    return n, np.abs(law + 0.02 * rng.normal(size=6))


def by_nnls(n, values):
    weights = 1 / np.maximum(values, max(values.max(), 1e-12) * 0.05)
    fits = []
    for exponent in np.linspace(0.05, 1.5, 59):
        columns = np.stack([n**-exponent, np.ones(6)], axis=1) * weights[:, None]
        (scale, floor), rest = optimize.nnls(columns, values * weights)
        fits.append((rest, scale * 1000**-exponent + floor))
    return min(fits)[1]


n = np.geomspace(4, 100, 6)
compare(
    "forecast at ten times the images",
    "scipy's non-negative least squares",
    [errors(rng) for _ in range(options.random)]
    + [
        (n, np.full(6, 0.3)),
        (n, np.zeros(6)),
        (n, 0.2 + n / 1000),
        (n, n**-0.5),
        (n, np.array([0.5, 0, 0, 0, 0, 0])),
    ],
    lambda n, v: float(fit_power_law(n, v).at(np.array(1000.0))),
    by_nnls,
)

# Detection


def overlap(box, other, crowd):
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    area, others = ((b[2] - b[0]) * (b[3] - b[1]) for b in (box, other))
    shared = width * height
    return shared / (area if crowd else area + others - shared)


def average_precision(truth, found, classes, exact=False):
    """Return AP at .5 and at .5 to .95 by COCO's matching, a loop over single boxes."""
    table = []
    for label in range(classes):
        objects = sum(int(((y == label) & ~skip).sum()) for _, y, skip in truth)
        if not objects:
            continue
        for least in np.linspace(0.5, 0.95, 10):
            judged = []
            for (boxes, labels, skip), (shown, scores, kinds) in zip(truth, found, strict=True):
                known = [(b, s) for b, y, s in zip(boxes, labels, skip, strict=True) if y == label]
                known.sort(key=lambda pair: pair[1])
                taken = set()
                order = [i for i in np.argsort(-scores, kind="stable") if kinds[i] == label]
                for i in order:
                    best, match = min(least, 1 - 1e-10), None
                    for place, (box, crowd) in enumerate(known):
                        if place in taken and not crowd:
                            continue
                        if match is not None and not known[match][1] and crowd:
                            break
                        if (iou := overlap(shown[i], box, crowd)) >= best:
                            best, match = iou, place
                    if match is not None:
                        taken.add(match)
                        if known[match][1]:
                            continue
                    judged.append((scores[i], match is not None))
            judged.sort(key=lambda pair: -pair[0])
            right = np.cumsum([hit for _, hit in judged])
            precision = right / np.arange(1, len(right) + 1)
            recall = right / objects
            row = []
            for at in np.arange(1, objects + 1) / objects if exact else np.linspace(0, 1, 101):
                reached = np.flatnonzero(recall >= at) if len(recall) else []
                row.append(max(precision[reached[0] :]) if len(reached) else 0.0)
            table.append(np.mean(row))
    if not table:
        return np.nan, np.nan
    table = np.array(table).reshape(-1, 10)
    return table[:, 0].mean(), table.mean()


def scene(rng, images=6, most=8, classes=3, ties=False, crowds=True, objects=None):
    truth, found = [], []
    for _ in range(images):
        count = int(rng.integers(0, most)) if objects is None else objects
        corner = rng.uniform(0, 150, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(8, 50, (count, 2))], axis=1)
        labels = rng.integers(0, classes, count)
        skip = rng.random(count) < (0.2 if crowds else 0)
        # By less than half of the smallest side, so that edges stay the right way round.
        moved = boxes + np.clip(rng.normal(0, 3, boxes.shape), -3.9, 3.9)
        extra = np.concatenate([moved[: count // 2], moved[: count // 3] + 60])
        shown = np.concatenate([moved, extra])
        scores = rng.uniform(0.05, 1, len(shown))
        scores = np.round(scores, 1) if ties else scores
        kinds = np.concatenate([labels, labels[: count // 2], labels[: count // 3]])
        truth.append((boxes, labels, skip))
        found.append((shown, scores, kinds))
    return truth, found, classes


def judged(truth, found, classes, recall_points=101):
    names = tuple("abcdef"[:classes])
    images = tuple(
        AnnotatedImage(f"{i}.jpg", boxes, labels, 300, 300, ignored=skip)
        for i, (boxes, labels, skip) in enumerate(truth)
    )
    detections = [
        Detections(boxes=boxes, scores=scores, labels=kinds, class_names=names)
        for boxes, scores, kinds in found
    ]
    data = DetectionData(images, names)
    result = evaluate_detections(detections, data, recall_points=recall_points)
    return result.average_precision_50, result.average_precision


nothing = (np.zeros((0, 4)), np.zeros(0), np.zeros(0, int))
empty = (np.zeros((0, 4)), np.zeros(0, int), np.zeros(0, bool))
box = np.array([[10.0, 10, 40, 40]])
one = (box, np.array([0]), np.array([False]))
scenes = [scene(rng, ties=bool(k % 2)) for k in range(options.random)]
scenes += [
    ([empty, one], [nothing, nothing], 2),  # nothing found
    ([empty], [(box, np.array([0.9]), np.array([0]))], 1),  # nothing there
    ([one], [(np.repeat(box, 3, 0), np.full(3, 0.5), np.zeros(3, int))], 2),  # duplicates that tie
    ([(box, np.array([0]), np.array([True]))], [(box, np.array([0.9]), np.array([0]))], 1),
    scene(np.random.default_rng(1), images=2, classes=1, crowds=False, objects=150),
    ([one], [(box, np.array([0.9]), np.array([1]))], 2),  # another class
]
said = "loop over boxes"
compare("average precision at .5, and .5 to .95", said, scenes, judged, average_precision)
compare(
    "average precision as the exact area",
    said,
    scenes,
    lambda *given: judged(*given, recall_points=None),
    lambda *given: average_precision(*given, exact=True),
)

# Language models

WINDOW = 8
CORPUS = ["one fish, two fish, red fish, blue fish", "a fish is a fish"] * 10
VOCABULARY = kp.text.build_vocabulary(CORPUS, size=40, verbose=False)
keras.utils.set_random_seed(options.seed)
WRITER = kp.text.language_model(VOCABULARY, texts=CORPUS, vector_size=8, state_size=8)


def by_pieces(*texts):
    """Return loss, bits a character and perplexity, one piece after the other."""
    losses = []
    for numbers in VOCABULARY.numbers(texts):
        for place in range(1, len(numbers)):
            start = (place - 1) // WINDOW * WINDOW
            rows = np.zeros((1, WINDOW), "int32")
            rows[0, : place - start] = numbers[start:place]
            outputs = np.asarray(WRITER(rows), "float64")[0, place - start - 1]
            losses.append(special.logsumexp(outputs) - outputs[numbers[place]])
    loss = sum(losses) / len(losses)
    return loss, sum(losses) / math.log(2) / sum(map(len, texts)), math.exp(loss)


def as_printed(*texts):
    found = kp.text.evaluate_language_model(WRITER, texts, length=WINDOW, verbose=False)
    return found.loss, found.bits_per_character, found.perplexity


words = " ".join(CORPUS).split()
compare(
    "loss, bits a character and perplexity",
    "loop over pieces",
    [
        tuple(" ".join(rng.choice(words, int(rng.integers(1, 30)))) for _ in range(3))
        for _ in range(options.random)
    ]
    + [
        ("a",),
        ("", "fish", ""),
        ("zéro 中",),
        (" ".join(["fish"] * 40),),
        ("one", "one fish, two fish"),
    ],
    as_printed,
    by_pieces,
)

if options.write:
    lines = [
        "# Figures against independent counts",
        "",
        f"`python benchmarks/figures.py --random {options.random} --seed {options.seed}`:",
        "the largest difference between what the package prints and what something else computes.",
        "",
        "| figure | against | random inputs | degenerate ones | largest difference |",
        "|---|---|---|---|---|",
        *(f"| {f} | {a} | {r} | {d} | {w:.1e} |" for f, a, r, d, w in ROWS),
        "",
    ]
    Path(options.write).write_text("\n".join(lines))
