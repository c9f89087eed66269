"""Facts to look up."""

import numpy as np
import pytest

from minillm.data.facts import all_facts, draw_facts, fact_table
from minillm.errors import InputError


def test_domains_are_different_permutations():
    table = fact_table(4, 16)
    assert (np.sort(table, axis=1) == np.arange(16)).all()
    assert len({tuple(row) for row in table.tolist()}) == 4


def test_a_later_domain_is_drawn_less_often():
    domain, symbol, image = draw_facts(fact_table(6, 4), range(1, 5), 20_000, np.random.default_rng(0))
    # 1, 1/sqrt(2), 1/sqrt(3), 1/2 over their sum 2.7845; the deviation of a frequency is at most 0.0035
    assert np.bincount(domain, minlength=6) / 20_000 == pytest.approx([0, 0.359, 0.254, 0.207, 0.180, 0], abs=0.012)
    assert np.bincount(symbol) / 20_000 == pytest.approx([0.25] * 4, abs=0.012)
    assert {array.dtype for array in (domain, symbol, image)} == {np.dtype(np.int32)}


def test_all_facts_has_each_once():
    table = fact_table(4, 3)
    domain, symbol, image = all_facts(table, [3, 1])
    assert list(zip(domain.tolist(), symbol.tolist(), strict=True)) == [(d, s) for d in (3, 1) for s in range(3)]
    assert image.tolist() == [*table[3], *table[1]]


@pytest.mark.parametrize("domains", [[], [-1], [2]])
def test_domains_that_are_not_there_are_refused(domains):
    with pytest.raises(InputError, match="the table has 2, from 0"):
        draw_facts(fact_table(2, 3), domains, 4, np.random.default_rng(0))
