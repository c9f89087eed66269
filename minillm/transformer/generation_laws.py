"""Laws of generation."""

ALONE = {
    "generate": "a generator of tokens, in a loop of Python; tests/transformer/test_generation.py holds both together",
    "bucket": "the lengths that are compiled; NumPy needs none",
}
