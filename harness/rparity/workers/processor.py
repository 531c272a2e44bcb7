"""Whether the kernel of OpenBLAS that the user names runs on this processor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

from rparity.errors import UsageError

KERNEL = "OPENBLAS_CORETYPE"
PRODUCT = "import numpy as np; np.ones((64, 64)) @ np.ones((64, 64))"


def check_kernel() -> None:
    """Try the kernel that OPENBLAS_CORETYPE names, if it is set, in another process.

    OpenBLAS uses the kernel without checking the processor. If the processor lacks one of its
    instructions, the first matrix product kills the process.

    Raises
    ------
    UsageError
        The processor lacks an instruction of the kernel.
    """
    kernel = os.environ.get(KERNEL)
    if not kernel:
        return
    if subprocess.run([sys.executable, "-c", PRODUCT], check=False).returncode == -signal.SIGILL:
        raise UsageError(
            f"{KERNEL}={kernel} names a kernel of OpenBLAS with instructions that this processor "
            f"lacks: unset {KERNEL}."
        )
