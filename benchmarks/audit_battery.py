"""Plant faults in real photos, and see which of them the audit finds.

    python benchmarks/audit_battery.py copies      # near-duplicates, by kind and set
    python benchmarks/audit_battery.py pieces      # of 70 to 85 %, without and with embeddings
    python benchmarks/audit_battery.py shortcuts   # planted ones, and sets as they are
    python benchmarks/audit_battery.py leakage     # the lung scans under their original names
    python benchmarks/audit_battery.py speed       # 10,000 photos: time and peak memory

The thresholds were chosen on ants_vs_bees, CIFAR-10, the lung scans and the first half of the
digits; what is measured here are cats_vs_dogs, apple_leaves and the second half of the digits (8
pixels wide, and enlarged to 28 and 64).

Measured on 2 CPU cores, mean ± spread over 5 draws of up to 1,000 pictures, 60 copies of each kind
planted in each:

| recall        | cats_vs_dogs | apple_leaves | digits       | digits_28    | digits_64    |
|---------------|--------------|--------------|--------------|--------------|--------------|
| re-encoded    | 100 ± 0 %    | 100 ± 0 %    | 90.7 ± 5.6 % | 99.3 ± 0.9 % | 100 ± 0 %    |
| resized       | 100 ± 0 %    | 100 ± 0 %    | 96.0 ± 2.5 % | 98.0 ± 2.7 % | 100 ± 0 %    |
| cropped       | 100 ± 0 %    | 100 ± 0 %    | 100 ± 0 %    | 99.7 ± 0.7 % | 99.7 ± 0.7 % |
| brightness    | 100 ± 0 %    | 100 ± 0 %    | 89.7 ± 3.0 % | 92.3 ± 1.9 % | 91.7 ± 3.1 % |
| mirrored      | 100 ± 0 %    | 100 ± 0 %    | 100 ± 0 %    | 100 ± 0 %    | 100 ± 0 %    |
| **all**       | 100 ± 0 %    | 100 ± 0 %    | 95.3 ± 1.0 % | 97.9 ± 0.9 % | 98.3 ± 0.5 % |
| **precision** | 100 ± 0 %    | 100 ± 0 %    | 97.5 ± 0.8 % | 98.7 ± 1.7 % | 99.3 ± 1.0 % |

The wrong pairs are digits that two people wrote alike; they are counted with all their copies. What
is missed in brightness lost its light tones.

Pieces of 70 to 85 % of each side (one draw of 100, 40 pieces, so no spread): found by pixels alone
2.5 % and 0 %, with the embeddings of MobileNetV2 47.5 % and 42.5 % (cats_vs_dogs and apple_leaves),
no wrong pair.

Shortcuts planted as border colour, as size and as file format of one class: reported 15 of 15 times
on each of the three sets (5 draws of 400 pictures each), and 0 of 5 times where none was planted;
the whole sets as they are, ants_vs_bees and the lung scans too, are silent.

Leakage: in the published split of the lung scans the one paper with slices on both sides is found
(3 in training, 9 in validation), and a group that may be none (`33.png` and `33%0.jpg`); a random
split of the same scans tears 44 of 241 groups.

10,000 photos of 256 pixels: 33 s of processor time, 19 s; peak memory 182 MB above the imports'
831, for 2,500 photos 55 MB (8 s of processor time).
"""

import argparse
import csv
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
from PIL import Image

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from planted_copies import COPIES, copy_of
from shared_data import data_folder

SETS = ("cats_vs_dogs", "apple_leaves", "digits")
ENLARGED = ("digits_28", "digits_64")
COPY_KINDS = ("leakage", "two labels", "exact duplicate", "near duplicate")
# Looked at: the sets brought these themselves, the same photo or the same leaf photographed twice.
VERIFIED = {
    frozenset(line.split())
    for line in (
        "train-dog.180 train-dog.74",
        "train-black_rot_0035 validation-black_rot_v0014",
        "train-cedar_apple_rust_0021 validation-cedar_apple_rust_v0022",
        "train-black_rot_0007 train-black_rot_0028",
        "train-black_rot_0056 train-black_rot_0087",
        "validation-black_rot_v0004 validation-black_rot_v0028",
        "validation-black_rot_v0004 validation-black_rot_v0030",
        "validation-black_rot_v0028 validation-black_rot_v0030",
        "validation-black_rot_v0008 validation-black_rot_v0034",
        "train-healthy_0126 train-healthy_0294",
        "train-black_rot_0048 validation-black_rot_v0061",
    )
}


