"""How often do 95 % intervals hold the truth? Simulated classifiers, drawn test sets.

    python benchmarks/interval_coverage.py --draws 2000

For each scenario the true values come from a test set of 400,000; then many small test sets are
drawn, the intervals computed by the package's own functions, and it is counted how often they hold
the truth; beside them, the plain stratified bootstrap of balanced accuracy. McNemar's test is run
on pairs of equally good models: how often does it cry wolf?

    python benchmarks/interval_coverage.py --groups --draws 400

does the same with examples that come in groups, such as several images of each patient: 5, 10 and
50 groups of 2 to 20 examples. `likeness` is the correlation within groups; with "hard groups", a
fifth of all groups is 40 points worse than the others. The plain bootstrap over groups stands
beside it, and how narrow the narrowest interval was.
"""

import argparse

import numpy as np

import keras_practical as kp

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--draws", type=int, default=2000)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--groups", action="store_true")
options = parser.parse_args()

NUMBERS = ("accuracy", "balanced_accuracy", "macro_f1", "roc_auc", "loss")
SCENARIOS = {
    "2 classes, 80 % right": ([0.5, 0.5], 1.2),
    "2 classes, 96 % right": ([0.5, 0.5], 2.5),
    "2 classes, 4 : 1": ([0.8, 0.2], 1.2),
    "4 classes, 4 : 3 : 2 : 1": ([0.4, 0.3, 0.2, 0.1], 2.5),
    "10 classes, 90 % right": ([0.1] * 10, 3.0),
}


def draw(rng, n, shares, distance):
    """Return labels, and the probabilities of a model that is right and calibrated so far."""
    labels = rng.choice(len(shares), n, p=shares)
    logits = rng.normal(size=(n, len(shares)))
    logits[np.arange(n), labels] += distance
    powers = np.exp(distance * logits)
    return powers / powers.sum(1, keepdims=True), labels


def plain_bootstrap(probabilities, labels, rng):
    """Return the bounds of balanced accuracy that resampling each class's examples gives."""
    right = probabilities.argmax(1) == labels
    counts, hits = np.bincount(labels), np.bincount(labels, right)
    present = counts > 0
    counts, hits = counts[present], hits[present]
    recalls = rng.binomial(counts, hits / counts, (2000, len(counts))) / counts
    return np.quantile(recalls.mean(1), [0.025, 0.975])


def grouped(rng, groups, accuracy, likeness):
    """Return whether each example is right, and its group."""
    if likeness is None:
        easy = accuracy + 0.08
        rates = np.where(rng.random(groups) < 0.2, easy - 0.4, easy)
    elif likeness == 0:
        rates = np.full(groups, accuracy)
    else:
        strength = (1 - likeness) / likeness
        rates = rng.beta(accuracy * strength, (1 - accuracy) * strength, groups)
    grouping = np.repeat(np.arange(groups), rng.integers(2, 21, groups))
    return rng.random(len(grouping)) < rates[grouping], grouping


def bootstrap_over_groups(right, grouping, rng):
    """Return the percentiles of the mean over groups drawn with replacement."""
    sums, sizes = np.bincount(grouping, right), np.bincount(grouping)
    drawn = rng.integers(0, len(sizes), (1000, len(sizes)))
    return np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])


def outcome(right, labels, grouping):
    """Return the evaluation of a model of two classes that is right on these examples."""
    said = np.where(right, labels, 1 - labels)
    return kp.evaluate_predictions(np.eye(2)[said] * 0.8 + 0.1, labels, groups=grouping)


def cover_groups():
    """Print the coverage of intervals over groups, and of the comparison of equal models."""
    for accuracy in (0.7, 0.9, 0.97):
        for likeness in (0, 0.1, 0.3, 0.6, None):
            if likeness is None and accuracy > 0.9:
                continue
            for groups in (5, 10, 50):
                rng = np.random.default_rng(options.seed)
                held, plain, widths = [], [], []
                for _ in range(options.draws):
                    right, grouping = grouped(rng, groups, accuracy, likeness)
                    low, high = kp.evaluation.proportion_interval(right, groups=grouping)
                    held.append(low <= accuracy <= high)
                    widths.append(high - low)
                    low, high = bootstrap_over_groups(right, grouping, rng)
                    plain.append(low <= accuracy <= high)
                alike = "hard groups" if likeness is None else f"likeness {likeness}"
                print(
                    f"accuracy {accuracy}, {alike}, {groups} groups: {100 * np.mean(held):.1f} %, "
                    f"widths {min(widths):.3f} to {max(widths):.3f}; "
                    f"plain bootstrap {100 * np.mean(plain):.1f} %",
                    flush=True,
                )
    for groups in (5, 10, 50):
        rng = np.random.default_rng(options.seed)
        alarms, held, losses = [], [], []
        for _ in range(options.draws):
            both, grouping = grouped(rng, groups, 0.6, 0.2)
            # Each group favours one of two equally good models.
            favoured = rng.random(groups)[grouping]
            first, second = (
                both | (rng.random(len(both)) < 0.6 * part) for part in (favoured, 1 - favoured)
            )
            labels = rng.integers(0, 2, len(both))
            found = kp.compare(*(outcome(part, labels, grouping) for part in (first, second)))
            alarms.append(found.real)
            low, high = found.difference_interval
            held.append(low <= 0 <= high)
            low, high = found.loss_difference_interval
            losses.append(low <= 0 <= high)
        print(
            f"equal models, {groups} groups: {100 * np.mean(alarms):.1f} % called different; the "
            f"interval of the difference holds 0 in {100 * np.mean(held):.1f} %, that of the "
            f"log-loss in {100 * np.mean(losses):.1f} %",
            flush=True,
        )


