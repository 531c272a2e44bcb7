"""How every Python process of ours begins: with a guard, which ends it when its parent is gone.

It runs as `python -P start.py PIPE LIFE PARENT FOLDER` (`workers.child.Child`). The guard is a
process too, forked before anything is loaded: a thread would have to wait for the interpreter's
lock, which C code may hold for minutes. Then come, through the pipe, the parent's module path, the
function to call and its arguments.
"""

import os
import select
import signal
import sys

LOOK_MS = 500


def guard(pipe: int, life: int, parent: int, folder: str) -> None:
    """Fork the guard, which goes with this process and takes what it started along.

    `life` is a pipe that the parent holds the other end of and never writes to.
    """
    mine = os.getpid()
    if os.fork():
        os.close(life)
        return
    try:
        # Out of the group, which is killed as one: the folder is removed by whoever is left, also
        # where the parent is killed while it ends this process.
        os.setpgid(0, 0)
        os.close(pipe)  # or the parent would not see it close
        waiting = select.poll()
        waiting.register(life, select.POLLIN)
        while not waiting.poll(LOOK_MS) and os.getppid() == mine and _lives(parent):
            pass
        try:  # noqa: SIM105 - nothing is loaded yet
            os.killpg(mine, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        while os.getppid() == mine:  # until it is dead, and writes no more
            select.select([], [], [], 0.01)
        from shutil import rmtree

        rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


def _lives(process: int) -> bool:
    """Whether there is such a process; a copy of the parent may hold `life` open after it."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main(fd: int, life: int, parent: int, folder: str) -> None:
    """Begin with the guard, then do what the parent wants done."""
    # Before anything else is loaded, and while there is one thread.
    guard(fd, life, parent, folder)
    os.mkdir(folder, 0o700)  # noqa: PTH102 - pathlib is not loaded yet
    import importlib.util
    from multiprocessing.connection import Connection

    os.set_inheritable(fd, False)
    pipe = Connection(fd)
    # This very package, wherever the parent found it.
    home = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
    found = importlib.util.spec_from_file_location(
        "harness", f"{home}/__init__.py", submodule_search_locations=[home]
    )
    assert found is not None
    assert found.loader is not None
    sys.modules["harness"] = package = importlib.util.module_from_spec(found)
    found.loader.exec_module(package)
    try:
        path, target, arguments = pipe.recv()
    except EOFError:
        return
    # After Python's own: no module of a folder that the parent works in stands for one of those.
    own = os.path.dirname(os.__file__)  # noqa: PTH120
    after = max(i for i, known in enumerate(sys.path) if known in (own, f"{own}/lib-dynload")) + 1
    sys.path[after:after] = [folder for folder in path if folder not in sys.path]
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(pipe, *arguments)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
