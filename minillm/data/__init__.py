"""Real text to learn from and to measure on: fetched once, verified, and kept (`minillm.fetch`)."""

from minillm.data.sentiment import Review, movie_reviews
from minillm.data.shakespeare import shakespeare

__all__ = ["Review", "movie_reviews", "shakespeare"]
