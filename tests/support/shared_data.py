"""Where the real photos for tests and benchmarks are."""

import csv
import itertools
import os
from pathlib import Path

SCANS_APART = 6  # Slices of one LIDC scan have numbers close to each other.


def data_folder() -> Path:
    """Return the folder of real test data, which may not exist."""
    default = Path(__file__).parents[2] / ".." / "shared" / "data"
    return Path(os.environ.get("KERAS_PRACTICAL_TEST_DATA", default)).resolve()


def keras_home() -> Path:
    """Return the folder of pretrained weights that lies beside the test data."""
    return data_folder().parent / "keras_home"


def lung_papers() -> dict[str, str]:
    """Return the paper, patient or scan of each picture."""
    with (data_folder() / "lung_ct" / "names.csv").open() as table:
        rows = list(csv.DictReader(table))
    found, numbers = {}, {}
    for row in rows:
        name = row["original_name"]
        stem = name.rsplit(".", 1)[0]
        place = f"{row['split']}/{row['class']}/{row['file']}"
        if row["class"] == "covid":
            found[place] = "paper " + name.split("-")[0]
        elif stem.isdigit() and name.endswith(".png"):
            numbers[place] = int(stem)
        else:
            found[place] = "article " + stem.split("%")[0]
    ordered = sorted(numbers, key=numbers.__getitem__)
    scan = 0
    for before, place in itertools.pairwise([None, *ordered]):
        if before is None or numbers[place] - numbers[before] > SCANS_APART:
            scan = numbers[place]
        found[place] = f"scan {scan}"
    return found