def originals(name, seed, count):
    """Draw pictures from a set, as `(name, class, picture)`; digits from the second half only.

    `digits_28` are enlarged to 28 pixels.
    """
    rng = np.random.default_rng(seed)
    if name.startswith("digits"):
        side = int(name.partition("_")[2] or 8)
        source = kp.load_images("digits", validation_fraction=0, verbose=False).train.source
        places = 900 + rng.permutation(len(source) - 900)[:count]
        return [
            (
                f"digit-{place:04}",
                str(source.labels[place]),
                Image.fromarray(source.store.image(int(source.rows[place]))).resize((side, side)),
            )
            for place in places.tolist()
        ]
    files = sorted((data_folder() / name).glob("*/*/*.jpg"))
    found = []
    for place in rng.permutation(len(files))[:count].tolist():
        split, of_class = files[place].parts[-3:-1]
        with Image.open(files[place]) as picture:
            found.append((f"{split}-{files[place].stem}", of_class, picture.convert("RGB")))
    return found


def save(picture, folder, of_class, name, ending="jpg"):
    """Save a picture in its class's folder; tiny ones without loss."""
    place = Path(folder) / of_class
    place.mkdir(parents=True, exist_ok=True)
    ending = "png" if ending == "jpg" and picture.width < 12 else ending
    picture.save(place / f"{name}.{ending}", **({"quality": 95} if ending == "jpg" else {}))


def pairs_found(folder, embeddings=None):
    """Return all pairs of pictures that an audit puts into one set of copies."""
    pairs = set()
    for finding in kp.audit(folder, embeddings=embeddings, verbose=False):
        for case in finding.cases if finding.kind in COPY_KINDS else ():
            names = [Path(name).stem for name in case.names]
            pairs |= {frozenset((a, b)) for a in names for b in names if a != b}
    return pairs


def plant_copies(name, seed, count, planted):
    """Return for each kind how many of the copies were found, and all pairs of originals found."""
    rng = np.random.default_rng([seed, 1])
    pictures = originals(name, seed, count)
    wanted = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        for label, of_class, picture in pictures:
            save(picture, folder, of_class, label)
        for kind in COPIES:
            for place in rng.permutation(len(pictures))[:planted].tolist():
                label, of_class, picture = pictures[place]
                save(copy_of(picture, kind, rng), folder, of_class, f"{label}~{kind}")
                wanted[kind].append(frozenset((label, f"{label}~{kind}")))
        found = pairs_found(folder)
    recall = {kind: np.mean([pair in found for pair in pairs]) for kind, pairs in wanted.items()}
    recall["all"] = np.mean([pair in found for pairs in wanted.values() for pair in pairs])
    return recall, [frozenset(name.split("~")[0] for name in pair) for pair in found]


def copies(options):
    """Measure recall by kind of copy, and precision over all pairs."""
    for name in options.sets:
        recalls, precisions, raw_precisions, others = defaultdict(list), [], [], Counter()
        for seed in range(options.seeds):
            recall, sources = plant_copies(name, seed, options.count, options.planted)
            for kind, value in recall.items():
                recalls[kind].append(value)
            planted = sum(len(source) == 1 for source in sources)
            real = sum(source in VERIFIED for source in sources)
            precisions.append((planted + real) / len(sources))
            raw_precisions.append(planted / (len(sources) - real))
            others.update(tuple(sorted(s)) for s in sources if len(s) > 1 and s not in VERIFIED)
        print(f"{name}: {options.seeds} draws of {options.count}, {options.planted} copies a kind")
        for kind, values in recalls.items():
            print(f"  recall, {kind}: {spread(values)}")
        print(
            f"  precision: {spread(precisions)}; without the real copies: {spread(raw_precisions)}"
        )
        print(f"  other pairs: {others.most_common(12)}", flush=True)


