"""What `import keras_practical` costs over `import keras`, in seconds: medians of fresh processes.

python benchmarks/import_cost.py
"""

import statistics
import subprocess
import sys
import time

ROUNDS = 5


def seconds(module):
    """Return the wall time of a process that imports `module` and nothing else."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, capture_output=True)
    return time.perf_counter() - start


seconds("keras_practical")  # warm the file cache
pairs = [(seconds("keras_practical"), seconds("keras")) for _ in range(ROUNDS)]
ours, keras = (statistics.median(column) for column in zip(*pairs, strict=True))
differences = sorted(a - b for a, b in pairs)
print(
    f"import keras_practical {ours:.2f} s, import keras {keras:.2f} s, difference "
    f"{statistics.median(differences):.2f} s ({differences[0]:.2f} to {differences[-1]:.2f}), "
    f"n={ROUNDS}"
)
