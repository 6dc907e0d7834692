"""What `import keras_practical` costs over `import keras`, in seconds.

    python benchmarks/import_cost.py

Each fresh process imports keras first and keras_practical, which needs keras anyway, after it: the
second import is the cost.
"""

import statistics
import subprocess
import sys

ROUNDS = 5
PROGRAM = """
import time
start = time.perf_counter()
import keras
middle = time.perf_counter()
import keras_practical
print(middle - start, time.perf_counter() - middle)
"""


def seconds():
    """Return the wall time of both imports in a new process."""
    process = subprocess.run([sys.executable, "-c", PROGRAM], check=True, stdout=subprocess.PIPE)
    return [float(part) for part in process.stdout.split()]


seconds()  # warm the file cache
keras, ours = zip(*(seconds() for _ in range(ROUNDS)), strict=True)
print(
    f"import keras {statistics.median(keras):.2f} s, import keras_practical after it "
    f"{statistics.median(ours):.3f} s ({min(ours):.3f} to {max(ours):.3f}), n={ROUNDS}"
)
