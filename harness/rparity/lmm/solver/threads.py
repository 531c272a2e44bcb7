"""One thread for the algebra of small matrices, where threads cost more than they save."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache

from threadpoolctl import ThreadpoolController

from rparity.lmm.solver.structure import Structure


@cache
def _controller() -> ThreadpoolController:
    """The BLAS libraries that are loaded; looking for them takes 30 ms, a limit 0.03 ms."""
    return ThreadpoolController()


def one_thread() -> AbstractContextManager[object]:
    """Limit BLAS to one thread."""
    if all(library.num_threads == 1 for library in _controller().lib_controllers):
        return nullcontext()
    limit: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limit


def threads_for(structure: Structure) -> AbstractContextManager[object]:
    """Limit BLAS to one thread while a small structure is evaluated; large ones use them all."""
    return nullcontext() if structure.threaded else one_thread()