def pieces(options):
    """Plant pieces that lack 15 to 30 % of each side, half of them mirrored; add embeddings."""
    for name in options.sets:
        recalls = {"pixels alone": [], "with embeddings": []}
        others = Counter()
        for seed in range(options.seeds):
            rng = np.random.default_rng([seed, 3])
            wanted = []
            with tempfile.TemporaryDirectory() as folder:
                for number, (label, of_class, picture) in enumerate(
                    originals(name, seed, options.count)
                ):
                    save(picture, folder, of_class, label)
                    if number < options.planted:
                        piece = copy_of(picture, COPIES[-1], rng) if number % 2 else picture
                        part = rng.uniform(0.15, 0.3, 2)
                        left, top = rng.uniform(0, 1, 2) * part
                        ends = left + 1 - part[0], top + 1 - part[1]
                        box = np.round(np.array([left, top, *ends]) * np.tile(picture.size, 2))
                        save(piece.crop(box.tolist()), folder, of_class, f"{label}~piece")
                        wanted.append(frozenset((label, f"{label}~piece")))
                photos = kp.load_images(folder, validation_fraction=0, verbose=False)
                embeddings = kp.embed("MobileNetV2", photos.train, verbose=False)
                for what, given in zip(recalls, (None, embeddings), strict=True):
                    found = pairs_found(folder, given)
                    recalls[what].append(np.mean([pair in found for pair in wanted]))
                    sources = {frozenset(n.split("~")[0] for n in pair) for pair in found}
                    others.update((what, *sorted(s)) for s in sources - VERIFIED if len(s) > 1)
        print(f"{name}: {options.seeds} draws of {options.count}, {options.planted} pieces")
        for what, values in recalls.items():
            print(f"  recall, {what}: {spread(values)}")
        print(f"  other pairs: {others.most_common(12)}", flush=True)


def with_shortcut(picture, which, place, classes, rng):
    """Return a picture and its file's ending with its class (number `place`) written into it."""
    ending = "jpg"
    if which == "border":
        frame = max(1, round(0.04 * min(picture.size)))
        level = 40 + 180 * place / (classes - 1)
        color = tuple(np.clip(rng.normal(level, 8, 3), 0, 255).astype(int).tolist())
        picture = picture.copy()
        inner = picture.crop((frame, frame, picture.width - frame, picture.height - frame))
        picture.paste(color, (0, 0, *picture.size))
        picture.paste(inner, (frame, frame))
    elif which == "size":
        side = (16 if picture.width < 12 else 120) * 1.25**place * rng.uniform(0.95, 1.05)
        factor = side / min(picture.size)
        picture = picture.resize([round(length * factor) for length in picture.size])
    elif which == "format":
        # The usual case: one class comes from elsewhere.
        ending = "bmp" if place == 0 else "jpg"
    return picture, ending


def shortcuts(options):
    """Count how often a shortcut is reported where one was planted, and where none was."""
    for name in options.sets:
        for which in ("none", "border", "size", "format"):
            evidence = []
            for seed in range(options.seeds):
                rng = np.random.default_rng([seed, 2])
                pictures = originals(name, seed, options.count)
                classes = sorted({of_class for _, of_class, _ in pictures})
                with tempfile.TemporaryDirectory() as folder:
                    for label, of_class, picture in pictures:
                        place = classes.index(of_class)
                        changed, ending = with_shortcut(picture, which, place, len(classes), rng)
                        save(changed, folder, of_class, label, ending)
                    findings = kp.audit(folder, verbose=False)
                if "shortcut" in findings:
                    evidence.append(findings["shortcut"].evidence)
            text = Counter(evidence).most_common(1)[0][0] if evidence else "silent"
            times = f"{len(evidence)} of {options.seeds}"
            print(f"{name}, planted {which}: fires {times}, {text}", flush=True)
    for name in ("cats_vs_dogs", "apple_leaves", "ants_vs_bees", "lung_ct"):
        findings = kp.audit(data_folder() / name, verbose=False)
        print(f"{name}, whole, as it is: {'fires' if 'shortcut' in findings else 'silent'}")


