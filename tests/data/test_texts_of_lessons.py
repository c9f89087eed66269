"""Texts that we wrote for lessons to measure with: they must be what the lessons say of them."""

from minillm.data.questions import QUESTIONS
from minillm.data.recall import RECALLS, conversation
from minillm.data.summaries import ARTICLES, Article, words_shared


def test_each_question_has_four_answers_and_stands_there_once():
    assert len({question.text for question in QUESTIONS}) == len(QUESTIONS) == 40
    assert all(len(set(question.answers)) == 4 for question in QUESTIONS)


def test_a_false_summary_has_at_least_as_many_words_of_its_article():
    article = Article("The dog bit the man.", "The dog bit.", "The man bit the cat.")
    assert (words_shared(article, article.true), words_shared(article, article.false)) == (3, 4)
    assert len({article.text for article in ARTICLES}) == len(ARTICLES) == 24
    less = [a.true for a in ARTICLES if words_shared(a, a.false) < words_shared(a, a.true)]
    assert not less


def test_a_fact_to_recall_is_told_and_its_answer_is_not_in_the_question():
    assert len({recall.answer for recall in RECALLS}) == len(RECALLS)
    for recall in RECALLS:
        assert recall.answer.strip() in recall.fact and recall.answer.strip() not in recall.question
        assert conversation(recall, 2)[1]["content"] == recall.fact
