"""A lesson as a notebook: its figures show under their cells, once, and are saved as everywhere."""

import pytest

CELLS = """# %%
from minillm.course import Lesson
from minillm.course.plots import canvas

lesson = Lesson("1.0")

# %%
figure, ax = canvas()
ax.plot([1, 2])
print("saved", lesson.figure(figure, "ours"))

# %%
import matplotlib.pyplot as plt

figure, ax = plt.subplots()
ax.plot([2, 1])
print("saved", lesson.figure(figure, "pyplots"))
"""


@pytest.mark.extra
def test_figures_show_once_and_are_saved(tmp_path, monkeypatch):
    nbclient = pytest.importorskip("nbclient", reason="needs the extra `peers`")
    pytest.importorskip("ipykernel", reason="needs the extra `peers`")
    import jupytext

    monkeypatch.setenv("MINILLM_OUT", str(tmp_path / "out"))
    notebook = jupytext.reads(CELLS, fmt="py:percent")
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute(cwd=str(tmp_path))
    for cell in notebook.cells[1:]:
        shown = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        assert len(shown) == 1, cell.source
    assert {path.name for path in (tmp_path / "out/lessons/1.0").iterdir()} == {"ours.png", "pyplots.png"}
