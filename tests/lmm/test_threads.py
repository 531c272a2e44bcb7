"""Small algebra uses one thread, whatever the environment says."""

from threadpoolctl import ThreadpoolController

import rparity.lmm.mixed
import rparity.lmm.solver.model
import rparity.lmm.solver.schur
from lmm_recorded import frame
from rparity.lmm.bootstrap.bootmer import bootmer
from rparity.lmm.matrices.model_matrices import build
from rparity.lmm.mixed import lmer
from rparity.lmm.solver.newton import minimise


def threads(controller: ThreadpoolController) -> set[int]:
    return {library["num_threads"] for library in controller.info()}


def test_small_fits_use_one_thread_and_large_ones_all(monkeypatch):
    controller, seen = ThreadpoolController(), []

    def watched(*arguments):
        seen.append(threads(controller))
        return minimise(*arguments)

    monkeypatch.setattr(rparity.lmm.solver.model, "minimise", watched)
    with controller.limit(limits=2, user_api="blas"):
        allowed = threads(controller)
        fit = lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
        bootmer(fit, 2, rng=1)
        assert set(map(frozenset, seen)) == {frozenset({1})}
        assert threads(controller) == allowed
        seen.clear()
        monkeypatch.setattr(rparity.lmm.solver.model, "STRATA_EFFECTS", 0)
        monkeypatch.setattr(rparity.lmm.solver.model, "DENSE_EFFECTS", 0)
        lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("Penicillin"))
        assert set(map(frozenset, seen)) == {frozenset({1})}
        seen.clear()
        monkeypatch.setattr(rparity.lmm.solver.schur, "THREADED", 0)
        lmer("diameter ~ 1 + (1 | plate) + (1 | sample)", frame("Penicillin"))
        assert set(map(frozenset, seen)) == {frozenset(allowed)}


def test_matrices_are_made_with_one_thread(monkeypatch):
    controller, seen = ThreadpoolController(), []

    def watched(*arguments, **named):
        seen.append(threads(controller))
        return build(*arguments, **named)

    monkeypatch.setattr(rparity.lmm.mixed, "build", watched)
    with controller.limit(limits=2, user_api="blas"):
        lmer("Reaction ~ Days + (Days | Subject)", frame("sleepstudy"))
    assert seen == [{1}]
