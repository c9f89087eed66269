"""What lessons measure and draw with."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from minillm.course.measure import (
    effective_number,
    exact_determinant,
    free_memory,
    mean_and_error,
    mutual_information,
    normalised_information,
    num_bytes,
    running_mean,
    seconds,
    steps_to,
    table_skill,
)
from minillm.course.plots import (
    ORANGE,
    canvas,
    dial,
    draw_routes,
    legend_below,
    plot_band,
    plot_means,
    plot_seeds,
    weights_map,
)
from minillm.errors import InputError


def test_an_exact_determinant():
    # 2 (1 * 4 - 3 * 5) - 1 (0 * 4 - 3 * 7) + 0 = -22 + 21, rows exchanged for the sign, and columns far apart
    rows = [[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [7.0, 5.0, 4.0]]
    assert exact_determinant(rows) == -1
    assert exact_determinant([rows[1], rows[0], rows[2]]) == 1
    assert exact_determinant([[a * 2.0**-80, b, c] for a, b, c in rows]) * 2**80 == -1
    assert exact_determinant([[1.0, 2.0], [2.0, 4.0]]) == 0


def test_mean_and_error_by_hand():
    # deviations -3, 1, 2: variance (9 + 1 + 4) / 2 = 7, over three values
    assert mean_and_error(value for value in (1, 5, 6)) == pytest.approx((4, (7 / 3) ** 0.5))
    assert mean_and_error(np.array([True, False])) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("values", [[], [1.0], np.ones((2, 2))])
def test_an_error_needs_two_measurements(values):
    with pytest.raises(InputError, match="two or more measurements in one row"):
        mean_and_error(values)


def test_seconds_leaves_the_first_call_out():
    calls = []

    def slow_at_first():
        calls.append(time.sleep(0.01 if calls else 0.5))

    taken = seconds(slow_at_first, runs=3)
    assert len(calls) == 4 and taken.shape == (3,)
    assert taken.min() >= 0.01 and taken.max() < 0.4


def test_bytes_of_a_tree():
    assert num_bytes({"x": jnp.ones((2, 4), jnp.bfloat16), "y": (np.ones(3, np.int8), None)}) == 2 * 4 * 2 + 3
    assert num_bytes(jax.eval_shape(lambda: jnp.ones((2, 4), jnp.bfloat16))) == 2 * 4 * 2


def test_freed_memory_takes_the_compiled_programs_along():
    double = jax.jit(lambda x: 2 * x)
    double(np.ones(1))
    assert double._cache_size() == 1
    free_memory()
    assert double._cache_size() == 0


def test_a_canvas_is_one_axes_or_a_row_of_them():
    figure, ax = canvas()
    assert list(figure.get_size_inches()) == [6.0, 3.6] and figure.axes == [ax]
    figure, (left, right) = canvas(2, 9, 3, sharey=True)
    left.set_ylim(0, 7)
    assert figure.axes == [left, right] and right.get_ylim() == (0, 7)
    assert not right.spines["top"].get_visible() and right.spines["bottom"].get_visible()


def test_seeds_share_a_colour_and_one_entry_of_the_legend():
    figure, ax = canvas()
    plot_seeds(ax, [1, 2], np.arange(6).reshape(3, 2), "three seeds", ORANGE, linestyle="--")
    legend_below(figure)
    assert [list(line.get_ydata()) for line in ax.lines] == [[0, 1], [2, 3], [4, 5]]
    assert {line.get_color() for line in ax.lines} == {ORANGE}
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["three seeds"]


def test_means_have_bars_over_their_intervals():
    _, ax = canvas()
    plot_means(ax, [1, 2], [[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]], "three runs", ORANGE)
    [bars] = ax.containers
    # 2 +- 4.3027 / sqrt(3); runs that agree have no interval
    np.testing.assert_allclose(
        [end[1] for end in bars.lines[2][0].get_segments()[0]], [2 - 2.4841, 2 + 2.4841], atol=1e-3
    )
    np.testing.assert_allclose(bars.lines[0].get_ydata(), [2, 5])


def test_mutual_information_by_hand():
    # joint (3, 1; 1, 3) / 8: 2 ln 2 - H = 2 ln 2 - (3/4 ln(8/3) + 1/4 ln 8)
    a, b = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 1, 1, 1]
    expected = 2 * np.log(2) - (0.75 * np.log(8 / 3) + 0.25 * np.log(8))
    assert mutual_information(a, b) == pytest.approx((expected, np.log(2), np.log(2)))
    assert mutual_information([0, 1, 0, 1], [3, 3, 1, 1])[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("a", "b"), [([], []), ([0, 1], [0]), ([[0]], [[0]])])
def test_labels_come_in_pairs(a, b):
    with pytest.raises(InputError, match="two rows of labels of one length"):
        mutual_information(a, b)


def test_a_running_mean_begins_with_a_whole_span():
    assert running_mean([3, 0, 3, 6], 3).tolist() == pytest.approx([2, 3])
    assert steps_to([5, 1, 2, 0], target=1.5, span=1) == 2
    assert steps_to([5, 1, 2, 0], target=1.5, span=2) == 4  # means 3, 1.5, 1: below is not at
    assert steps_to([5, 1, 2, 0], target=1, span=3) is None


@pytest.mark.parametrize(("values", "span"), [([1.0], 2), ([1.0], 0), ([[1.0]], 1)])
def test_a_running_mean_needs_a_whole_span(values, span):
    with pytest.raises(InputError, match="span or more values"):
        running_mean(values, span)


def test_a_dial_shades_what_was_seen_and_draws_its_hands():
    _, ax = canvas()
    dial(ax, np.pi / 2, [(np.pi, ORANGE)])
    [shaded] = ax.patches
    assert shaded.get_xy()[:, 0].max() == pytest.approx(1) and shaded.get_xy()[:, 1].min() >= -1e-9
    hand = ax.lines[-1]
    assert hand.get_color() == ORANGE and hand.get_xydata()[1] == pytest.approx([0, -1], abs=1e-9)


def test_a_map_of_weights_names_both_axes():
    _, ax = canvas()
    weights_map(ax, np.eye(2), ["a", "b"])
    assert [text.get_text() for text in ax.get_xticklabels()] == ["a", "b"]
    assert ax.images[0].get_array().tolist() == [[1, 0], [0, 1]]


def test_a_mean_has_a_band_of_its_interval():
    _, ax = canvas()
    plot_band(ax, [0, 1], [[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]], "runs", ORANGE)
    assert ax.lines[0].get_ydata().tolist() == [2, 5]
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    # at x = 0: 2 +- 4.3027 * 1 / sqrt(3); at x = 1 the runs agree
    assert (band.min(), band.max()) == pytest.approx((-0.4841, 5), abs=1e-3)


def test_routes_have_a_line_for_each_choice_and_zero_for_what_was_dropped():
    _, ax = canvas()
    draw_routes(ax, "ab", [[0, 2], [1, 0]], [[0.8, 0.2], [0.0, 0.0]], [[True, True], [False, False]], 3)
    assert [len(line.get_ydata()) for line in ax.lines] == [3, 3, 2, 2]
    assert ax.lines[0].get_linewidth() > ax.lines[1].get_linewidth()
    assert [text.get_text() for text in ax.texts] == ["a", "a", "b", "0", "E0", "E1", "E2"]


def test_normalised_information_and_effective_number_by_hand():
    a, b = [0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 0, 1, 1, 1]
    assert normalised_information(a, b) == pytest.approx(mutual_information(a, b)[0] / np.log(2))
    assert normalised_information([0, 0], [0, 1]) == 0
    # entropy of (1/2, 1/4, 1/4) is 1.5 ln 2
    assert effective_number([0.5, 0.25, 0.25]) == pytest.approx(2**1.5)
    assert effective_number([1.0, 0.0]) == pytest.approx(1)


def test_a_table_is_tested_on_pairs_that_it_was_not_made_from():
    # learned: 0 -> 1, 1 -> 2 (twice as frequent); label 2 is new, so 2 is guessed. Of the four tests the table is wrong
    # in the last, and always naming 2 in the first and the last
    labels, targets = [0, 1, 1, 1, 0, 1, 2, 1], [1, 2, 2, 2, 1, 2, 2, 0]
    assert table_skill(labels, targets) == pytest.approx(1 - 1 / 2)
    with pytest.raises(InputError, match="nothing to predict"):
        table_skill([0, 1, 0, 1], [3, 3, 3, 3])
