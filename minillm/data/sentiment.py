"""Sentences from film reviews, each with how people rated its sentiment.

The sentences are those of [Pang2004]; twenty people rated each from -4 to 4 for VADER [Hutto2014]. The package that
holds them is under the MIT licence. Rights in the sentences themselves were not verified: they are fetched for use
here, and are not to be passed on with the project.
"""

from dataclasses import dataclass
from pathlib import Path

from minillm.data.fetch import MOVIE_REVIEWS, fetch
from minillm.errors import DownloadError

# What one may like or hate.
THINGS = (
    *("Pizza", "rain", "Mondays", "cats", "winter", "jazz", "spinach", "long walks", "my job", "this song", "the sea"),
    *("crowds", "early mornings", "chess", "soup", "trains", "football", "old films", "onions", "snow", "museums"),
    *("math", "garlic", "traffic"),
)
CLEAR = 0.5  # below this a mean rating says little: people disagreed, or felt nothing


@dataclass(frozen=True)
class Review:
    """One sentence and its mean rating, from -4 (most negative) to 4."""

    text: str
    rating: float
    positive: bool


def movie_reviews() -> list[Review]:
    """The 10,072 sentences with a clear rating, 4,996 of them positive, in the order of the file."""
    return parse_reviews(fetch(MOVIE_REVIEWS))


def parse_reviews(path: Path) -> list[Review]:
    """Read lines of `id, rating, text`, separated by tabs, and keep those that are at least `CLEAR` from 0."""
    reviews = []
    for number, line in enumerate(path.read_text(encoding="utf-8").rstrip("\n").split("\n"), start=1):
        try:
            _, rating, text = line.split("\t")
            value = float(rating)
        except ValueError as error:
            what = "this is not an id, a rating and a text; remove the file, and it is fetched again"
            raise DownloadError(f"{path}, line {number}: {what}.") from error
        if abs(value) >= CLEAR:
            reviews.append(Review(text.strip(), value, value > 0))
    return reviews
