"""Read every awkward file: how many are read, how many are named, and the peak memory.

python benchmarks/awkward_images.py
"""

import resource
import sys
import warnings
from pathlib import Path

import keras_practical as kp

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "support"))
from shared_data import data_folder

warnings.simplefilter("ignore")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
read, named = 0, []
for file in sorted((data_folder() / "awkward_images").iterdir()):
    try:
        picture = kp.read_image(file)
    except ValueError as error:
        named.append(str(error))
    else:
        assert picture.dtype == "uint8"
        assert picture.ndim == 3
        read += 1
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("\n".join(named))
print(
    f"{read} read, {len(named)} named; peak memory {peak / 1024:.0f} MB, of which "
    f"{before / 1024:.0f} MB were there after the imports"
)
