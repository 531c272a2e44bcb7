"""Principal components: R's `prcomp`, and NumPy's singular values."""

import numpy as np


def test_prcomp(r_parity):
    """An eigenvector has either sign, so R's sign is taken over, and that of the scores with it."""
    arrests = r_parity.call("prcomp.R", "arrests").value.to_numpy()
    r = r_parity.call("prcomp.R", "components")

    center = arrests.mean(axis=0)
    _, singular, components = np.linalg.svd(arrests - center, full_matrices=False)
    rotation = components.T  # NumPy has a component in each row, and R in each column
    rotation *= np.sign((rotation * r["rotation"].to_numpy()).sum(axis=0))
    mine = {
        "sdev": singular / np.sqrt(len(arrests) - 1),
        "rotation": rotation,
        "center": center,
        "x": (arrests - center) @ rotation,
    }
    # Rounding is relative to the largest of the scores, which is 200.
    r.check(mine, only=list(mine), rtol=1e-10, atol=1e-11)
