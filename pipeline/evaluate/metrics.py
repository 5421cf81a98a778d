"""Distances between two sets of feature vectors. N, M: how many; D: how long each vector is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float32]

BLOCK_ELEMENTS = 8 * 2**20  # of a block of distances: 32 MiB of float32


def frechet_distance(a_ND: Array, b_MD: Array) -> float:
    """Frechet distance of the two Gaussians fitted to a and b (Heusel et al. 2017, section 4, eq. 6).

    tr(sqrt(A B)) is the sum of the roots of the eigenvalues of the symmetric sqrt(A) B sqrt(A).
    """
    a_mean, a_cov = _gaussian(a_ND)
    b_mean, b_cov = _gaussian(b_MD)
    values, vectors = np.linalg.eigh(a_cov)
    a_root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = a_root @ b_cov @ a_root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    distance = np.square(a_mean - b_mean).sum() + np.trace(a_cov) + np.trace(b_cov) - 2 * cross
    return max(0.0, float(distance))


def normalised_frechet_distance(real_ND: Array, fake_MD: Array) -> float:
    """Frechet distance as a percentage of the variance of the real features, so that no scale matters."""
    variance = float(np.trace(_gaussian(real_ND)[1]))
    return 100 * frechet_distance(real_ND, fake_MD) / max(variance, 1e-12)


def kernel_distance(a_ND: Array, b_MD: Array) -> float:
    """Unbiased MMD^2 with the kernel (x.y / D + 1)^3 (Binkowski et al. 2018, section 4).

    Over all pairs, not over subsets; near 0 for like sets, then of either sign.
    """
    a, b = _tensor(a_ND), _tensor(b_MD)
    n, m = len(a), len(b)
    within_a = (_kernel_sum(a, a) - _kernel_diagonal(a)) / (n * (n - 1))
    within_b = (_kernel_sum(b, b) - _kernel_diagonal(b)) / (m * (m - 1))
    return within_a + within_b - 2 * _kernel_sum(a, b) / (n * m)


def precision_recall(real_ND: Array, fake_MD: Array, k: int = 3) -> tuple[float, float]:
    """Share of fakes inside the real manifold, and of reals inside the fake one.

    A manifold is the union of balls that reach each point's k-th neighbour (Kynkaanniemi et al. 2019, section 2).
    """
    real_ND, fake_MD = _centred(real_ND, fake_MD)
    precision = _inside(fake_MD, real_ND, _radii(real_ND, k)).gt(0).float().mean()
    recall = _inside(real_ND, fake_MD, _radii(fake_MD, k)).gt(0).float().mean()
    return float(precision), float(recall)


def density_coverage(real_ND: Array, fake_MD: Array, k: int = 5) -> tuple[float, float]:
    """Mean number of real balls that a fake lies in, over k; share of real balls that hold a fake.

    Naeem et al. 2020, section 3. Density may exceed 1.
    """
    real_ND, fake_MD = _centred(real_ND, fake_MD)
    radii = _radii(real_ND, k)
    k = min(k, len(real_ND) - 1)
    density = _inside(fake_MD, real_ND, radii).double().mean() / k
    covered = torch.from_numpy(nearest(real_ND, fake_MD)[0]) <= radii
    return float(density), float(covered.float().mean())


def memorised(samples_ND: Array, train_MD: Array, holdout_KD: Array, own_N: NDArray[np.int64] | None = None) -> float:
    """Share of samples nearer to a training image than all but 1% of held-out images are: 0.01 is expected.

    After Meehan et al. 2020 (section 3), which compares the same two distributions of nearest distances.
    own_N: the row of train that each sample is, to be passed over (for the floor, whose samples are real).
    """
    threshold = np.quantile(nearest(holdout_KD, train_MD)[0], 0.01)
    return float(np.mean(nearest(samples_ND, train_MD, own_N)[0] <= threshold))


def nearest(
    query_ND: Array, base_MD: Array, own_N: NDArray[np.int64] | None = None
) -> tuple[Floats, NDArray[np.int64]]:
    """Distance to, and row of, the nearest base point of each query; own_N: a row to pass over, for each."""
    query_ND, base_MD = _centred(query_ND, base_MD)
    query, base = _tensor(query_ND), _tensor(base_MD)
    found = torch.empty(len(query), dtype=torch.int64)
    for rows, squares in _squares(query, base):
        if own_N is not None:
            squares.scatter_(1, torch.from_numpy(own_N[rows].astype(np.int64))[:, None], torch.inf)
        found[rows] = squares.argmin(1)
    exact = (query - base[found]).norm(dim=1)
    return exact.numpy(), found.numpy()


def _gaussian(x_ND: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = np.asarray(x_ND, np.float64)
    mean = x.mean(0)
    centred = x - mean
    return mean, centred.T @ centred / max(1, len(x) - 1)


def _kernel_sum(a: torch.Tensor, b: torch.Tensor) -> float:
    """Sum of the kernel over all pairs, by blocks of rows."""
    total, step = 0.0, max(1, BLOCK_ELEMENTS // len(b))
    for start in range(0, len(a), step):
        dots = (a[start : start + step] @ b.T).div_(a.shape[1]).add_(1)
        total += float((dots * dots).mul_(dots).sum(dtype=torch.float64))
    return total


def _kernel_diagonal(a: torch.Tensor) -> float:
    return float((a.double().square().sum(1) / a.shape[1] + 1).pow(3).sum())


def _radii(x_ND: Array, k: int) -> torch.Tensor:
    """Distance of each point to its k-th nearest other point: [N]."""
    x = _tensor(x_ND)
    k = min(k, len(x) - 1)
    found = torch.empty(len(x), dtype=torch.int64)
    for rows, squares in _squares(x, x):
        own = torch.arange(rows.start, rows.stop)[:, None]
        squares.scatter_(1, own, torch.inf)
        found[rows] = squares.topk(k, dim=1, largest=False, sorted=True).indices[:, -1]
    radii: torch.Tensor = torch.linalg.vector_norm(x - x[found], dim=1)
    return radii


def _inside(query_ND: Array, base_MD: Array, radii_M: torch.Tensor) -> torch.Tensor:
    """How many of the balls of base hold each query: [N]."""
    query, base = _tensor(query_ND), _tensor(base_MD)
    reach = radii_M.square().mul(1 + 1e-5)  # a point on the rim is inside, whatever the rounding
    counts = torch.empty(len(query), dtype=torch.int64)
    for rows, squares in _squares(query, base):
        counts[rows] = (squares <= reach).sum(1)
    return counts


def _squares(query: torch.Tensor, base: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Squared distances [rows, M], block by block, in bounded memory."""
    norms = base.square().sum(1)
    step = max(1, BLOCK_ELEMENTS // len(base))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        block = query[rows]
        squares = torch.addmm(norms[None], block, base.T, alpha=-2)
        yield rows, squares.add_(block.square().sum(1, keepdim=True)).clamp_(min=0)


def _centred(a_ND: Array, b_MD: Array) -> tuple[Floats, Floats]:
    """Both less the mean of b, in float32: distances stay, cancellation lessens."""
    mean = np.asarray(b_MD).mean(0, dtype=np.float64)
    return (a_ND - mean).astype(np.float32), (b_MD - mean).astype(np.float32)


def _tensor(x_ND: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x_ND, np.float32))
