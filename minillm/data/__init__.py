"""Real text to learn from and to measure on: fetched once, verified, and kept (`minillm.data.fetch`)."""

from minillm.data.batches import Batches, Validation
from minillm.data.digits import digits
from minillm.data.sentiment import Review, movie_reviews
from minillm.data.shakespeare import shakespeare
from minillm.data.text import load_text, split_text
from minillm.data.tinyshakespeare import tinyshakespeare

__all__ = [
    "Batches",
    "Review",
    "Validation",
    "digits",
    "load_text",
    "movie_reviews",
    "shakespeare",
    "split_text",
    "tinyshakespeare",
]
