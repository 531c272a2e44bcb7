"""Engines that do what no engine should; each is the right one but for that."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace
from typing import Any, NoReturn

import numpy as np
import pandas as pd

from rparity.cases.base import Lm, Part
from rparity.engines.base import Answer, Question
from rparity.engines.native import Native


class Right:
    """Answers linear models, as it should."""

    distributions = ("numpy",)

    def expected(self, part: Part) -> tuple[str, ...]:
        return part.tables if isinstance(part, Lm) else ()

    def answer(self, question: Question) -> Any:
        found = Native().answer(question)
        return Answer({name: table for name, table in found.tables.items() if name != "data"})


def kill(number: int) -> NoReturn:
    os.kill(os.getpid(), number)
    time.sleep(600)
    raise AssertionError


class Exits(Right):
    def answer(self, question: Question) -> Any:
        os._exit(3)


class ExitsWell(Right):
    def answer(self, question: Question) -> Any:
        os._exit(0)


class Segv(Right):
    def answer(self, question: Question) -> Any:
        ctypes.string_at(0)


class Ill(Right):
    def answer(self, question: Question) -> Any:
        kill(signal.SIGILL)


class Killed(Right):
    def answer(self, question: Question) -> Any:
        kill(signal.SIGKILL)


class Aborts(Right):
    def answer(self, question: Question) -> Any:
        os.abort()


class Hangs(Right):
    def answer(self, question: Question) -> Any:
        time.sleep(600)


class HangsDeaf(Right):
    """Ignores what it can, and works in threads that never end."""

    def answer(self, question: Question) -> Any:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=time.sleep, args=(600,)).start()
        time.sleep(600)


class Stops(Right):
    """Is stopped, and neither ends nor goes on."""

    def answer(self, question: Question) -> Any:
        os.kill(os.getpid(), signal.SIGSTOP)


class Raises(Right):
    def answer(self, question: Question) -> Any:
        raise ValueError("\x1b[2Jno\nluck\x00")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even a message")


class RaisesMute(Right):
    def answer(self, question: Question) -> Any:
        raise Mute


class RaisesExit(Right):
    def answer(self, question: Question) -> Any:
        raise SystemExit(0)


class RaisesInterrupt(Right):
    def answer(self, question: Question) -> Any:
        raise KeyboardInterrupt


class RaisesGroup(Right):
    def answer(self, question: Question) -> Any:
        raise ExceptionGroup("many", [ValueError("one"), KeyError("two")])


class Recurses(Right):
    def answer(self, question: Question) -> Any:
        return self.answer(question)


class Swallows(Right):
    """Takes more memory than there is."""

    def answer(self, question: Question) -> Any:
        return bytearray(2**60)


class Prints(Right):
    def answer(self, question: Question) -> Any:
        for _ in range(200):
            print("x" * 2**14)
            sys.stderr.write("y" * 2**14)
        os.write(1, b"z" * 2**20)
        return super().answer(question)


class Dict(Right):
    def answer(self, question: Question) -> Any:
        return dict(super().answer(question).tables)


class Nothing(Right):
    def answer(self, question: Question) -> Any:
        return None


class Type(Right):
    """The class in the place of an object of it."""

    def answer(self, question: Question) -> Any:
        return Answer


class Lambda(Right):
    def answer(self, question: Question) -> Any:
        return replace(super().answer(question), notes=(lambda: None,))


class Unreadable(Right):
    """An answer that only its own process can read."""

    def answer(self, question: Question) -> Any:
        mine = type("Mine", (str,), {"__module__": "nowhere", "__reduce__": lambda _: (exit, (0,))})
        return replace(super().answer(question), notes=(mine("x"),))


class Lists(Right):
    def answer(self, question: Question) -> Any:
        return Answer({name: [1.0] for name in super().answer(question).tables})  # type: ignore[misc]


class ListOfTables(Right):
    def answer(self, question: Question) -> Any:
        return Answer(list(super().answer(question).tables.values()))  # type: ignore[arg-type]


class Strings(Right):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table.astype(str))

    def with_tables(self, question: Question, change: Any) -> Answer:
        found = super().answer(question)
        return Answer({name: change(table) for name, table in found.tables.items()})


class Objects(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table.astype(object))


class Complex(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table.astype(complex))


class Dates(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda t: t.apply(lambda c: pd.to_datetime(c.round())))


class NaN(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table * np.nan)


class Infinite(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table * np.inf)


class Zero(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table * 0.0)


class OtherRows(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda t: t.set_axis([f"r{i}" for i in range(len(t))]))


class RowsTwice(Strings):
    """Right at first, and wrong where the name stands again."""

    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: pd.concat([table, table + 1.0]))


class ColumnsTwice(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: pd.concat([table, table + 1.0], axis=1))


class RowsOfLevels(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(
            question, lambda t: t.set_axis(pd.MultiIndex.from_product([t.index, ["a"]]))
        )


class RowsOfNumbers(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table.reset_index(drop=True))


class RowsOfNaN(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table.set_axis([np.nan] * len(table)))


class NoRows(Strings):
    def answer(self, question: Question) -> Any:
        return self.with_tables(question, lambda table: table.iloc[:0])


class TablesOfNumbers(Right):
    def answer(self, question: Question) -> Any:
        found = super().answer(question)
        return replace(found, tables=dict(enumerate(found.tables.values())))


class NoTables(Right):
    def answer(self, question: Question) -> Any:
        return Answer({})


class GapsOfNone(Right):
    def answer(self, question: Question) -> Any:
        return replace(super().answer(question), gaps=None)


class GapsOfNumbers(Right):
    def answer(self, question: Question) -> Any:
        return Answer({}, gaps={1: 2})  # type: ignore[dict-item]


class GapsForAll(Right):
    """Wrong, and excuses itself for everything."""

    def answer(self, question: Question) -> Any:
        tables = {n: t + 1.0 for n, t in super().answer(question).tables.items()}
        return Answer(tables, gaps={"*": "not today", "lm": "nor this", "*/*/*": "at all"})


class NotesOfNone(Right):
    def answer(self, question: Question) -> Any:
        return replace(super().answer(question), notes=None)


class NotesOfEscapes(Right):
    def answer(self, question: Question) -> Any:
        return replace(super().answer(question), notes=("\x1b[2J[bold]", "a\nb", "\x00"))


class Elsewhere(Right):
    """Leaves the process in a mess."""

    def answer(self, question: Question) -> Any:
        found = super().answer(question)
        os.chdir("/")
        os.environ.clear()
        sys.stdout.close()
        sys.stderr.close()
        sys.path.clear()
        np.seterr(all="raise")
        return found


class ClosesAll(Right):
    """Closes the pipe by which it is asked."""

    def answer(self, question: Question) -> Any:
        os.closerange(0, 256)


class Shadowed(Right):
    """Loads modules that the folder worked in has under names of Python's own."""

    def answer(self, question: Question) -> Any:
        import bisect
        import random

        assert random.random() < bisect.bisect([1, 2], 3)
        return super().answer(question)


