"""Standing statistics: those of the network itself, whatever it had before."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.model.networks import Generator, Shape
from pipeline.training.data import BatchSource
from pipeline.training.standing import settle


def _generator() -> Generator:
    torch.manual_seed(0)
    return Generator(Shape(16, 1, 3, 8, 8)).requires_grad_(False)


def test_settled_statistics_are_those_of_the_weights() -> None:
    labels = np.arange(640, dtype=np.int64) % 3
    source = BatchSource(np.zeros((640, 1, 16, 16), np.uint8), labels, 64, 0)
    net = _generator().eval()
    net.norm.running_mean += 5
    net.norm.running_var *= 9
    settle(net, source, 0)
    assert not net.training and net.norm.momentum == 0.1

    z, some = torch.randn(6000, 8, generator=torch.Generator().manual_seed(7)), torch.arange(6000) % 3
    maps = net.project(torch.cat([z, net.embed(some)], 1)).view(-1, net.top, 4, 4)
    deviation = net.norm.running_var.sqrt()
    off = (maps.mean((0, 2, 3)) - net.norm.running_mean) / deviation
    assert off.abs().max() < 0.03
    assert torch.allclose(maps.std((0, 2, 3)), deviation, rtol=0.04)

    again = _generator()
    settle(again, source, 0)
    for mine, other in zip(net.buffers(), again.buffers(), strict=True):
        assert torch.equal(mine, other)
