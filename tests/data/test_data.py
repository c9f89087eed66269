"""The real data sets: counts and digests that are published with them, and how damage is reported."""

import hashlib

import pytest

from minillm.data import movie_reviews, shakespeare
from minillm.data.sentiment import parse_reviews
from minillm.errors import DownloadError


@pytest.mark.model
def test_movie_reviews():
    reviews = movie_reviews()
    assert len(reviews) == 10_072
    assert sum(review.positive for review in reviews) == 4_996
    assert all(0.5 <= abs(review.rating) <= 4 and review.positive == (review.rating > 0) for review in reviews)
    assert all(review.text and review.text == review.text.strip() for review in reviews)
    assert any("clichés" in review.text for review in reviews)  # UTF-8, not Latin-1
    assert reviews[0].text.startswith("The Rock is destined to be the 21st Century's new ''Conan''")


@pytest.mark.model
def test_shakespeare():
    text = shakespeare()
    assert len(text) == 4_830_790 and len(set(text)) == 80
    assert hashlib.sha256(text.encode("utf-8")).hexdigest().startswith("316a49f5e34075c3")


def test_reviews_by_hand(tmp_path):
    path = tmp_path / "reviews.txt"
    lines = ["1\t2.0\tgood", "2\t-0.5\tbad ", "3\t0.49\tneither", "4\t-3\tworse\u2028yet"]
    path.write_bytes("\r\n".join(lines).encode("utf-8"))
    found = [(review.text, review.rating, review.positive) for review in parse_reviews(path)]
    assert found == [("good", 2.0, True), ("bad", -0.5, False), ("worse\u2028yet", -3.0, False)]
    path.write_bytes(b"1\t2.0\tgood\n2\tmuch\tbad\n")
    with pytest.raises(DownloadError, match="line 2"):
        parse_reviews(path)
