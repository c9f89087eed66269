"""Conversations that ask, at their end, for a fact that was told at their beginning. We wrote them for measuring."""

from collections.abc import Callable
from typing import NamedTuple

Message = dict[str, str]


class Recall(NamedTuple):
    """A fact, the question for it, and the answer in two parts: how any answer begins, and what one must know."""

    fact: str
    question: str
    beginning: str
    answer: str


RECALLS = (
    Recall("My dog's name is Biscuit.", "What is my dog's name?", "Your dog's name is", " Biscuit"),
    Recall("I live in a town called Marlow.", "Which town do I live in?", "You live in", " Marlow"),
    Recall("My sister's name is Ingrid.", "What is my sister's name?", "Your sister's name is", " Ingrid"),
    Recall("My favourite fruit is the mango.", "What is my favourite fruit?", "Your favourite fruit is the", " mango"),
    Recall("I was born in October.", "In which month was I born?", "You were born in", " October"),
    Recall("I play the cello.", "Which instrument do I play?", "You play the", " cello"),
    Recall("My cat's name is Pepper.", "What is my cat's name?", "Your cat's name is", " Pepper"),
    Recall("My favourite colour is violet.", "What is my favourite colour?", "Your favourite colour is", " violet"),
    Recall("I work as a baker.", "What do I work as?", "You work as a", " baker"),
    Recall("I keep bees in my garden.", "Which animals do I keep?", "You keep", " bees"),
)
SMALL_TALK = (
    (
        "How do plants drink?",
        "Plants take up water through their roots and lift it in thin vessels to the leaves.",
    ),
    ("Why is the sky blue?", "Air scatters blue light more than red light, so blue reaches us from every side."),
    ("What makes bread rise?", "Yeast eats sugar and gives off gas, and the dough holds the gas in small bubbles."),
    ("Why do cats purr?", "Cats purr when they are content, and sometimes to calm themselves when they are hurt."),
    ("What is a glacier?", "A glacier is a thick mass of ice that moves slowly down a valley under its own weight."),
    (
        "How do magnets work?",
        "In a magnet many tiny currents of electrons point one way, and their forces add up.",
    ),
)


def conversation(recall: Recall, exchanges: int) -> list[Message]:
    """The system's message, the fact and its reply, so many exchanges of small talk, the question.

    >>> [message["role"] for message in conversation(RECALLS[0], 1)]
    ['system', 'user', 'assistant', 'user', 'assistant', 'user']
    """
    pairs = [(recall.fact, "Thank you, I will remember that."), *SMALL_TALK[:exchanges]]
    turns = [message for user, reply in pairs for message in (_message("user", user), _message("assistant", reply))]
    return [_message("system", "You are a helpful assistant."), *turns, _message("user", recall.question)]


def newest_that_fit(
    messages: list[Message], limit: int, encode_chat: Callable[[list[Message]], list[int]]
) -> list[int]:
    """A conversation's ids, its oldest exchanges left out until at most `limit` remain; the system's message stays.

    >>> ids = newest_that_fit(conversation(RECALLS[0], 2), 4, lambda messages: list(range(len(messages))))
    >>> len(ids)  # of eight messages six are left out, two at a time
    4
    """
    while len(encode_chat(messages)) > limit and len(messages) > 2:
        messages = [messages[0], *messages[3:]]
    return encode_chat(messages)


def _message(role: str, content: str) -> Message:
    return {"role": role, "content": content}
