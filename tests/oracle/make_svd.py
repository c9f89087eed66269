"""Record the singular values of graded matrices, computed with 60 digits.

    python tests/oracle/make_svd.py

Needs mpmath (PyTorch brings it). Writes `svd.json`: small matrices of small integers whose columns or rows are scaled
by powers of 2 down to 2^-40, so that every number is exact; and their singular values, rounded once.
"""

import json
from pathlib import Path

import mpmath
import numpy as np


def cases() -> list[np.ndarray]:
    """Columns that shrink, rows that grow, a tall one whose columns grow, and scales without any order."""
    rng = np.random.default_rng(0)
    scales = 2.0 ** -np.round(np.linspace(0, 40, 6))
    square, tall = rng.integers(-9, 10, (6, 6)), rng.integers(-9, 10, (9, 6))
    return [square * scales, (square * scales[::-1]).T, tall * scales[::-1], square * rng.permutation(scales)]


def measure(matrix: np.ndarray) -> dict:
    """The matrix and its singular values, the largest first."""
    mpmath.mp.dps = 60
    exact = mpmath.matrix(matrix.tolist() if matrix.shape[0] >= matrix.shape[1] else matrix.T.tolist())
    values = mpmath.svd_r(exact, compute_uv=False)
    return {"matrix": matrix.tolist(), "singular_values": sorted((float(value) for value in values), reverse=True)}


if __name__ == "__main__":
    path = Path(__file__).with_name("svd.json")
    path.write_text(json.dumps([measure(matrix) for matrix in cases()], indent=1) + "\n", encoding="utf-8")
