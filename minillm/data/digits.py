"""Handwritten digits: 5,000 of MNIST [LeCun1998], 500 of each, made small.

The package that holds them is under the BSD licence; MNIST's own terms were not verified: it is fetched for use here.
"""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from minillm.data.fetch import DIGITS, fetch
from minillm.errors import DownloadError

SIDE = 8  # of an image, of 28 before


def digits() -> tuple[Float[Any, "5000 64"], Int[Any, "5000"]]:
    """Images of 8 x 8 in rows of 64 numbers from 0 to 1, and which digit each is, in an order that mixes them."""
    images, labels = parse_digits(fetch(DIGITS))
    order = np.random.default_rng(0).permutation(len(labels))
    return images[order], labels[order]


def parse_digits(path: Path) -> tuple[Float[Any, "number 64"], Int[Any, "number"]]:
    """Read lines of 784 brightnesses from 0 to 255 and a digit; put a rim of 2 around, and take means of 4 x 4."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            table = np.loadtxt(file, delimiter=",", dtype=np.float32, ndmin=2)
        images = table[:, :-1].reshape(-1, 28, 28)
    except (OSError, EOFError, ValueError) as error:
        what = f"{path} is no table of digits ({error})"
        raise DownloadError(f"{what}; remove the file, and it is fetched again.") from error
    wide = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    small = wide.reshape(-1, SIDE, 4, SIDE, 4).mean(axis=(2, 4)) / np.float32(255)
    return small.reshape(-1, SIDE * SIDE), table[:, -1].astype(np.int32)