def scored(rng, groups, pure, spread):
    """Return the probabilities of two classes, labels and groups whose scores lie apart."""
    grouping = np.repeat(np.arange(groups), rng.integers(2, 21, groups))
    labels = rng.integers(0, 2, len(grouping))
    if pure:
        labels = (rng.permutation(groups) % 2)[grouping]
    noise = rng.normal(size=len(grouping)) * (1.44 - spread**2) ** 0.5
    scores = 1.2 * (2 * labels - 1) + spread * rng.normal(size=groups)[grouping] + noise
    positive = 1 / (1 + np.exp(-1.2 * scores))
    return np.stack([1 - positive, positive], axis=1), labels, grouping


def cover_figures():
    """Print the coverage of all intervals of an evaluation over groups."""
    for pure in (True, False):
        for spread in (0.3, 0.8):
            probabilities, labels, _ = scored(np.random.default_rng(99), 30_000, pure, spread)
            truth = kp.evaluate_predictions(probabilities, labels)
            for groups in (5, 10, 50):
                held = {number: [] for number in NUMBERS}
                for draw in range(options.draws):
                    probabilities, labels, grouping = scored(
                        np.random.default_rng(draw), groups, pure, spread
                    )
                    found = kp.evaluate_predictions(probabilities, labels, groups=grouping)
                    for what in NUMBERS:
                        low, high = getattr(found, f"{what}_interval")
                        held[what].append(low <= getattr(truth, what) <= high)
                shown = ", ".join(f"{what} {100 * np.mean(held[what]):.1f}" for what in NUMBERS)
                kind = "one class a group" if pure else "both classes in a group"
                print(f"{kind}, spread {spread}, {groups} groups: {shown} %", flush=True)


def cover_single():
    """Print the coverage of intervals of examples that stand by themselves."""
    for name, (shares, distance) in SCENARIOS.items():
        rng = np.random.default_rng(options.seed)
        truth = kp.evaluate_predictions(*draw(rng, 400_000, shares, distance))
        for n in (20, 100, 1000):
            held = {number: [] for number in (*NUMBERS, "plain bootstrap")}
            for number in range(options.draws):
                drawn = draw(rng, n, shares, distance)
                low, high = plain_bootstrap(*drawn, np.random.default_rng(number))
                held["plain bootstrap"].append(low <= truth.balanced_accuracy <= high)
                found = kp.evaluate_predictions(*drawn, seed=number)
                for what in NUMBERS:
                    low, high = getattr(found, f"{what}_interval")
                    held[what].append(low <= getattr(truth, what) <= high)
            shown = ", ".join(f"{what} {100 * np.mean(held[what]):.1f}" for what in held)
            print(f"{name}, n={n}: {shown} %", flush=True)

    rng = np.random.default_rng(options.seed)
    for n in (20, 100, 1000):
        alarms, covered = [], []
        for number in range(options.draws):
            labels = rng.integers(0, 2, n)
            both = rng.random(n) < 0.8
            results = []
            for _ in range(2):
                right = both | (rng.random(n) < 0.4)
                said = np.where(right, labels, 1 - labels)
                results.append(kp.evaluate_predictions(np.eye(2)[said] * 0.8 + 0.1, labels))
            comparison = kp.compare(*results, seed=number)
            alarms.append(comparison.real)
            low, high = comparison.difference_interval
            covered.append(low <= 0 <= high)
        print(
            f"equal models, n={n}: McNemar's test calls {100 * np.mean(alarms):.1f} % different, "
            f"the interval of the difference holds 0 in {100 * np.mean(covered):.1f} %",
            flush=True,
        )


if options.groups:
    cover_groups()
    cover_figures()
else:
    cover_single()
