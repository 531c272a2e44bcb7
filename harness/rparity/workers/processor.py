"""Whether the BLAS kernel that is asked for runs on this processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from rparity.errors import UsageError

KERNEL = "OPENBLAS_CORETYPE"
PRODUCT = "import numpy as np; np.ones((64, 64)) @ np.ones((64, 64))"


def check_kernel() -> None:
    """See whether the kernel that OPENBLAS_CORETYPE names, if it is set, runs here.

    OpenBLAS takes the name at its word: where the processor lacks an instruction of that kernel,
    the first product of matrices ends the process. So another process makes one.

    Raises
    ------
    UsageError
        Where that process ended so.
    """
    kernel = os.environ.get(KERNEL)
    if not kernel:
        return
    if subprocess.run([sys.executable, "-c", PRODUCT], check=False).returncode == -signal.SIGILL:
        raise UsageError(
            f"{KERNEL}={kernel} names a kernel of OpenBLAS with instructions that this processor "
            f"lacks: unset {KERNEL}."
        )
