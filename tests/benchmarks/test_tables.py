"""The tables of benchmarks/README.md, and how a run comes to be recorded in them."""

import copy
import io
import json
from pathlib import Path
from types import ModuleType

import pytest
from rich.console import Console

import benchmarks
from benchmarks import harness, tables
from benchmarks.case import Case
from benchmarks.record import record
from benchmarks.tables import BEGIN, END, device_name, file_name, recorded, with_tables
from minillm.commands import benchmarks as commands
from minillm.errors import InputError, MinillmError

FOLDER = Path(benchmarks.__file__).parent
PAGE = f"# Before\n\n{BEGIN}\n\nold\n\n{END}\nAfter\n"


@pytest.fixture(scope="module")
def document():
    """A run of two rows with the figures that the tests read in the table."""
    module = ModuleType("bench_fake")
    cases = [
        Case(name="fake/T8/jax", peer="fake/T8/torch", make=lambda: (int, ())),
        Case(name="fake/T8/torch", make=lambda: (int, ())),
        Case(name="fake/T8/absent", make=lambda: (int, ()), requires=("no_such_package_here",)),
    ]
    module.cases = lambda _: cases
    document = harness.run(module, device="cpu", smoke=True, console=Console(file=io.StringIO()))
    document["context"] |= {
        "smoke": False,
        "date": "2026-11-27T10:00:00Z",
        "cpu": "Abacus(R) 3000 Processor",
        "num_cpus": 2,
        "matmul_precision": "default",
        "xla_flags": "",
        "jax": "1.2.3",
        "numpy": "4.5.6",
        "blas": "openblas 7.8",
        "peers": {"torch": "9.9", "no_such_package_here": None},
    }
    ours, theirs, _ = document["benchmarks"]
    ours |= {"min": 10.0, "p10": 11.0, "real_time": 12.345, "p90": 1300.0, "batches": 20}
    ours |= {"ratio": 0.5, "ratio_p10": 0.4, "ratio_p90": 0.6, "items_per_second": 1234.5}
    theirs |= {"min": 20.0, "p10": 21.0, "real_time": 24.0, "p90": 30.0, "batches": 20}
    return document


def changed(document, **context):
    other = copy.deepcopy(document)
    other["context"] |= context
    return other


def kept(folder, *documents):
    folder.mkdir(exist_ok=True)
    for document in documents:
        harness.write_document(document, folder / file_name(document))
    return folder


def test_the_tables_of_the_page_are_those_of_the_recorded_runs():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    assert with_tables(page, FOLDER / "results") == page, "run `minillm bench tables`"


def test_a_table_has_the_figures_of_its_run(document, tmp_path):
    assert (
        with_tables(PAGE, kept(tmp_path, document))
        == f"""# Before

{BEGIN}

### fake

2026-11-27, Abacus 3000, 2 cores; JAX 1.2.3, NumPy 4.5.6 (openblas 7.8); PyTorch 9.9.

| row | median, ms | p10 - p90 | ratio (p10 - p90) | items/s | rounds |
| --- | --- | --- | --- | --- | --- |
| T8/jax | 12.3 | 11 - 1300 | 0.50 (0.40 - 0.60) of torch | 1230 | 20 |
| T8/torch | 24 | 21 - 30 |  |  | 20 |

- `fake/T8/absent` was skipped: no_such_package_here is not installed; `pip install 'minillm[peers]'` brings it.

{END}
After
"""
    )


def test_the_newest_run_of_each_device_counts(document, tmp_path):
    later = changed(document, date="2026-12-01T00:00:00Z", jax="newer")
    elsewhere = changed(document, date="2026-01-01T00:00:00Z", cpu="Other", jax="oldest")
    text = tables.tables(kept(tmp_path, later, document, elsewhere))
    assert text.count("### fake") == 1 and text.count("| T8/jax") == 2
    assert "JAX newer" in text and "JAX oldest" in text and "JAX 1.2.3" not in text


def test_setting_that_moves_the_figures_is_named(document, tmp_path):
    text = tables.tables(kept(tmp_path, changed(document, matmul_precision="highest", xla_flags="--xla_x=true")))
    assert "products at precision highest; XLA_FLAGS --xla_x=true." in text


def test_without_runs_the_page_says_how_to_record_one(tmp_path):
    assert "minillm bench record" in with_tables(PAGE, tmp_path)


def test_what_is_no_record_is_refused(document, tmp_path):
    folder = kept(tmp_path, changed(document, smoke=True))
    with pytest.raises(InputError, match="smoke run, whose times mean nothing"):
        recorded(folder)
    broken = copy.deepcopy(document)
    broken["benchmarks"][1] = {**broken["benchmarks"][1], "error_occurred": True, "error_message": "it is off"}
    with pytest.raises(InputError, match=r"fake/T8/torch failed \(it is off\)"):
        recorded(kept(tmp_path, broken))
    harness.write_document(document, tmp_path / "mine.json")
    (tmp_path / file_name(document)).unlink()
    with pytest.raises(InputError, match=f"is named {file_name(document)}"):
        recorded(tmp_path)
    with pytest.raises(InputError, match="no place for tables"):
        with_tables("# A page\n", tmp_path)


@pytest.mark.parametrize(
    ("platform", "cpu", "kind", "name", "slug"),
    [
        ("cpu", "Intel(R) Xeon(R) Processor", "cpu", "Intel Xeon", "intel-xeon"),
        ("cpu", "AMD EPYC 9R14 96-Core Processor", "cpu", "AMD EPYC 9R14 96-Core", "amd-epyc-9r14-96-core"),
        ("gpu", "Intel", "NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3", "nvidia-h100-80gb-hbm3"),
    ],
)
def test_files_are_named_by_benchmark_device_and_date(document, platform, cpu, kind, name, slug):
    other = changed(document, platform=platform, cpu=cpu, device_kind=kind)
    assert device_name(other["context"]) == name
    assert file_name(other) == f"fake_{slug}_2026-11-27.json"


def test_an_installed_package_keeps_no_results(tmp_path, monkeypatch):
    installed = tmp_path / "_benchmarks"
    monkeypatch.setattr(commands, "course_folder", lambda _: installed)
    for command in (commands.bench_tables, commands.bench_record):
        with pytest.raises(InputError, match="Results are kept in a checkout"):
            command()


def test_record_keeps_every_run_that_worked(document, tmp_path, capsys):
    (tmp_path / "README.md").write_text(PAGE, encoding="utf-8")
    runs = []

    def run(name, json_path, options):
        runs.append((name, options))
        if name == "broken":
            return 1
        harness.write_document(changed(document, bench=name), json_path)
        return 0

    with pytest.raises(MinillmError, match=r"broken failed \(see above\) and is not recorded"):
        record(["first", "broken", "last"], tmp_path, ["--min-time", "1"], run)
    assert runs == [(name, ["--min-time", "1"]) for name in ("first", "broken", "last")]
    files = sorted(path.name for path in (tmp_path / "results").iterdir())
    assert files == ["first_abacus-3000_2026-11-27.json", "last_abacus-3000_2026-11-27.json"]
    page = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert page.count("| T8/jax | 12.3 |") == 2 and "old" not in page.split()
    assert "first: results/first_abacus-3000_2026-11-27.json" in capsys.readouterr().out
    assert json.loads((tmp_path / "results" / files[0]).read_text(encoding="utf-8"))["context"]["bench"] == "first"
