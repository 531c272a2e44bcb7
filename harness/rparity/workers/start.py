"""How every child process begins (`workers.child.Child`): it starts a guard, then calls a function.

`Child` runs `python -P start.py PIPE LIFE PARENT FOLDER`. The guard ends the process when its
parent is gone. It is a process too, forked before anything is loaded: a thread would have to wait
for the interpreter's lock, which C code may hold for minutes. The parent's module path, the
function to call and its arguments come through the pipe.
"""

import os
import select
import signal
import sys

LOOK_MS = 500


def guard(pipe: int, life: int, parent: int, folder: str) -> None:
    """Fork the guard. It kills this process, and all that it started, when the parent is gone.

    `life` is a pipe that closes when the parent ends; nothing is ever written to it.
    """
    mine = os.getpid()
    if os.fork():
        os.close(life)
        return
    try:
        # The guard leaves the group, which is killed as one, so that it can remove the folder even
        # if the parent is killed while it ends this process.
        os.setpgid(0, 0)
        os.close(pipe)  # otherwise the parent would not see that the process closes it
        waiting = select.poll()
        waiting.register(life, select.POLLIN)
        while not waiting.poll(LOOK_MS) and os.getppid() == mine and _lives(parent):
            pass
        try:  # noqa: SIM105 - contextlib is not loaded yet
            os.killpg(mine, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        while os.getppid() == mine:  # until it is dead, and writes nothing more
            select.select([], [], [], 0.01)
        from shutil import rmtree

        rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


def _lives(process: int) -> bool:
    """Whether there is such a process. A fork of the parent may keep `life` open after its end."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main(fd: int, life: int, parent: int, folder: str) -> None:
    """Start the guard, then call the function that the parent names."""
    # Forked before anything else is loaded, and while there is one thread.
    guard(fd, life, parent, folder)
    os.mkdir(folder, 0o700)  # noqa: PTH102 - pathlib is not loaded yet
    import importlib.util
    from multiprocessing.connection import Connection

    os.set_inheritable(fd, False)
    pipe = Connection(fd)
    # The package that this file belongs to, even if another copy of it is on the path.
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    found = importlib.util.spec_from_file_location(
        "rparity", f"{home}/__init__.py", submodule_search_locations=[home]
    )
    assert found is not None
    assert found.loader is not None
    sys.modules["rparity"] = package = importlib.util.module_from_spec(found)
    found.loader.exec_module(package)
    try:
        path, target, arguments = pipe.recv()
    except EOFError:
        return
    # After Python's own folders: no file in the working directory replaces a module of Python.
    own = os.path.dirname(os.__file__)  # noqa: PTH120
    after = max(i for i, known in enumerate(sys.path) if known in (own, f"{own}/lib-dynload")) + 1
    sys.path[after:after] = [folder for folder in path if folder not in sys.path]
    module, _, function = target.partition(":")
    getattr(importlib.import_module(module), function)(pipe, *arguments)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
