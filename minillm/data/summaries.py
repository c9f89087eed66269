"""Short articles, each with a true summary and a false one of the same topic. We wrote them for measuring.

The false summary is made of the article's own words, as many as the true one has or more: a score that counts common
words prefers it. Who tells them apart has read who did what.
"""

from typing import NamedTuple


class Article(NamedTuple):
    """A text, what a summary may say of it, and what it may not."""

    text: str
    true: str
    false: str


ARTICLES = (
    Article(
        "The city council voted on Monday to close the old bridge for repairs. Engineers found cracks in two of its "
        "pillars, so drivers will use the tunnel until spring.",
        "The old bridge closes for repairs.",
        "The tunnel closes for repairs until spring.",
    ),
    Article(
        "Biologists have found a new species of frog in the cloud forest. It is smaller than a fingernail, lives under "
        "fallen leaves and feeds on mites.",
        "Biologists find a tiny new frog.",
        "Biologists find new mites under a frog.",
    ),
    Article(
        "The bakery on Mill Street won first prize for its rye bread at the fair. Judges praised the dark crust. The "
        "bakery on Hill Road came second.",
        "The bakery on Mill Street wins first prize.",
        "The bakery on Hill Road wins first prize.",
    ),
    Article(
        "Shares of the chip maker fell by twelve percent after it cut its forecast. Demand for phones has been weak, "
        "and a new factory will be delayed.",
        "The chip maker's shares fall.",
        "The chip maker's new forecast lifts its shares.",
    ),
    Article(
        "Heavy rain flooded the valley on Friday night. Two hundred families were brought to the school by boat, and "
        "the river is expected to fall by Sunday.",
        "Families leave the flooded valley.",
        "The school is flooded and families stay in the valley.",
    ),
    Article(
        "The striker scored three goals as the visitors won by four to one. The home team's only goal came in the "
        "last minute.",
        "The visitors win by four to one.",
        "The home team wins by four to one.",
    ),
    Article(
        "The night train between the two capitals will run again from June. It was stopped ten years ago because too "
        "few people took it.",
        "The night train will run again.",
        "The night train will be stopped from June.",
    ),
    Article(
        "The museum gave the stolen mask back to the village where it was carved. A copy will hang in the museum.",
        "The village gets the mask back.",
        "The museum gets the stolen mask back.",
    ),
    Article(
        "A young whale swam up the river and was stuck for two days. Fishermen led it back to the sea with three "
        "boats.",
        "Fishermen lead a whale back to the sea.",
        "A young whale leads fishermen back to the sea.",
    ),
    Article(
        "The teacher won the race for mayor with fifty-four percent of the votes. Her opponent, the baker, had led the "
        "town for twelve years.",
        "The teacher is the new mayor.",
        "The baker is the new mayor.",
    ),
    Article(
        "The new drug lowered blood pressure in nine of ten patients. It worked better than the old one, but it costs "
        "twice as much.",
        "The new drug works better but costs more.",
        "The old drug works better but costs more.",
    ),
    Article(
        "The girl of eleven beat the champion in forty moves. He had not lost a game in two years.",
        "A girl beats the champion.",
        "The champion beats a girl of eleven.",
    ),
    Article(
        "From autumn lessons will begin at nine instead of eight. A study had shown that pupils who sleep longer learn "
        "more.",
        "Lessons will begin later.",
        "Lessons will begin at eight from autumn.",
    ),
    Article(
        "The volcano on the island threw ash two miles high on Tuesday. The airport was closed, but no one was hurt.",
        "A volcano closes the airport.",
        "The volcano hurt many at the airport.",
    ),
    Article(
        "The car maker will build its new battery factory in the north, not in the south as planned. The northern town "
        "offers cheap power from wind.",
        "The battery factory goes to the north.",
        "The battery factory goes to the south as planned.",
    ),
    Article(
        "A dog woke the family of five when smoke filled the house. All got out before the roof fell in.",
        "A dog saves a family from a fire.",
        "A family of five saves a dog before the roof falls in.",
    ),
    Article(
        "Parliament lowered the tax on bread and raised the tax on sugar. The change begins in January.",
        "The tax on bread falls, the tax on sugar rises.",
        "The tax on sugar falls, the tax on bread rises.",
    ),
    Article(
        "Frost destroyed a third of the coffee harvest in the hills. Prices rose to their highest in nine years, while "
        "tea became cheaper.",
        "Coffee becomes dearer after a frost.",
        "Tea in the hills becomes dearer after a frost.",
    ),
    Article(
        "The library will lend tools as well as books. Readers asked for drills and ladders, which most need only once "
        "a year.",
        "The library will lend tools.",
        "Readers will lend tools to the library.",
    ),
    Article(
        "The tennis final was moved to Monday because of rain. Tickets for Sunday stay valid.",
        "Rain moves the final to Monday.",
        "Rain moves the final from Monday to Sunday.",
    ),
    Article(
        "The probe landed near the moon's south pole and sent its first picture. A probe sent by a rival had crashed "
        "there in spring.",
        "The probe lands on the moon.",
        "The probe crashed near the moon's south pole.",
    ),
    Article(
        "Farmers who sowed flowers between their fields counted twice as many bees. Their neighbours, who sowed none, "
        "harvested fewer apples.",
        "Farmers who sow flowers have more bees.",
        "Farmers who sowed none counted twice as many bees.",
    ),
    Article(
        "The bus drivers ended their strike after nine days. The company will pay them five percent more; they had "
        "asked for eight.",
        "The bus drivers get five percent more.",
        "The bus drivers get eight percent more.",
    ),
    Article(
        "The painting that hung in a kitchen for forty years is by a master. Its owner, a retired nurse, will sell it "
        "to the city's museum.",
        "A nurse sells a painting to the museum.",
        "The museum sells a painting to a retired nurse.",
    ),
)


def words_shared(article: Article, summary: str) -> int:
    """How many words of the summary stand in the article.

    >>> words_shared(Article("A dog bit a man.", "A dog bites.", "A man bit."), "A man bit.")
    3
    """
    return sum(word in _words(article.text) for word in _words(summary))


def _words(text: str) -> list[str]:
    return [word.strip(".,;").lower() for word in text.split()]
