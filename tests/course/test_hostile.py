"""What hostile submissions get: their verdict, no pass, and nothing outside their process (tests/hostile.py)."""

import io
import os
import pwd
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import minillm.layers
from minillm.course.assignments.checking import check_files, check_source
from minillm.course.assignments.dev import new
from minillm.course.assignments.driver import Limits, Worker
from minillm.course.assignments.folder import read_assignment
from minillm.course.assignments.grading import default_user, grade_submission
from minillm.course.assignments.search import Effort
from minillm.course.assignments.submissions import read_submission
from minillm.course.assignments.verdicts import Failure
from minillm.course.worker import frames
from tests.hostile import CALLBACK, CONTENTS, JAX_SOURCES, SOURCES, with_os

EFFORT = Effort(examples=10)


@pytest.fixture(scope="module")
def assignment(tmp_path_factory):
    """`double`, where np.add is forbidden."""
    return read_assignment(new("01_twice", tmp_path_factory.mktemp("assignments")))


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir(mode=0o777)
    (tmp_path / "home" / "kept").write_text("kept", encoding="utf-8")
    return tmp_path / "home"


def limits(assignment, **changes):
    forbid = (*assignment.forbid, "numpy.add")
    return Limits(call_seconds=1.0, load_seconds=2.0, forbid=forbid, memory=1 << 29, **changes)


@pytest.fixture(scope="module")
def held():
    with Worker(Limits()) as worker:
        worker.load("nothing.py", "")
        return worker.boundary


@pytest.mark.parametrize("user", [None, default_user()], ids=["as oneself", "as another user"])
def test_a_worker_comes_up_and_answers(assignment, user):
    """So that what follows is not refused for another reason."""
    found = list(
        check_source(assignment, "numpy", assignment.solution("numpy", {}), {}, EFFORT, limits(assignment, user=user))
    )
    assert [result.verdict for result in found] == ["pass"]


@pytest.mark.parametrize("name", SOURCES)
def test_a_hostile_file_gets_its_verdict(assignment, home, held, name):
    text, verdict = SOURCES[name]
    if "attrgetter" in text and verdict == "forbidden" and not (held["files"] and held["calls"]):
        pytest.skip("this kernel has no Landlock or no seccomp")
    for mark, path in (
        ("{HOME}", home), ("{CHECKS}", assignment.folder / "checks.py"), ("{REFERENCE}", minillm.layers.__path__[0]),
        ("{FRAME}", frames.pack({"id": 9, "verdict": "value"}, np.ones(1))),
    ):  # fmt: skip
        text = text.replace(mark, str(path))
    before = os.stat(home / "kept")
    found = list(check_source(assignment, "numpy", text, {}, EFFORT, limits(assignment)))
    assert [result.verdict for result in found] == [verdict], found[0].message
    assert found[0].points == 0 and found[0].question == "double"
    assert [path.name for path in home.iterdir()] == ["kept"]
    assert (home / "kept").read_text(encoding="utf-8") == "kept" and os.stat(home / "kept").st_mode == before.st_mode


@pytest.mark.parametrize("name", JAX_SOURCES)
def test_threads_of_xla_are_held_too(tmp_path, home, held, name):
    if not (held["files"] and held["calls"]):
        pytest.skip("this kernel has no Landlock or no seccomp")
    text, verdicts = JAX_SOURCES[name]
    folder = new("01_twice", tmp_path / "assignments")
    (folder / "source_jax.py").write_text((folder / "source.py").read_text(encoding="utf-8"), encoding="utf-8")
    assignment = read_assignment(folder)
    jax_limits = Limits(call_seconds=5.0, jax=True)
    found = list(check_source(assignment, "jax", text.replace("{HOME}", str(home)), {}, EFFORT, jax_limits))
    assert found[0].verdict in verdicts, found[0]
    assert not any(result.points for result in found)
    assert [path.name for path in home.iterdir()] == ["kept"]


BEFORE = """
import os, sys, threading, time
sys.path.insert(0, {FOLDER!r})
import boundary
go = threading.Event()
def act():
    go.wait()
    os.fork()
thread = threading.Thread(target=act)
thread.start()
assert boundary.refuse_calls()
go.set()
thread.join()
print("alive")
"""


def test_threads_from_before_the_boundary_are_held(held):
    if not held["calls"]:
        pytest.skip("this kernel has no seccomp")
    program = BEFORE.replace("{FOLDER!r}", repr(str(Path(frames.__file__).parent)))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (-signal.SIGSYS, ""), run.stderr


@pytest.mark.skipif(default_user() is None, reason="only root can run a worker as another user")
def test_the_other_user_is_another(assignment):
    text = with_os("return np.full(x.shape, float(os.getuid() + 1))")
    found = list(check_source(assignment, "numpy", text, {}, EFFORT, limits(assignment, user=default_user())))
    assert set(np.ravel(found[0].got)) == {pwd.getpwnam(default_user()).pw_uid + 1}


