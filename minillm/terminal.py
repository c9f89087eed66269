"""The terminal: read one key without Enter, and leave the terminal's settings as they were, whatever happens."""

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

# Arrow keys send sequences; and with a Korean input method on, the key of a Latin letter sends a jamo.
_ALIASES = {
    "\x1b[C": "enter", "\x1b[B": "enter", "\x1b[D": "b", "\x1b[A": "b",
    "\r": "enter", "\n": "enter", " ": "enter",
    "ㅠ": "b", "ㄱ": "r", "ㅍ": "v", "ㅂ": "q", "ㅜ": "n", "ㅗ": "h", "ㅣ": "l", "ㅊ": "c", "ㅌ": "x",
    "": "q", "\x04": "q",  # the terminal is gone, or Ctrl-D
}  # fmt: skip


def key_reader() -> Callable[[], str] | None:
    """A function that waits for a key and names it, or None if there is no terminal."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return None
    return _windows_key if os.name == "nt" else _terminal_key


def key_name(pressed: str) -> str:
    """What a key is called: 'enter', or its letter.

    >>> key_name(" "), key_name("Q"), key_name("ㅂ")
    ('enter', 'q', 'q')
    """
    return _ALIASES.get(pressed, pressed[:1].lower())


@contextmanager
def waiting_keys() -> Iterator[Callable[[float], str | None]]:
    """A function that waits some seconds for a key and names it, or gives None.

    Without a terminal a line of standard input is a key, by its first letter; its end is `q`.
    """
    if not sys.stdin.isatty():
        yield _line_key
    elif os.name == "nt":
        yield _windows_key_within
    else:
        import termios
        import tty

        terminal = sys.stdin.fileno()
        before = termios.tcgetattr(terminal)
        try:
            tty.setcbreak(terminal, termios.TCSADRAIN)
            yield _terminal_key_within
        finally:
            termios.tcsetattr(terminal, termios.TCSADRAIN, before)


def _terminal_key_within(seconds: float) -> str | None:
    import select

    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    return key_name(os.read(sys.stdin.fileno(), 32).decode("utf-8", errors="replace")) if ready else None


def _line_key(seconds: float) -> str | None:
    import select

    ready, _, _ = select.select([sys.stdin], [], [], seconds)
    if not ready:
        return None
    line = sys.stdin.readline()
    return (line.strip()[:1].lower() or "enter") if line else "q"


def _windows_key_within(seconds: float) -> str | None:
    import msvcrt

    keys: Any = msvcrt
    end = time.monotonic() + seconds
    while not keys.kbhit():
        if time.monotonic() > end:
            return None
        time.sleep(0.05)
    return _windows_key()


def _terminal_key() -> str:
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        # cbreak, not raw: Ctrl-C stays an interrupt. Keys pressed while a cell was running are dropped, so
        # that nothing goes by unseen.
        tty.setcbreak(terminal, termios.TCSAFLUSH)
        pressed = os.read(terminal, 32)  # a whole escape sequence or Hangul syllable comes at once
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
    return key_name(pressed.decode("utf-8", errors="replace"))


def _windows_key() -> str:
    import msvcrt  # Windows alone has it, so its names are looked up when asked for

    read: Any = msvcrt
    pressed = read.getwch()
    if pressed in "\x00\xe0":  # an arrow key comes as two characters
        return {"M": "enter", "P": "enter", "K": "b", "H": "b"}.get(read.getwch(), "")
    if pressed == "\x03":
        raise KeyboardInterrupt
    return key_name(pressed)
