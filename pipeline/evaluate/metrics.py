"""Distances between two sets of feature vectors. N, M: how many; D: how long each vector is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipeline.evaluate.intervals import BLOCKS, LEAST, Interval, around

Array = NDArray[Any]
Floats = NDArray[np.float32]

BLOCK_ELEMENTS = 8 * 2**20  # of a block of distances: 32 MiB of float32


@dataclass(frozen=True)
class Gaussian:
    """Mean [D] and covariance [D, D] of a set of features."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]


def gaussian(x_ND: Array) -> Gaussian:
    """Fitted to x; N is at least 2."""
    x = np.asarray(x_ND, np.float64)
    return Gaussian(x.mean(0), np.atleast_2d(np.cov(x, rowvar=False)))


def frechet(a: Gaussian, b: Gaussian) -> float:
    """|difference of means|^2 + tr(A + B - 2 sqrt(A B)) (Heusel et al. 2017, section 4, eq. 6).

    tr(sqrt(A B)) is the sum of the roots of the eigenvalues of the symmetric sqrt(A) B sqrt(A).
    """
    values, vectors = np.linalg.eigh(a.covariance)
    a_root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = a_root @ b.covariance @ a_root
    cross = np.sqrt(np.clip(np.linalg.eigvalsh((product + product.T) / 2), 0, None)).sum()
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    return max(0.0, float(np.square(a.mean - b.mean).sum() + traces - 2 * cross))


def frechet_distance(a_ND: Array, b_MD: Array) -> float:
    """Frechet distance of the two Gaussians fitted to a and b."""
    return frechet(gaussian(a_ND), gaussian(b_MD))


def spread(real: Gaussian) -> float:
    """Total variance of the real features: 100 FD / spread is nFD, which no scale of the features changes."""
    return max(float(np.trace(real.covariance)), 1e-12)


def frechet_distance_infinity(a_ND: Array, b_MD: Array, random: np.random.Generator, points: int = 8) -> float:
    """The Frechet distance of infinitely many items, which the finite one is biased above.

    The intercept of a line through the distances of n of each, over 1/n (Chong and Forsyth 2020, section 3.1);
    n from a quarter of the smaller set to all of it. Near 0 for like sets, then of either sign.
    """
    most = min(len(a_ND), len(b_MD))
    sizes = np.linspace(max(2, most // 4), most, points).astype(int)
    found = [
        frechet_distance(a_ND[random.permutation(len(a_ND))[:n]], b_MD[random.permutation(len(b_MD))[:n]])
        for n in sizes
    ]
    return float(np.polyfit(1 / sizes, found, 1)[1])


def kernel_distance(a_ND: Array, b_MD: Array) -> tuple[float, Interval | None]:
    """Unbiased MMD^2 with the kernel (x.y / D + 1)^3 (Binkowski et al. 2018, section 4), and its interval.

    Over all pairs, not over subsets; near 0 for like sets, then of either sign. Features are divided by the root mean
    square of a's, so that their scale does not matter. The interval is the jackknife's over ten blocks of both sets,
    None where they are too small.
    """
    scale = float(np.sqrt(np.mean(np.square(a_ND, dtype=np.float64)))) or 1.0
    a, b = ([tensor(np.asarray(part) / scale) for part in np.array_split(x, BLOCKS)] for x in (a_ND, b_MD))
    within_a, within_b, between = _kernel_sums(a, a), _kernel_sums(b, b), _kernel_sums(a, b)
    for sums, blocks in ((within_a, a), (within_b, b)):
        sums[np.diag_indices(BLOCKS)] -= [_kernel_diagonal(block) for block in blocks]
    counts = np.array([[len(block) for block in blocks] for blocks in (a, b)], float)

    def without(block: int) -> float:
        kept = np.arange(BLOCKS) != block
        n, m = counts[:, kept].sum(1)
        taken = np.ix_(kept, kept)
        return float(
            within_a[taken].sum() / (n * (n - 1))
            + within_b[taken].sum() / (m * (m - 1))
            - 2 * between[taken].sum() / (n * m)
        )

    whole = without(-1)
    if min(map(len, (a_ND, b_MD))) < LEAST:
        return whole, None
    return whole, around(whole, [without(block) for block in range(BLOCKS)])


def nearest(
    query_ND: Array, base_MD: Array, own_N: NDArray[np.int64] | None = None
) -> tuple[Floats, NDArray[np.int64]]:
    """Distance to, and row of, the nearest base point of each query; own_N: a row to pass over, for each."""
    query_ND, base_MD = centred(query_ND, base_MD)
    query, base = tensor(query_ND), tensor(base_MD)
    found = torch.empty(len(query), dtype=torch.int64)
    for rows, block in squares(query, base):
        if own_N is not None:
            block.scatter_(1, torch.from_numpy(own_N[rows].astype(np.int64))[:, None], torch.inf)
        found[rows] = block.argmin(1)
    exact = (query - base[found]).norm(dim=1)
    return exact.numpy(), found.numpy()


def _kernel_sums(a: list[torch.Tensor], b: list[torch.Tensor]) -> NDArray[np.float64]:
    """[blocks, blocks]: the sum of the kernel over all pairs of two blocks."""
    return np.array([[_kernel_sum(x, y) for y in b] for x in a])


def _kernel_sum(a: torch.Tensor, b: torch.Tensor) -> float:
    total, step = 0.0, max(1, BLOCK_ELEMENTS // max(1, len(b)))
    for start in range(0, len(a), step):
        dots = (a[start : start + step] @ b.T).div_(a.shape[1]).add_(1)
        total += float((dots * dots).mul_(dots).sum(dtype=torch.float64))
    return total


def _kernel_diagonal(a: torch.Tensor) -> float:
    return float((a.double().square().sum(1) / a.shape[1] + 1).pow(3).sum())


def squares(query: torch.Tensor, base: torch.Tensor) -> Iterator[tuple[slice, torch.Tensor]]:
    """Squared distances [rows, M], block by block, in bounded memory."""
    norms = base.square().sum(1)
    step = max(1, BLOCK_ELEMENTS // len(base))
    for start in range(0, len(query), step):
        rows = slice(start, min(start + step, len(query)))
        part = query[rows]
        block = torch.addmm(norms[None], part, base.T, alpha=-2)
        yield rows, block.add_(part.square().sum(1, keepdim=True)).clamp_(min=0)


def centred(a_ND: Array, b_MD: Array) -> tuple[Floats, Floats]:
    """Both less the mean of b, in float32: distances stay, cancellation lessens."""
    mean = np.asarray(b_MD).mean(0, dtype=np.float64)
    return (a_ND - mean).astype(np.float32), (b_MD - mean).astype(np.float32)


def tensor(x_ND: Array) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(x_ND, np.float32))
