"""Facts to look up: in each domain a secret permutation gives every symbol an image.

A model that is told domain and symbol has nothing to generalise from: it must remember each of the facts. So the task
shows what a layer can store, and the domains, which share nothing, are what experts could divide among themselves.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from minillm.errors import InputError

Labels = Int[Any, "size"]


def fact_table(num_domains: int, num_symbols: int) -> Int[Any, "domains symbols"]:
    """The image of each symbol in each domain. With more domains the first ones stay as they were.

    >>> table = fact_table(3, 5)
    >>> table.shape, np.sort(table[2]).tolist(), bool((fact_table(2, 5) == table[:2]).all())
    ((3, 5), [0, 1, 2, 3, 4], True)
    """
    generators = (np.random.default_rng(99 + domain) for domain in range(num_domains))
    return np.array([generator.permutation(num_symbols) for generator in generators], np.int32)


def all_facts(table: Int[Any, "domains symbols"], domains: Sequence[int]) -> tuple[Labels, Labels, Labels]:
    """Every fact of these domains once: domains, symbols and their images.

    >>> [column.tolist() for column in all_facts(fact_table(3, 2), [2])][:2]
    [[2, 2], [0, 1]]
    """
    domain, symbol = np.repeat(np.array(domains, np.int32), table.shape[1]), np.arange(table.shape[1], dtype=np.int32)
    symbol = np.tile(symbol, len(domains))
    return domain, symbol, table[domain, symbol]


def draw_facts(
    table: Int[Any, "domains symbols"], domains: Sequence[int], size: int, rng: np.random.Generator
) -> tuple[Labels, Labels, Labels]:
    """Domains, symbols and their images: the i-th of `domains`, from 1, with a frequency in proportion to 1 / sqrt(i).

    >>> table = fact_table(3, 5)
    >>> domain, symbol, image = draw_facts(table, [2], 4, np.random.default_rng(0))
    >>> domain.tolist(), bool((image == table[2][symbol]).all())
    ([2, 2, 2, 2], True)
    """
    if not domains or not 0 <= min(domains) <= max(domains) < len(table):
        raise InputError(f"draw_facts: domains are {list(domains)}; the table has {len(table)}, from 0: give some.")
    frequencies = 1 / np.sqrt(np.arange(1, len(domains) + 1))
    domain = rng.choice(np.array(domains, np.int32), size, p=frequencies / frequencies.sum())
    symbol = rng.integers(0, table.shape[1], size, np.int32)
    return domain, symbol, table[domain, symbol]
