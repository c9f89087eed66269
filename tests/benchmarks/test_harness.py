"""Laws of the benchmark harness. Time is driven by hand: nothing here depends on how fast this machine is."""

import copy
import importlib
import importlib.util
import io
import itertools
import json
import os
import random
import re
import sys
from pathlib import Path
from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from benchmarks import device as devices
from benchmarks import harness, roof, session, timing
from benchmarks.case import Case, disagreement, groups
from benchmarks.timing import BATCH_SECONDS, FEWEST_ROUNDS, MIN_ROUNDS, Task, interleave
from minillm.errors import DeviceError, InputError, MinillmError

SETTLE = timing.settle


class FakeClock:
    """A clock that only moves when something `takes` time."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, seconds, answer=1.0):
        def function(*_):
            self.now += seconds() if callable(seconds) else seconds
            return answer

        return function


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture(autouse=True)
def settles(monkeypatch):
    """Time is driven by hand, so there is nothing to wait for; gives the list of waits instead."""
    waits = []
    monkeypatch.setattr(timing, "settle", lambda: waits.append(1))
    return waits


def run(cases, clock=None, **options):
    module = ModuleType("bench_fake")
    module.cases = lambda _: cases
    options.setdefault("console", Console(file=io.StringIO(), width=140))
    return harness.run(module, clock=clock or FakeClock(), **options)


def host_case(name, function, **fields):
    return Case(name=name, make=lambda: (function, ()), **fields)


def rows_of(document):
    return {row["name"]: row for row in document["benchmarks"]}


# --- ratio: ours over theirs, from pairs of one moment ---


def test_ratio_below_one_means_we_take_less_time(clock):
    ours = host_case("ours", clock.takes(0.010), peer="theirs")
    theirs = host_case("theirs", clock.takes(0.020))
    rows = rows_of(run([ours, theirs], clock))
    assert rows["ours"]["peer"] == "theirs"
    assert rows["ours"]["ratio"] == pytest.approx(0.5)
    assert rows["ours"]["real_time"] == pytest.approx(10) and rows["ours"]["time_unit"] == "ms"
    assert "ratio" not in rows["theirs"] and "peer" not in rows["theirs"]


def test_the_ratio_is_the_median_of_pairs_not_the_ratio_of_medians(clock):
    # pairs 1/2, 1/8, 4/4: their median is 0.5; the medians 1 and 4 would give 0.25
    ours, theirs = (itertools.cycle(units) for units in ((1, 1, 4), (2, 8, 4)))
    cases = [host_case("ours", clock.takes(lambda: 0.03 * next(ours)), peer="theirs"),
             host_case("theirs", clock.takes(lambda: 0.03 * next(theirs)))]  # fmt: skip
    assert rows_of(run(cases, clock))["ours"]["ratio"] == pytest.approx(0.5)


def test_a_machine_that_slows_down_does_not_change_the_ratio(clock):
    def seconds(base):
        return lambda: base * (1 if clock.now < 3 else 2)

    ours = host_case("ours", clock.takes(seconds(0.03)), peer="theirs")
    theirs = host_case("theirs", clock.takes(seconds(0.06)))
    row = rows_of(run([ours, theirs], clock))["ours"]
    assert row["ratio"] == pytest.approx(0.5, rel=0.02)
    assert row["p90"] > 1.9 * row["p10"]


def test_turns_alternate_and_every_round_has_all():
    order = []
    clock = FakeClock()

    def task(name):
        def function():
            order.append(name)
            clock.now += 0.03

        return Task(function, (), lambda _: None)

    interleave([task("a"), task("b")], clock=clock, min_time=0.0001)
    timed = order[-2 * FEWEST_ROUNDS :]
    assert timed == ["a", "b", "b", "a", "a", "b", "b", "a", "a", "b"]


def test_a_turn_begins_when_the_process_is_at_rest(monkeypatch, settles):
    clock = FakeClock()
    tasks = [Task(clock.takes(0.03), (), lambda _: None) for _ in range(2)]
    interleave(tasks, clock=clock, min_time=0.1)
    assert len(settles) == 2 + 2 * len(tasks[0].times)


def test_rest_is_when_the_process_time_stands_still(monkeypatch):
    # three looks at busy threads (4 ms of processor time in 4 ms), then threads that sleep
    times = iter([0.0, 0.004, 0.004, 0.008, 0.008, 0.012, 0.012, 0.012])
    naps = []
    monkeypatch.setattr(timing, "process_time", lambda: next(times))
    monkeypatch.setattr(timing, "sleep", naps.append)
    SETTLE()
    assert naps == [0.004] * 4
    monkeypatch.setattr(timing, "process_time", iter(range(10_000)).__next__)  # never at rest
    SETTLE(longest=0.1, step=0.004)
    assert len(naps) == 4 + 25


def test_one_round_of_outliers_does_not_move_the_ratio(clock):
    rng = random.Random(0)
    ours = host_case("ours", clock.takes(lambda: 0.02 * (50 if rng.random() < 0.1 else 1)), peer="theirs")
    theirs = host_case("theirs", clock.takes(0.04))
    assert rows_of(run([ours, theirs], clock))["ours"]["ratio"] == pytest.approx(0.5)


# --- batches ---


def test_fast_calls_fill_a_batch_and_there_are_enough_batches(clock):
    row = rows_of(run([host_case("fast", clock.takes(1e-5))], clock, min_time=0.1))["fast"]
    calls = row["iterations"] / row["batches"]
    assert calls * 1e-5 >= BATCH_SECONDS
    assert row["batches"] >= MIN_ROUNDS
    assert row["min"] == pytest.approx(0.01) and row["p10"] <= row["real_time"] <= row["p90"]


def test_slow_calls_stop_at_five_batches(clock):
    assert rows_of(run([host_case("slow", clock.takes(30.0))], clock))["slow"]["batches"] == FEWEST_ROUNDS


def test_min_time_is_reached(clock):
    row = rows_of(run([host_case("one", clock.takes(0.025))], clock, min_time=3.0))["one"]
    assert row["iterations"] * 0.025 >= 3.0 * (1 - 1e-9)


# --- agreement comes before timing ---


def test_a_wrong_answer_is_an_error_row_and_never_timed(clock):
    calls = []

    def wrong():
        calls.append(1)
        clock.now += 0.01
        return np.array([1.0, 2.1])

    case = host_case("wrong", wrong, oracle=lambda: np.array([1.0, 2.0]), tolerance=1e-3)
    document = run([case, host_case("right", clock.takes(0.01), group="wrong")], clock)
    row = rows_of(document)["wrong"]
    assert row["error_occurred"] is True and "differs from numpy float64 by 0.05" in row["error_message"]
    assert row["max_abs_err"] == pytest.approx(0.1) and row["max_rel_err"] == pytest.approx(0.05)
    assert "real_time" not in row and len(calls) == 1
    assert harness.exit_status(document) == 1
    assert "real_time" in rows_of(document)["right"]


def test_what_cannot_be_had_here_is_skipped_and_no_failure(clock):
    def make():
        raise harness.Unavailable("the model is not cached")

    document = run([Case(name="absent", make=make), host_case("ours", clock.takes(0.01), peer="absent")], clock)
    rows = rows_of(document)
    assert rows["absent"]["skipped"] is True and rows["absent"]["skip_message"] == "the model is not cached"
    assert "real_time" in rows["ours"] and "ratio" not in rows["ours"]
    assert harness.exit_status(document) == 0


def test_a_right_answer_carries_its_error(clock):
    case = host_case("right", clock.takes(0.01, np.array([1.0, 2.0001])), oracle=lambda: np.array([1.0, 2.0]),
                     tolerance=1e-3)  # fmt: skip
    document = run([case], clock)
    row = rows_of(document)["right"]
    assert row["max_rel_err"] == pytest.approx(5e-5) and row["tolerance"] == 1e-3
    assert harness.exit_status(document) == 0


@pytest.mark.parametrize("answer", [np.array([1.0, np.nan]), np.array([1.0, np.inf]), np.ones(3), [np.ones(2)] * 2])
def test_nan_infinity_and_wrong_shape_are_errors(clock, answer):
    case = host_case("wrong", clock.takes(0.01, answer), oracle=lambda: np.array([1.0, 2.0]), tolerance=1e9)
    assert rows_of(run([case], clock))["wrong"]["error_occurred"]


def test_disagreement_is_relative_to_each_array():
    # 0.1 of 1 is 0.1, though the other array's largest value is 1000
    assert disagreement((np.array([1.1]), np.array([1000.0])), (np.array([1.0]), np.array([1000.0]))) == (
        pytest.approx(0.1),
        pytest.approx(0.1),
    )


def test_a_case_that_breaks_leaves_the_others_alone(clock):
    def broken():
        raise ValueError("no such layer")

    def later(count=[]):  # noqa: B006 (the list is the counter)
        count.append(1)
        if len(count) > 8:
            raise MemoryError("full")
        clock.now += 0.05

    cases = [host_case("broken", broken), host_case("later", later, group="g"),
             host_case("ours", clock.takes(0.05), group="g", peer="later")]  # fmt: skip
    rows = rows_of(run(cases, clock))
    assert rows["broken"]["error_message"] == "ValueError: no such layer"
    assert rows["later"]["error_message"] == "MemoryError: full"
    assert rows["ours"]["batches"] >= MIN_ROUNDS and "ratio" not in rows["ours"]
    assert "later" in rows["ours"]["peer_skipped"]


def test_a_peer_that_is_not_installed_is_skipped_and_says_so(clock):
    made = []
    peer = Case(name="theirs", make=lambda: made.append(1), requires=("no_such_package_here",))
    document = run([host_case("ours", clock.takes(0.01), peer="theirs"), peer], clock)
    rows = rows_of(document)
    assert rows["theirs"]["skipped"] and "no_such_package_here is not installed" in rows["theirs"]["skip_message"]
    assert "ratio" not in rows["ours"] and "real_time" in rows["ours"] and not made
    assert document["context"]["peers"] == {"no_such_package_here": None}
    assert harness.exit_status(document) == 0


# --- jitted functions, and steps ---


def test_a_jitted_function_is_lowered_compiled_and_copied_apart():
    x = np.ones((4, 8), np.float32)
    case = Case(name="matmul", make=lambda: (jax.jit(lambda a: a @ a.T), (x,)), oracle=lambda: x @ x.T,
                flops_model=2.0 * 4 * 4 * 8, flops_rule="2 M N K")  # fmt: skip
    row = rows_of(run([case], smoke=True))["matmul"]
    assert row["lower_s"] is not None and row["compile_s"] is not None and row["copy_s"] is not None
    assert row["flops_xla"] == 256 and "flops_warning" not in row
    assert row["temporary_bytes"] == jax.jit(lambda a: a @ a.T).lower(x).compile().memory_analysis().temp_size_in_bytes
    assert row["batches"] == 3


def test_a_wrong_flop_rule_is_noticed_unless_there_is_a_loop():
    def looped(x):
        return jax.lax.scan(lambda carry, _: (carry @ carry, None), x, None, length=10)[0]

    x = np.eye(8, dtype=np.float32)
    cases = [Case(name="wrong", make=lambda: (jax.jit(jnp.dot), (x, x)), flops_model=1e6),
             Case(name="loop", make=lambda: (jax.jit(looped), (x,)), flops_model=10 * 2 * 8.0**3)]  # fmt: skip
    rows = rows_of(run(cases, smoke=True))
    assert "our rule 1e+06" in rows["wrong"]["flops_warning"] and "flops_warning" not in rows["loop"]


def test_a_step_starts_every_batch_at_a_reset(clock):
    seen, resets = [], []

    def reset():
        resets.append(clock.now)
        clock.now += 5.0  # a slow reset must not be timed
        return 0

    def step(state):
        seen.append(state)
        clock.now += 0.01
        return state + 1

    case = Case(name="decode", make=lambda: (step, ()), reset=reset, steps=4, items=1, oracle=lambda: 4.0)
    row = rows_of(run([case], clock, min_time=0.1))["decode"]
    assert len(seen) == 4 * len(resets) and seen == [0, 1, 2, 3] * len(resets)
    assert row["real_time"] == pytest.approx(10) and row["items_per_second"] == pytest.approx(100)
    assert row["iterations"] == 4 * row["batches"]


def test_a_step_may_donate_its_state():
    step = jax.jit(lambda rate, state: (state[0] * rate, state[1] + 1), donate_argnums=1)
    case = Case(
        name="decode",
        make=lambda: (step, (np.float32(2) * np.ones(3, np.float32),)),
        reset=lambda rate: (jnp.ones(3), jnp.zeros((), jnp.int32)),
        steps=5,
        oracle=lambda: (np.full(3, 32.0), np.array(5)),
    )
    row = rows_of(run([case], smoke=True))["decode"]
    assert row["max_abs_err"] == 0 and row["compile_s"] is not None


# --- the roof and the peaks ---


def test_an_unknown_device_has_no_utilisation(clock):
    assert devices.peak_flops("Abacus 3000", "float32") is None
    case = host_case("ours", clock.takes(0.01), flops_model=1e9, flops_rule="r", bytes_min=1e6, bytes_rule="r")
    row = rows_of(run([case], clock, device="cpu"))["ours"]
    assert row["mfu"] is None and row["mbu"] is None and row["peak_flops"] is None and row["flops_model"] == 1e9


def test_the_peak_of_float32_depends_on_the_precision():
    h100 = "NVIDIA H100 80GB HBM3"
    assert devices.peak_flops(h100, "float32") == devices.peak_flops(h100, "tensorfloat32")
    assert devices.peak_flops(h100, "float32", "highest").value == 67e12
    assert devices.peak_flops("TPU v5 lite", "float32").value == 197e12
    assert devices.peak_flops("TPU v5 lite", "float32", "highest") is None
    assert all(peak.source for peak in [*devices.PEAK_FLOPS.values(), *devices.PEAK_BANDWIDTH.values()])


def test_calibration_gives_a_measured_peak_and_says_so(clock, monkeypatch):
    peak = devices.Peak(1e11, "measured: a matrix product")
    monkeypatch.setattr(session.roof, "measured_matmul_flops", lambda *_: peak)
    monkeypatch.setattr(session.roof, "measured_read_bandwidth", lambda *_: devices.Peak(1e10, "measured: sum"))
    case = host_case("ours", clock.takes(0.01), flops_model=5e8, bytes_min=2e7)
    row = rows_of(run([case], clock, calibrate=True, device="cpu"))["ours"]
    assert row["mfu"] == pytest.approx(0.5) and row["mbu"] == pytest.approx(0.2)  # 5e8 / (0.01 * 1e11)
    assert row["peak_source"].startswith("measured") and row["roofline_bound"] == "compute"


def test_roof_fraction_relates_our_bytes_to_a_read_in_the_same_turns(clock, monkeypatch):
    # the reader needs 50 ms for 100 MB; ours 100 ms for 80 MB: at the roof it would be 40 ms, so 0.4
    reader = Task(clock.takes(0.05), (np.zeros(25_000_000, np.float32),), lambda _: None)
    monkeypatch.setattr(session.roof, "read_tasks", lambda *_: {"a read": reader})
    row = rows_of(run([host_case("ours", clock.takes(0.1), bytes_min=8e7, roof=True)], clock))["ours"]
    assert row["roof_fraction"] == pytest.approx(0.4)
    assert row["roof_bandwidth"] == pytest.approx(2e9) and row["roof_source"] == "measured: a read"


def test_the_read_kernels_read_and_the_best_counts():
    peak = roof.measured_read_bandwidth(num_bytes=2**20, min_time=0.001)
    assert peak.value > 0 and peak.source.startswith("measured: ") and "1 MiB" in peak.source
    flops = roof.measured_matmul_flops("float32", sizes=(64,), min_time=0.001)
    assert flops.value > 0 and flops.source.startswith("measured: float32")


# --- devices and refusals: before anything runs or is written ---


def test_a_device_that_is_not_there_is_an_error_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "devices", fake_devices)
    path = tmp_path / "out.json"
    ran = []
    with pytest.raises(DeviceError, match="JAX finds no gpu on this machine") as caught:
        run([host_case("ours", lambda: ran.append(1))], device="gpu", json_path=path)
    assert caught.value.exit_code == 3 and not ran and not list(tmp_path.iterdir())


def fake_devices(platform=None):
    if platform == "gpu":
        raise RuntimeError("Unknown backend: 'gpu' requested")
    return jax.local_devices(backend="cpu")


def test_other_refusals(tmp_path, monkeypatch, clock):
    with pytest.raises(InputError, match="choose cpu, gpu or tpu"):
        run([host_case("ours", clock.takes(0.1))], device="abacus")
    with pytest.raises(InputError, match="not a file in an existing folder"):
        run([host_case("ours", clock.takes(0.1))], json_path=tmp_path / "no" / "out.json")
    monkeypatch.setattr(devices, "load_average", lambda: [99.0])
    with pytest.raises(MinillmError, match="busy: the load is 99"):
        run([host_case("ours", clock.takes(0.1))], quiet=True)
    monkeypatch.setattr(devices, "load_average", lambda: [0.0])
    run([host_case("ours", clock.takes(0.1))], clock, quiet=True)


def test_cases_that_contradict_themselves_are_refused():
    def case(name, **fields):
        return host_case(name, lambda: None, **fields)

    for cases in ([], [case("a"), case("a")], [case("a", peer="b")], [case("a", peer="a")],
                  [case("a", peer="b", group="x"), case("b", group="y")]):  # fmt: skip
        with pytest.raises(InputError, match="benchmark"):
            groups(cases)
    with pytest.raises(InputError, match="go together"):
        case("a", reset=lambda: 0)
    with pytest.raises(InputError, match="needs `bytes_min`"):
        case("a", roof=True)
    assert [[c.name for c in g] for g in groups([case("a", peer="b"), case("c"), case("b")])] == [["a", "b"], ["c"]]


# --- the document ---


@pytest.fixture
def document(clock):
    return run([host_case("ours", clock.takes(0.01), peer="theirs"), host_case("theirs", clock.takes(0.02))], clock)


def test_validate_names_what_is_missing_or_wrong(document):
    harness.validate(document)
    for keys, value, message in [
        (("context", "device_kind"), None, "context: 'device_kind' is missing"),
        (("benchmarks", 0, "p90"), None, r"benchmarks\[0\]: 'p90' is missing"),
        (("benchmarks", 0, "ratio"), None, r"benchmarks\[0\]: 'ratio' is missing"),
        (("benchmarks", 1, "batches"), True, "'batches' is True; it must be int"),
        (("benchmarks", 1, "real_time"), float("nan"), "'real_time' is nan"),
        (("benchmarks", 1, "p10"), 1e9, "out of order"),
        (("benchmarks", 1, "name"), "ours", "second row"),
        (("context", "schema"), "asv/2", "schema is not"),
        (("benchmarks",), 3, "'benchmarks' is 3; it must be list"),
    ]:
        broken = copy.deepcopy(document)
        *path, last = keys
        holder = broken
        for key in path:
            holder = holder[key]
        if value is None:
            del holder[last]
        else:
            holder[last] = value
        with pytest.raises(InputError, match=message):
            harness.validate(broken)


def test_the_context_describes_the_machine_without_naming_it(document, monkeypatch):
    context = document["context"]
    assert context["schema"] == "minillm/bench/1" and context["platform"] == jax.devices()[0].platform
    assert context["memory_bytes"] is None or context["memory_bytes"] > 0
    monkeypatch.setenv("XLA_FLAGS", "--xla_dump_to=/home/someone/dump --xla_cpu_x=true")
    assert devices.context(jax.devices()[0])["xla_flags"] == "--xla_dump_to=<path> --xla_cpu_x=true"
    text = json.dumps(document)
    words = re.split(r"[^\w.-]+", text)  # a name such as "vm" may stand inside another word
    assert str(Path(__file__).parents[2]) not in text and os.uname().nodename not in words


def test_what_is_written_is_read_back(document, tmp_path):
    path = tmp_path / "out.json"
    path.write_text("old", encoding="utf-8")
    harness.write_document(document, path)
    assert harness.read_document(path) == document
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]


def test_a_damaged_document_is_not_written(document, tmp_path):
    del document["benchmarks"][0]["p90"]
    with pytest.raises(InputError, match="'p90' is missing"):
        harness.write_document(document, tmp_path / "out.json")
    assert not list(tmp_path.iterdir())


def test_a_run_that_is_stopped_has_written_the_groups_before(clock, tmp_path):
    def stops():
        raise KeyboardInterrupt

    cases = [host_case("first", clock.takes(1)), host_case("second", stops)]
    with pytest.raises(KeyboardInterrupt):
        run(cases, clock, json_path=tmp_path / "run.json")
    assert list(rows_of(harness.read_document(tmp_path / "run.json"))) == ["first"]


@pytest.mark.parametrize(
    ("kind", "dtype", "precision", "digits"),
    [
        ("cpu", "float32", "default", 24),
        ("NVIDIA H200", "float32", "default", 11),  # TF32
        ("NVIDIA H200", "float32", "highest", 24),
        ("TPU v4", "float32", "default", 8),  # one pass in bfloat16
        ("NVIDIA H200", "bfloat16", "highest", 8),
    ],
)
def test_the_tolerance_is_at_least_eight_roundings_of_a_product(kind, dtype, precision, digits):
    assert devices.rounding(kind, dtype, precision) == 2.0**-digits


def test_a_write_that_fails_leaves_the_old_file(document, tmp_path, monkeypatch):
    path = tmp_path / "out.json"
    path.write_text("old", encoding="utf-8")

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(MinillmError, match="cannot be written: No space left on device"):
        harness.write_document(document, path)
    assert path.read_text(encoding="utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]


def test_unreadable_results_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        harness.read_document(tmp_path / "none.json")
    (tmp_path / "text.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="not a JSON file"):
        harness.read_document(tmp_path / "text.json")
    (tmp_path / "other.json").write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match="must be an object"):
        harness.read_document(tmp_path / "other.json")


# --- comparison ---


def scaled(document, factor, spread=0.01):
    other = copy.deepcopy(document)
    for row in other["benchmarks"]:
        middle = row["real_time"] * factor
        row |= {"real_time": middle, "p10": middle * (1 - spread), "p90": middle * (1 + spread), "min": 0.0}
    return other


@pytest.mark.parametrize(
    ("factor", "spread", "verdict"),
    [(1.04, 0.001, "same"), (1.2, 0.15, "same"), (1.2, 0.01, "slower"), (0.8, 0.01, "faster")],
)
def test_same_unless_bands_are_disjoint_and_five_per_cent_apart(document, factor, spread, verdict):
    rows = harness.compare(scaled(document, 1, spread), scaled(document, factor, spread))
    assert [row["verdict"] for row in rows] == [verdict, verdict]
    assert rows[0]["ratio"] == pytest.approx(factor)


@pytest.mark.parametrize(
    ("key", "value"),
    [("device_kind", "NVIDIA H200"), ("matmul_precision", "bfloat16"), ("x64", None), ("cpu", "Abacus")],
)
def test_runs_from_different_settings_are_refused_unless_crossed(document, key, value):
    other = copy.deepcopy(document)
    other["context"][key] = not other["context"]["x64"] if key == "x64" else value
    with pytest.raises(InputError, match=f"not from the same setting .*{key}.*--cross"):
        harness.compare(document, other)
    assert harness.compare(document, other, cross=True)[0]["verdict"] == "same"


def test_rows_of_one_run_only_are_said_to_be(document):
    other = copy.deepcopy(document)
    other["benchmarks"][0]["name"] = "new"
    rows = harness.compare(document, other)
    assert [row["verdict"] for row in rows] == ["only in the first", "same", "only in the second"]


def test_tables_show_the_rows(document):
    out = Console(file=io.StringIO(), width=140)
    harness.show_run(document, out)
    harness.show_comparison(harness.compare(document, document), document, document, out)
    text = out.file.getvalue()
    assert "0.50" in text and "10 ms" in text and "same" in text and "below 1, ours takes less" in text


def test_only_benchmarks_that_ask_for_it_set_the_allocator(clock, monkeypatch):
    order = []
    monkeypatch.setattr(harness, "keep_freed_memory", lambda: order.append("allocator"))
    monkeypatch.setattr(devices, "choose_device", lambda _: order.append("device") or jax.devices()[0])
    module = ModuleType("bench_fake")
    module.cases = lambda _: [host_case("one", clock.takes(1))]
    harness.run(module, clock=clock, console=Console(file=io.StringIO()))
    module.KEEP_FREED_MEMORY = True
    harness.run(module, clock=clock, console=Console(file=io.StringIO()))
    assert order == ["device", "allocator", "device"]


# --- finding the modules ---


def test_discover_finds_the_benchmarks_of_any_folder(tmp_path):
    (tmp_path / "bench_tiny.py").write_text(
        '"""Nothing much.\n\nMore."""\nfrom .harness import Case\ndef cases(options):\n'
        '    return [Case(name="t", make=lambda: (int, ()))]\n',
        encoding="utf-8",
    )
    found = harness.discover(tmp_path)
    assert list(found) == ["tiny"] and harness.summary(found["tiny"]) == "Nothing much."
    assert found["tiny"].cases(None)[0].name == "t"
    sys.modules.pop("benchmarks.bench_tiny")


def test_the_folder_loads_as_a_package_of_any_name():
    folder = Path(harness.__file__).parent
    search = {"submodule_search_locations": [str(folder)]}
    spec = importlib.util.spec_from_file_location("elsewhere", folder / "__init__.py", **search)
    sys.modules["elsewhere"] = importlib.util.module_from_spec(spec)
    try:
        other = importlib.import_module("elsewhere.harness")
        assert other.Case is not harness.Case and other.Case.__name__ == "Case"
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "elsewhere"]:
            del sys.modules[name]
