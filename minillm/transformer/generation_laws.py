"""Laws of generation."""

ALONE = {
    "generate": "a generator of tokens, in a loop of Python; tests/transformer/test_generation.py holds both together",
    "next_token": "a step of generate; held through it",
}
