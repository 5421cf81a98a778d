"""Counter-based noise: the latent of an item depends on its own seed only, never on its neighbours."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)


def item_seeds(batch_seed: int, indices: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64 [N] in [0, 2^63): the seeds of the items at `indices` of a batch."""
    words = philox(np.full(len(indices), batch_seed, np.uint64), indices.astype(np.uint64))
    return ((words[0] << _HALF | words[1]) >> np.uint64(1)).astype(np.int64)


def latents(seeds: NDArray[np.int64], dim: int) -> NDArray[np.float32]:
    """float32 [N, dim], standard normal by Box and Muller (1958) over Philox words."""
    blocks = -(-dim // 4)
    key = np.repeat(seeds.astype(np.uint64), blocks)
    counter = np.tile(np.arange(blocks, dtype=np.uint64), len(seeds))
    a, b, c, d = ((word.astype(np.float64) + 0.5) / 2**32 for word in philox(key, counter))
    pairs = [
        np.sqrt(-2 * np.log(radius)) * wave(2 * np.pi * angle)
        for radius, angle in ((a, b), (c, d))
        for wave in (np.cos, np.sin)
    ]
    return np.stack(pairs, axis=1).reshape(len(seeds), 4 * blocks)[:, :dim].astype(np.float32)


def between(
    a_ND: NDArray[np.float32], b_ND: NDArray[np.float32], share: float | NDArray[np.float32]
) -> NDArray[np.float32]:
    """Spherical interpolation (White 2016, section 2.1): unlike on a straight line, lengths stay those of noise.

    share: of the way from a to b; one, or one for each, [N, 1].
    """
    cosine = (a_ND * b_ND).sum(1) / (np.linalg.norm(a_ND, axis=1) * np.linalg.norm(b_ND, axis=1))
    angle = np.arccos(np.clip(cosine, -1, 1))[:, None]
    sine = np.maximum(np.sin(angle), 1e-6)
    found: NDArray[np.float32] = (np.sin((1 - share) * angle) * a_ND + np.sin(share * angle) * b_ND) / sine
    return found.astype(np.float32)


def philox(key: NDArray[np.uint64], counter: NDArray[np.uint64]) -> tuple[NDArray[np.uint64], ...]:
    """Philox4x32-10 (Salmon et al. 2011, section 3.3) over 64-bit keys and counters.

    Returns four uint64 [N] arrays that hold 32 random bits each.
    """
    k0, k1 = key & _LOW, key >> _HALF
    x0, x1 = counter & _LOW, counter >> _HALF
    x2 = x3 = np.zeros_like(counter)
    for _ in range(10):
        p0, p1 = _M0 * x0, _M1 * x2
        x0, x1, x2, x3 = (p1 >> _HALF) ^ x1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ x3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + np.uint64(_W0)) & _LOW, (k1 + np.uint64(_W1)) & _LOW
    return x0, x1, x2, x3
