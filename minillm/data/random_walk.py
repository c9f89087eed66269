"""A language whose entropy is known: random walks on a random graph.

    P(next = j | now = i) = A_ij / k_i,     time at i: k_i / sum(k),     H = sum_i (k_i / sum(k)) ln k_i

A is the adjacency of an Erdos-Renyi graph, k_i the degree of node i. Each node is a token and each step of the walker
the next one. No model can have a loss below H nats a token, and one that knows the graph has exactly H. Scaling laws
show on such walks too, although nothing in them follows a power law [Barkeshli2026].
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from minillm.errors import InputError

Adjacency = Bool[Any, "V V"]
_TRIES = 1000


def random_graph(num_nodes: int, mean_degree: float, rng: np.random.Generator) -> Adjacency:
    """A connected graph: each pair is joined with one probability; drawn anew until all nodes hang together.

    >>> graph = random_graph(20, 6, np.random.default_rng(0))
    >>> graph.shape, bool((graph == graph.T).all()), bool(graph.diagonal().any())
    ((20, 20), True, False)
    """
    if num_nodes < 2 or not 0 < mean_degree <= num_nodes - 1:
        raise InputError(
            f"A graph of {num_nodes} nodes cannot have mean degree {mean_degree}; take more than 0 and at most n - 1."
        )
    for _ in range(_TRIES):
        upper = np.triu(rng.random((num_nodes, num_nodes)) < mean_degree / (num_nodes - 1), 1)
        graph = upper | upper.T
        if is_connected(graph):
            return graph
    raise InputError(
        f"No connected graph of {num_nodes} nodes with mean degree {mean_degree} in {_TRIES} draws; raise the degree."
    )


def is_connected(graph: Adjacency) -> bool:
    """Whether every node can be reached from every other.

    >>> is_connected(np.array([[False, True], [True, False]])), is_connected(np.zeros((2, 2), bool))
    (True, False)
    """
    reached = np.arange(len(graph)) == 0
    while True:
        wider = reached | graph[reached].any(0)
        if (wider == reached).all():
            return bool(reached.all())
        reached = wider


def visiting_shares(graph: Adjacency) -> Float[np.ndarray, "V"]:
    """The fraction of time that a long walk spends at each node: in proportion to its degree."""
    degrees = graph.sum(1)
    return degrees / degrees.sum()


def entropy_rate(graph: Adjacency) -> float:
    """Nats a token that even a perfect model must pay.

    >>> ring = np.roll(np.eye(5, dtype=bool), 1, 1) | np.roll(np.eye(5, dtype=bool), -1, 1)
    >>> round(entropy_rate(ring), 6)  # two ways on from everywhere: ln 2
    0.693147
    """
    degrees = graph.sum(1)
    if not degrees.all():
        raise InputError("The graph has a node without neighbours, and a walk would end there; join it.")
    return float(visiting_shares(graph) @ np.log(degrees))


def graph_bits(graph: Adjacency) -> float:
    """The bits that it takes to say which graph it is, of all that have as many nodes and edges.

    >>> round(graph_bits(np.roll(np.eye(4, dtype=bool), 1, 1) | np.roll(np.eye(4, dtype=bool), -1, 1)), 3)
    3.907
    """
    pairs, edges = math.comb(len(graph), 2), int(graph.sum()) // 2
    return math.log2(math.comb(pairs, edges))


def random_walks(
    graph: Adjacency, count: int, length: int, rng: np.random.Generator
) -> Int[np.ndarray, "count length"]:
    """Independent walks, each begun where a long walk might be: so the first token is like all others.

    >>> random_walks(np.array([[False, True], [True, False]]), 2, 4, np.random.default_rng(0))
    array([[1, 0, 1, 0],
           [0, 1, 0, 1]], dtype=int32)
    """
    entropy_rate(graph)  # refuses a graph where a walk ends
    degrees = graph.sum(1)
    neighbours = np.argsort(~graph, axis=1, kind="stable")  # row i: its k_i neighbours first
    now = rng.choice(len(graph), count, p=visiting_shares(graph))
    walks = [now]
    for _ in range(length - 1):
        now = neighbours[now, rng.integers(0, degrees[now])]
        walks.append(now)
    return np.stack(walks, axis=1).astype(np.int32)