class Grandchild(Right):
    """Starts a process that survives it, in a group of its own or not."""

    def answer(self, question: Question) -> Any:
        subprocess.Popen(["sleep", "613"])
        os._exit(1)


class Warns(Right):
    def answer(self, question: Question) -> Any:
        for i in range(1000):
            warnings.warn(f"\x1b[31m{i}", stacklevel=1)
        return super().answer(question)


class DiesAgain(Right):
    """Is off at first, and ends where it is asked again why."""

    asked = 0

    def answer(self, question: Question) -> Any:
        DiesAgain.asked += 1
        if DiesAgain.asked > 1:
            os._exit(3)
        return Answer({name: t * 1.001 for name, t in super().answer(question).tables.items()})


class Loads(Right):
    def __init__(self) -> None:
        raise OSError("libnowhere.so.1: cannot open shared object file")


class Dies(Right):
    """Ends while it is loaded, in the process that is made for it."""

    def __init__(self) -> None:
        if "start.py" in sys.argv[0]:
            os._exit(0)


class ExpectsNone(Right):
    def expected(self, part: Part) -> Any:
        return None


class ExpectsNumbers(Right):
    def expected(self, part: Part) -> Any:
        return (1, 2)


class ExpectsMore(Right):
    def expected(self, part: Part) -> Any:
        return (*part.tables, "lm.nothing", "other.coef")


class ExpectsLess(Right):
    """Undertakes nothing, so that nothing is held against it."""

    def expected(self, part: Part) -> Any:
        return ()


class ExpectsText(Right):
    def expected(self, part: Part) -> Any:
        return "lm.coef"


class ExpectsRaises(Right):
    def expected(self, part: Part) -> Any:
        raise ValueError("no idea")


class ExpectsExits(Right):
    """Would end the audit's own process, and well, if that asked it."""

    def expected(self, part: Part) -> Any:
        os._exit(0)


class ExpectsHangs(Right):
    def expected(self, part: Part) -> Any:
        time.sleep(600)


class NoMethods:
    name = "nomethods"


ENGINES = {
    name.lower(): f"hostile:{name}"
    for name, known in list(globals().items())
    if isinstance(known, type) and known.__module__ == __name__ and known is not Mute
}
ENGINES |= {"absent": "not_installed_anywhere:Engine", "nowhere": "hostile:Nowhere"}
