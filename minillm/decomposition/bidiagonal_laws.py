"""The way of LAPACK has no twin: its rotations follow one another, of no use to a GPU or TPU."""

ALONE = {
    "golub_kahan_svd": "what LAPACK does: its rotations follow one another, of no use to a GPU or TPU",
    "bidiagonalise": "the first half of golub_kahan_svd",
}
