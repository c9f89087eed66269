"""Submissions that try to get out, to get a pass, or to stop the grader: each with the verdict that it must get.

`SOURCES` are files of the assignment below, whose one function is `double`. Those after `OS` get `os` past every look at
the source, so that what holds them is the kernel.
"""

OS = """
import operator
import numpy as np
os = operator.attrgetter("lib._npyio_impl.os")(np)
sys = os.sys
"""
HOME = "{HOME}"  # a folder of the test's own, with a file `kept`


def body(code, before=""):
    lines = "\n".join("    " + line for line in code.splitlines())
    return f"import numpy as np\n{before}\ndef double(x):\n{lines}\n"


def with_os(code):
    return OS + body(code)


SOURCES = {
    # What the look at the source refuses.
    "imports os": (body("return os.system('id')", "import os"), "forbidden"),
    "imports sys for frames": (body("return sys._getframe(1).f_locals", "import sys"), "forbidden"),
    "imports inspect": (body("return inspect.stack()", "import inspect"), "forbidden"),
    "imports gc": (body("return gc.get_objects()", "import gc"), "forbidden"),
    "imports ctypes": (body("return ctypes.string_at(0)", "import ctypes"), "forbidden"),
    "imports subprocess": (body("return subprocess.run('id')", "import subprocess"), "forbidden"),
    "imports importlib": (body("return importlib.import_module('os')", "import importlib"), "forbidden"),
    "imports the reference": (body("return 2 * x", "from minillm.layers import softmax"), "forbidden"),
    "imports minillm inside": (body("import minillm\nreturn 2 * x"), "forbidden"),
    "imports SciPy": (body("return 2 * x", "import scipy.special"), "forbidden"),
    "imports JAX where it may not": (body("return jax.numpy.add(x, x)", "import jax"), "forbidden"),
    "imports a neighbour": (body("return 2 * x", "from . import checks"), "forbidden"),
    "imports the worker": (body("return 2 * x", "import boundary"), "forbidden"),
    "__import__": (body("return __import__('os').getpid()"), "forbidden"),
    "eval": (body("return eval('x + x')"), "forbidden"),
    "exec": (body("exec('y = x + x')\nreturn y"), "forbidden"),
    "open": (body("return open('/etc/passwd').read()"), "forbidden"),
    "subclasses": (body("return ().__class__.__base__.__subclasses__()"), "forbidden"),
    "globals of a function": (body("return np.sum.__globals__"), "forbidden"),
    "builtins by name": (body("return __builtins__"), "forbidden"),
    "frames of an exception": (
        body("try:\n    1 / 0\nexcept Exception as e:\n    return e.__traceback__.tb_frame"),
        "forbidden",
    ),
    "frame of a generator": (body("g = (i for i in x)\nreturn g.gi_frame"), "forbidden"),
    "private part of NumPy": (body("return np.lib._npyio_impl.os"), "forbidden"),
    "forbidden function": (body("return np.add(x, x)"), "forbidden"),
    "forbidden function under another name": (body("return plus(x, x)", "from numpy import add as plus"), "forbidden"),
    "forbidden function by a string": (
        body('return operator.attrgetter("add")(np)(x, x)', "import operator"),
        "forbidden",
    ),
    # What the kernel refuses.
    "runs a program": (with_os("os.system('id')\nreturn 2 * x"), "forbidden"),
    "runs a program and catches": (
        with_os("try:\n    os.system('id')\nexcept BaseException:\n    pass\nreturn 2 * x"),
        "forbidden",
    ),
    "forks": (with_os("os.fork()\nreturn 2 * x"), "forbidden"),
    "becomes a program": (with_os("os.execv('/bin/true', ['true'])"), "forbidden"),
    "kills its parent": (with_os("os.kill(os.getppid(), 9)\nreturn 2 * x"), "forbidden"),
    "kills all": (with_os("os.kill(-1, 9)\nreturn 2 * x"), "forbidden"),
    "opens a connection": (
        with_os(
            "load = operator.attrgetter('__imp' + 'ort__')(sys.modules['builtins'])\nreturn load('socket').socket()"
        ),
        "forbidden",
    ),
    "writes beside itself": (with_os("os.open('here', os.O_CREAT | os.O_WRONLY)\nreturn 2 * x"), "forbidden"),
    "writes at home": (with_os(f"os.open('{HOME}/new', os.O_CREAT | os.O_WRONLY)\nreturn 2 * x"), "forbidden"),
    "deletes at home": (with_os(f"os.remove('{HOME}/kept')\nreturn 2 * x"), "forbidden"),
    "renames at home": (with_os(f"os.rename('{HOME}/kept', '{HOME}/gone')\nreturn 2 * x"), "forbidden"),
    "empties a file at home": (with_os(f"os.truncate('{HOME}/kept', 0)\nreturn 2 * x"), "forbidden"),
    "links at home": (with_os(f"os.symlink('{HOME}/kept', '{HOME}/link')\nreturn 2 * x"), "forbidden"),
    "makes a folder at home": (with_os(f"os.mkdir('{HOME}/folder')\nreturn 2 * x"), "forbidden"),
    "opens up a file at home": (with_os(f"os.chmod('{HOME}/kept', 0o777)\nreturn 2 * x"), "forbidden"),
    "reads at home": (with_os(f"os.open('{HOME}/kept', os.O_RDONLY)\nreturn 2 * x"), "forbidden"),
    "reads the checks": (with_os("os.open('{CHECKS}', os.O_RDONLY)\nreturn 2 * x"), "forbidden"),
    "lists the reference": (with_os("os.listdir('{REFERENCE}')\nreturn 2 * x"), "forbidden"),
    "reads the grader's memory": (
        with_os("os.open(f'/proc/{os.getppid()}/mem', os.O_RDONLY)\nreturn 2 * x"),
        "forbidden",
    ),
    "reads the grader's environment": (
        with_os("os.open(f'/proc/{os.getppid()}/environ', os.O_RDONLY)\nreturn x"),
        "forbidden",
    ),
    "swallows the refusal": (with_os("try:\n    os.listdir('/')\nexcept OSError:\n    pass\nreturn x"), "wrong_value"),
    # Resources.
    "loops": (body("while True:\n    pass"), "timeout"),
    "loops when it is loaded": ("while True:\n    pass\n", "timeout"),
    "sleeps": (with_os("os.sys.modules['time'].sleep(60)\nreturn 2 * x"), "timeout"),
    "swallows all and loops": (
        body("while True:\n    try:\n        x = x + 1\n    except BaseException:\n        pass"),
        "timeout",
    ),
    "takes 80 GB": (body("return np.ones(10**10)"), "memory"),
    "takes more and more": (body("a = []\nwhile True:\n    a.append(np.empty(10**7))"), "memory"),
    "recurses": (body("return double(x)"), "exception"),
    "prints gigabytes": (body("while True:\n    print('x' * 10**6)"), "output"),
    "prints gigabytes when it is loaded": ("while True:\n    print('x' * 10**6)\n", "output"),
    "answers 100 MB": (body("return np.zeros(12_500_000)"), "wrong_type"),
    "starts threads without end": (
        with_os(
            "modules = sys.modules\nwhile True:\n    modules['threading'].Thread(target=modules['time'].sleep, args=(99,), daemon=True).start()"
        ),
        "exception",
    ),
    "raises a gigabyte": (body("raise ValueError('x' * 10**9)"), "memory"),
    # Ways to end.
    "leaves": (with_os("os._exit(0)"), "crash"),
    "leaves when it is loaded": (OS + "os._exit(0)\n", "crash"),
    "aborts": (with_os("os.abort()"), "crash"),
    "raises SystemExit": (body("raise SystemExit(0)"), "exception"),
    "raises KeyboardInterrupt": (body("raise KeyboardInterrupt"), "exception"),
    "raises what cannot be written": (
        body("raise Bad()", "class Bad(Exception):\n    def __str__(self):\n        raise Bad()\n"),
        "exception",
    ),
    "closes the pipes": (with_os("os.closerange(0, 200)\nreturn 2 * x"), "crash"),
    # Forgery.
    "writes answers into the pipes": (
        with_os(
            'for i in range(3, 40):\n    try:\n        os.write(i, b\'{"verdict": "pass"}\' * 9)\n    except OSError:\n        pass\nreturn x'
        ),
        "crash",
    ),
    "writes an answer ahead": (
        with_os(
            "for i in range(3, 40):\n    try:\n        os.write(i, {FRAME})\n    except OSError:\n        pass\nreturn x"
        ),
        "crash",
    ),
    "prints a result": (body('print(\'{"verdict": "pass", "points": 10}\')\nreturn x'), "wrong_value"),
    "makes all comparisons true": (
        body("np.allclose = np.array_equal = np.isfinite = lambda *a, **k: True\nreturn x"),
        "wrong_value",
    ),
    "makes the differences vanish": (body("np.max = np.abs = lambda *a, **k: 0.0\nreturn x"), "wrong_value"),
    "is equal to everything": (
        body("return Same()", "class Same:\n    def __eq__(self, other):\n        return True\n"),
        "wrong_type",
    ),
    "an array that lies": (
        body(
            "return x.view(Lie)",
            "class Lie(np.ndarray):\n    def __array_ufunc__(self, *a, **k):\n        return True\n",
        ),
        "wrong_value",
    ),
    "raises a verdict": (body("raise Exception('pass')"), "exception"),
    "answers the word": (body("return 'pass'"), "wrong_type"),
    "answers nothing": (body("return None"), "wrong_type"),
    "answers an object": (body("return object()"), "wrong_type"),
    "answers an array of objects": (body("return np.array([object()])"), "wrong_type"),
    "answers a list in itself": (body("a = []\na.append(a)\nreturn a"), "exception"),
    "answers a pickle": (
        body("return P()", "class P:\n    def __reduce_ex_(self, n):\n        return (print, ('out',))\n"),
        "wrong_type",
    ),
    "answers NaN": (body("return x * np.nan"), "non_finite"),
    "answers infinity": (body("return x + np.inf"), "non_finite"),
    "answers float32": (body("return (x + x).astype(np.float32)"), "wrong_dtype"),
    "answers another shape": (body("return (x + x)[None]"), "wrong_shape"),
    "changes its input": (body("x += x\nreturn x"), "mutated_input"),
    "knows the easy answers": (body("return x + x if np.all(np.abs(x) <= 1) else x"), "wrong_value"),
    "right the first time only": (
        body("calls.append(1)\nreturn x + x if len(calls) < 4 else x", "calls = []"),
        "wrong_value",
    ),
    # Files.
    "is empty": ("", "missing"),
    "has another function": ("def halve(x):\n    return x / 2\n", "missing"),
    "has a number for a function": ("double = 2\n", "missing"),
    "is no Python": ("def double(x)\n    return x\n", "syntax"),
    "nests without end": ("def double(x):\n    return " + "(" * 5000 + "x" + ")" * 5000 + "\n", "syntax"),
    "is not written": (body("raise NotImplementedError"), "not_implemented"),
    "has a module that is not there": (body("return x", "import collections.nothing"), "import_error"),
}

CONTENTS = {
    "is not UTF-8": (b"def double(x):\n    return '\xff\xfe'\n", "unreadable"),
    "has 10 MB": (b"# " + b"x" * 10_000_000, "unreadable"),
    "has null characters": (b"def double(x):\n    return x\0\n", "unreadable"),
}

# In JAX, Python runs on threads that XLA has made.
CALLBACK = """
import operator
import jax
import jax.numpy as jnp
os = operator.attrgetter("_src.xla_bridge.os")(jax)

def double(x):
    def hostile(x):
        {ACT}
        return 2 * x

    return jax.pure_callback(hostile, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
"""
JAX_SOURCES = {
    "forks in a callback": (CALLBACK.replace("{ACT}", "os.fork()"), {"forbidden"}),
    "runs a program in a callback": (CALLBACK.replace("{ACT}", "os.system('id')"), {"forbidden"}),
    "reads in a callback": (CALLBACK.replace("{ACT}", "os.listdir('/')"), {"forbidden", "exception"}),
    "writes in a callback": (CALLBACK.replace("{ACT}", f"os.mkdir('{HOME}/new')"), {"forbidden", "exception"}),
    "loops in a callback": (CALLBACK.replace("{ACT}", "while True: pass"), {"timeout"}),
}
