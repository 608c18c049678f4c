"""Fréchet distance of two sets of features, also where there are fewer samples than dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def frechet_distance(features: Floats, others: Floats) -> float:
    """Distance of the Gaussians fitted to two sets of features (N,D) and (M,D).

    |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½), Heusel et al.: GANs Trained by a Two Time-Scale Update
    Rule, NeurIPS 2017. With A, B the centred sets over the roots of N-1 and M-1, the eigenvalues of
    C1 C2 are the squared singular values of A Bᵀ: exact also for covariances that lack ranks, where
    a matrix root needs help.

    Raises:
        ValueError: fewer than two samples, or sets of different dimensions.
    """
    if min(len(features), len(others)) < 2 or features.shape[1] != others.shape[1]:
        raise ValueError(
            f"two or more features of one dimension are needed, got {features.shape} and "
            f"{others.shape}"
        )
    mean_a, a = _centred(features)
    mean_b, b = _centred(others)
    shared = float(np.linalg.svd(a @ b.T, compute_uv=False).sum())
    spread = float(np.square(a).sum() + np.square(b).sum())
    return max(float(np.square(mean_a - mean_b).sum()) + spread - 2 * shared, 0.0)


def _centred(features: Floats) -> tuple[Floats, Floats]:
    """Mean (D,), and (min(N,D),D) whose Gram matrix is the covariance."""
    mean = features.mean(0)
    centred = (features - mean) / np.sqrt(len(features) - 1)
    if len(centred) > centred.shape[1]:
        centred = np.linalg.qr(centred, mode="r")
    return mean, np.asarray(centred, np.float64)