def test_what_does_not_work_under_vmap_gets_no_point_for_it(tmp_path):
    folder = new("01_twice", tmp_path / "assignments")
    (folder / "source_jax.py").write_text((folder / "source.py").read_text(encoding="utf-8"), encoding="utf-8")
    one = read_assignment(folder)
    verdicts = [
        [result.verdict == "pass" for result in check_source(one, "jax", text, {}, EFFORT, Limits(jax=True))]
        for text in (one.solution("jax", {}), CALLBACK.replace("{ACT}", "pass"))
    ]
    assert verdicts == [[True, True], [True, False]]


def test_a_forbidden_module_is_empty_by_any_name():
    from minillm.course.assignments.folder import assignments, find_assignment

    one = find_assignment("jacobi_svd", assignments())
    path = 'import operator\nimport numpy as np\nsvd = operator.attrgetter("lin" + "alg.svd")(np)\n'
    text = path + "def jacobi_svd(m):\n    return tuple(svd(m))\ndef jacobi_rotation(a, b, c):\n    return None\n"
    found = {r.question: r.verdict for r in check_source(one, "numpy", text, one.variant(None), EFFORT)}
    assert found == {"jacobi_svd": "forbidden", "jacobi_rotation": "wrong_type"}


def test_an_answer_made_to_blow_up_the_grader(tmp_path):
    """V of 40,000 rows would make V^T V of 12 GB in the grader, if its shape were not looked at first."""
    from minillm.course.assignments.folder import assignments, find_assignment

    one = find_assignment("jacobi_svd", assignments())
    text = one.solution("numpy", one.variant(None)).replace("v[:, order].T", "np.ones((40000, 1))")
    found = {r.id: r.verdict for r in check_source(one, "numpy", text, one.variant(None), EFFORT)}
    assert found["jacobi_svd.both_sides_are_orthonormal"] == "wrong_shape"


@pytest.mark.skipif(default_user() is None, reason="only root can run a worker as another user")
@pytest.mark.parametrize("name", ["kills its parent", "reads the grader's memory", "loops", "leaves", "imports os"])
def test_another_user_gets_the_same(assignment, name):
    text, verdict = SOURCES[name]
    found = list(check_source(assignment, "numpy", text, {}, EFFORT, limits(assignment, user=default_user())))
    assert [result.verdict for result in found] == [verdict], found[0].message


@pytest.mark.parametrize("name", CONTENTS)
def test_a_file_that_is_no_text(assignment, tmp_path, name):
    content, verdict = CONTENTS[name]
    path = tmp_path / "twice.py"
    path.write_bytes(content)
    assert [result.verdict for result in check_files(assignment, {"numpy": path}, {})] == [verdict]


def test_a_byte_order_mark_is_no_offence(assignment, tmp_path):
    path = tmp_path / "twice.py"
    path.write_bytes(b"\xef\xbb\xbf" + assignment.solution("numpy", {}).encode())
    assert [result.verdict for result in check_files(assignment, {"numpy": path}, {})] == ["pass"]


def test_after_a_crash_the_rest_is_graded(assignment):
    """Every check of a function that hangs has its verdict, and another function its own."""
    from minillm.course.assignments.folder import assignments, find_assignment

    softmax = find_assignment("softmax", assignments())
    text = softmax.solution("numpy", softmax.variant(None)).replace(
        "    exponentials = np.exp(scores", "    while scores.size:\n        pass\n    exponentials = np.exp(scores", 1
    )
    found = list(check_source(softmax, "numpy", text, softmax.variant(None), EFFORT, Limits(call_seconds=0.5)))
    assert [(r.question, r.verdict) for r in found] == [("softmax", "timeout")] * 3 + [("cross_entropy", "pass")] * 2
    assert "more than 0.5 seconds" in found[0].message
    assert [bool(r.call) for r in found[:3]] == [True, False, False]  # it costs its limit once


# Zips and folders


