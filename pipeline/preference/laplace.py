"""Bayesian logistic regression: the mode of its posterior, the Gaussian around that, and the scales of its prior.

T: rows; m: weights. A row is `weights` trials of which `successes` went well, with odds exp(offset + design . w).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

STEPS, HALVINGS = 50, 12
CLOSE = 1e-8  # of the objective, per trial
ROUNDS, SETTLED = 30, 0.02  # of the prior's scales; when none moves by more, they are found
BELIEF = 2.0  # weights' worth, of what the scales were guessed to be
FLAT = 1e-9  # added to every precision, so that nothing is ever singular


@dataclass(frozen=True)
class Rows:
    """design: float64 [T, m]; successes, weights, offset: float64 [T]."""

    design: Floats
    successes: Floats
    weights: Floats
    offset: Floats


@dataclass(frozen=True)
class Posterior:
    """Normal(mean [m], the inverse of precision [m, m]), and the logarithm of the evidence by Laplace's method."""

    mean: Floats
    precision: Floats
    evidence: float


def mode(rows: Rows, prior: Floats, start: Floats | None = None) -> Posterior:
    """Newton's method with halving. prior: precisions of weights around 0, float64 [m]."""
    from scipy.linalg import cho_factor, cho_solve

    w = np.zeros(rows.design.shape[1]) if start is None else start.copy()
    prior = prior + FLAT
    value = _objective(rows, prior, w)
    hessian = _hessian(rows, prior, w)
    for _ in range(STEPS):
        chance = _sigmoid(rows.offset + rows.design @ w)
        slope = rows.design.T @ (rows.successes - rows.weights * chance) - prior * w
        step = cho_solve(cho_factor(hessian, lower=True), slope)
        size = 1.0
        for _ in range(HALVINGS):
            found = _objective(rows, prior, w + size * step)
            if found >= value:
                break
            size /= 2
        else:
            break
        w, gained, value = w + size * step, found - value, found
        hessian = _hessian(rows, prior, w)
        if gained <= CLOSE * max(1.0, float(rows.weights.sum())):
            break
    return Posterior(w, hessian, value + float(np.log(prior).sum() - _log_determinant(hessian)) / 2)


def scales(rows: Rows, groups: Sequence[slice], guess: Sequence[float], fixed: Floats) -> list[float]:
    """Variances of the weights of each group, where the evidence is greatest (MacKay 1992, eq. 4.8 to 4.10), held
    to the guess as by BELIEF weights more. fixed: precisions of the weights of no group, float64 [m]."""
    found, w = list(guess), np.zeros(len(fixed))
    for _ in range(ROUNDS):
        prior = fixed.copy()
        for group, variance in zip(groups, found, strict=True):
            prior[group] = 1 / variance
        posterior = mode(rows, prior, w)
        w = posterior.mean
        variances = np.diag(spread(posterior))
        before = list(found)
        for i, group in enumerate(groups):
            if group.stop > group.start:
                known = (group.stop - group.start) - float(variances[group].sum()) / before[i]
                found[i] = (float(w[group] @ w[group]) + BELIEF * guess[i]) / (max(known, 0.0) + BELIEF)
        if max(abs(np.log(new / old)) for new, old in zip(found, before, strict=True)) < SETTLED:
            break
    return found


def spread(posterior: Posterior) -> Floats:
    """The covariance, float64 [m, m]."""
    return np.asarray(np.linalg.inv(posterior.precision), np.float64)


def _objective(rows: Rows, prior: Floats, w: Floats) -> float:
    logit = rows.offset + rows.design @ w
    likelihood = rows.successes @ logit - rows.weights @ np.logaddexp(0, logit)
    return float(likelihood - (prior * w) @ w / 2)


def _hessian(rows: Rows, prior: Floats, w: Floats) -> Floats:
    chance = _sigmoid(rows.offset + rows.design @ w)
    half = rows.design * np.sqrt(rows.weights * chance * (1 - chance))[:, None]
    found: Floats = half.T @ half
    found[np.diag_indices_from(found)] += prior
    return found


def _log_determinant(positive: Floats) -> float:
    return float(np.linalg.slogdet(positive)[1])


def _sigmoid(logit: Floats) -> Floats:
    from scipy.special import expit

    found: Floats = expit(logit)
    return found
