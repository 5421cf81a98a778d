"""Batch norm's statistics of an averaged generator itself: those that are averaged with its weights fit others."""

from __future__ import annotations

import torch

from pipeline.model.networks import Generator, GroupedBatchNorm
from pipeline.training.data import BatchSource

PASSES = 100


@torch.no_grad()
def settle(net: Generator, source: BatchSource, seed: int) -> None:
    """Standing statistics (Brock et al. 2019): their mean over passes with fresh noise and the source's labels.

    The same weights and seed come to the same statistics, whatever they were before.
    """
    device = next(net.parameters()).device
    noise = torch.Generator(device).manual_seed(seed)
    norms = [module for module in net.modules() if isinstance(module, GroupedBatchNorm)]
    kept, training = [norm.momentum for norm in norms], net.training
    net.train()
    for done in range(PASSES):
        for norm in norms:
            norm.momentum = 1 / (done + 1)
        labels = source.at(done * source.batch)[1].to(device)
        net(torch.randn(len(labels), net.shape.z_dim, generator=noise, device=device), labels)
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    net.train(training)