def zipped(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content, *mode in entries:
            info = zipfile.ZipInfo(name)
            if mode:
                info.external_attr = mode[0] << 16
            archive.writestr(info, content)
    return path


RIGHT = b"def double(x):\n    return x + x\n"
LINK = 0o120777
ZIPS = {
    "no zip": (None, "unreadable"),
    "empty": ([], "missing"),
    "path upwards": ([("../01_twice/twice.py", RIGHT)], "missing"),
    "path further upwards": ([("../../../../tmp/01_twice/twice.py", RIGHT)], "missing"),
    "absolute path": ([("/01_twice/twice.py", RIGHT)], "missing"),
    "backslashes": ([("..\\01_twice\\twice.py", RIGHT)], "missing"),
    "link": ([("01_twice/twice.py", b"/etc/passwd", LINK)], "unreadable"),
    "twice the same": ([("01_twice/twice.py", RIGHT), ("01_twice/twice.py", b"x")], "unreadable"),
    "two folders with one": ([("a/01_twice/twice.py", RIGHT), ("b/01_twice/twice.py", RIGHT)], "unreadable"),
    "bomb": ([("01_twice/twice.py", b"#" * 50_000_000)], "unreadable"),
    "thousands of entries": ([(f"{i}", b"") for i in range(3000)], "unreadable"),
    "not UTF-8": ([("01_twice/twice.py", b"\xff\xfe")], "unreadable"),
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ZIPS)
def test_a_hostile_zip_gets_its_verdict(assignment, tmp_path, name):
    entries, verdict = ZIPS[name]
    path = tmp_path / "kim.zip"
    path.write_bytes(b"no zip at all") if entries is None else zipped(path, entries)
    before = sorted(tmp_path.rglob("*"))
    found = read_submission(path, [assignment]).texts["twice", "numpy"]
    assert isinstance(found, Failure) and found.verdict == verdict
    report = grade_submission(path, [], 1, None, False, assignment.folder.parent)
    assert report["points"] == 0 and report["problem"]
    assert {check["verdict"] for check in report["assignments"]["01_twice"]} == {verdict}
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_that_lies_about_a_size(assignment, tmp_path):
    """The header says 10 bytes; what is read is cut where a file may end."""
    path = zipped(tmp_path / "kim.zip", [("01_twice/twice.py", b"#" * 5_000_000)])
    content = path.read_bytes().replace((5_000_000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    path.write_bytes(content)
    found = read_submission(path, [assignment]).texts["twice", "numpy"]
    assert isinstance(found, Failure) and found.verdict == "unreadable"


def test_a_zip_that_is_right_passes(assignment, tmp_path):
    """At the top, or inside one folder, as zips are often made."""
    for inside in ("", "work/"):
        path = zipped(tmp_path / "kim.zip", [(f"{inside}01_twice/twice.py", RIGHT)])
        report = grade_submission(path, [], 1, None, False, assignment.folder.parent)
        assert (report["points"], report["problem"]) == (1, "")


def test_a_folder_with_links(assignment, tmp_path):
    (tmp_path / "kim" / "01_twice").mkdir(parents=True)
    (tmp_path / "kim" / "01_twice" / "twice.py").symlink_to(assignment.folder / "source.py")
    found = read_submission(tmp_path / "kim", [assignment]).texts["twice", "numpy"]
    assert isinstance(found, Failure) and found.verdict == "unreadable"
    (tmp_path / "lee").mkdir()
    (tmp_path / "lee" / "01_twice").symlink_to(assignment.folder)
    assert isinstance(read_submission(tmp_path / "lee", [assignment]).texts["twice", "numpy"], Failure)
    (tmp_path / "park.zip").symlink_to(tmp_path / "kim")
    assert read_submission(tmp_path / "park.zip", [assignment]).problem == "park.zip is a link"


# Messages


def reader(content):
    stream = io.BytesIO(content)

    def read(size):
        part = stream.read(size)
        if len(part) < size:
            raise EOFError
        return part

    return read


def test_messages_arrive_as_they_were_sent():
    value = (np.ones((2, 0)), {"a": [np.int32(3), None, True]}, -0.0, float("nan"), 2**70, "한글")
    header, found = frames.unpack(reader(frames.pack({"id": 7}, value)))
    assert header == {"id": 7}
    assert repr(found) == repr(
        (np.ones((2, 0)), {"a": [np.array(3, np.int32), None, True]}, -0.0, float("nan"), 2**70, "한글")
    )


@pytest.mark.parametrize(
    "content",
    [
        b"\xff" * 12,
        (5).to_bytes(4, "little") + (0).to_bytes(8, "little") + b"{}{}{",
        (2).to_bytes(4, "little") + (0).to_bytes(8, "little") + b"{}",
        frames.pack({"id": 1}, np.ones(3)).replace(b"(3,)", b"(9,)"),
        frames.pack({"id": 1}, np.ones(3)).replace(b"'<f8'", b"'|O' "),
        frames.pack({"id": 1}, np.ones(3)).replace(b'{"array": 0}', b'{"array": 7}'),
        frames.pack({"id": 1}, 3).replace(b'"number": "3"', b'"number": "f"'),
        frames.pack({"id": 1}, None).replace(b"null", b"1234"),
    ],
)
def test_a_message_that_is_none_is_refused(content):
    with pytest.raises((frames.BadFrame, EOFError)):
        frames.unpack(reader(content))


def test_no_memory_is_taken_for_what_is_not_there():
    content = frames.pack({"id": 1}, np.ones(3)).replace(b"(3,), }              ", b"(30000000000,), }    ")
    assert b"30000000000" in content
    with pytest.raises(frames.BadFrame, match="is shorter than its header says"):
        frames.unpack(reader(content))


def test_a_worker_leaves_nothing_behind(assignment):
    with Worker(limits(assignment)) as worker:
        worker.load("twice.py", RIGHT.decode())
        folder, process = Path(worker._folder), worker._process
        assert folder.is_dir()
    assert not folder.exists() and process.returncode is not None


def test_limits_hold_without_the_kernel_s_help(assignment):
    """Elsewhere than on Linux: no boundary, but time and output are the grader's own."""
    for name in ("loops", "prints gigabytes", "imports os", "leaves"):
        text, verdict = SOURCES[name]
        found = list(check_source(assignment, "numpy", text, {}, EFFORT, limits(assignment, boundary=False)))
        assert [result.verdict for result in found] == [verdict]