def leakage(options):
    """Give the lung scans their original names back, and look for papers on both sides."""
    rows = list(csv.DictReader((data_folder() / "lung_ct/names.csv").read_text().splitlines()))
    truth = defaultdict(set)
    for row in rows:
        truth[row["original_name"].split("-p")[0]].add(row["split"])
    papers = {paper for paper, splits in truth.items() if paper[:5] == "2020." and len(splits) > 1}
    print(f"papers on both sides of the published split: {sorted(papers)}")
    for published in (True, False):
        with tempfile.TemporaryDirectory() as folder:
            for row in rows:
                place = Path(folder) / (row["split"] if published else "") / row["class"]
                place.mkdir(parents=True, exist_ok=True)
                original = data_folder() / "lung_ct" / row["split"] / row["class"] / row["file"]
                (place / row["original_name"]).symlink_to(original)
            found = kp.audit(folder, verbose=False)["group across splits"]
        print(f"{'published' if published else 'random'} split: {found.evidence}")
        for case in found.cases[: 5 if published else 0]:
            print(f"  {case.evidence}")


def speed(options):
    """Audit so many photos: cats and dogs, and pieces of them until there are enough."""
    if not options.alone:
        for count in options.counts:
            subprocess.run(
                [sys.executable, __file__, "speed", "--alone", "--counts", str(count)], check=True
            )
        return
    count, rng = options.counts[0], np.random.default_rng(0)
    files = rng.permutation(sorted((data_folder() / "cats_vs_dogs").glob("*/*/*.jpg"))).tolist()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            file = files[number % len(files)]
            place = Path(folder) / file.parent.name
            place.mkdir(exist_ok=True)
            if number < len(files):
                (place / file.name).write_bytes(file.read_bytes())
                continue
            with Image.open(file) as picture:
                width, height = picture.size
                left, top = int(rng.integers(0, width // 2)), int(rng.integers(0, height // 2))
                part = picture.crop((left, top, left + width // 2, top + height // 2))
            part.resize((width, height)).save(place / f"{number}.jpg", quality=90)
        before = resource.getrusage(resource.RUSAGE_SELF)
        started = time.perf_counter()
        findings = kp.audit(folder, verbose=False)
        seconds = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{count:,} photos: {seconds:.1f} s, {cpu:.1f} s of processor time; peak memory "
        f"{after.ru_maxrss / 1024:.0f} MB, {before.ru_maxrss / 1024:.0f} MB before; "
        f"{', '.join(findings.kinds)}",
        flush=True,
    )


def spread(values):
    """Return mean and spread over the seeds."""
    percent = 100 * np.array(values)
    return f"{percent.mean():.1f} ± {percent.std(ddof=min(1, len(percent) - 1)):.1f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(required=True)
    for function in (copies, pieces, shortcuts, leakage, speed):
        command = commands.add_parser(function.__name__, help=function.__doc__)
        command.set_defaults(function=function)
        if function in (copies, pieces, shortcuts):
            some = {pieces: SETS[:2], copies: SETS + ENLARGED}.get(function, SETS)
            command.add_argument("--sets", nargs="+", default=some, choices=some)
            command.add_argument("--seeds", type=int, default=5)
            most = 1000 if function is copies else 400
            command.add_argument("--count", type=int, default=most)
        if function in (copies, pieces):
            command.add_argument("--planted", type=int, default=60)
        if function is speed:
            command.add_argument("--counts", type=int, nargs="+", default=[2500, 10_000])
            command.add_argument("--alone", action="store_true", help="in this very process")
    options = parser.parse_args()
    options.function(options)


if __name__ == "__main__":
    main()
