"""Data-parallel training: processes that hold the same state and share every batch.

All of it is written for any number of them: one process is the case where nothing is sent.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.errors import GenloopError

PATIENCE = timedelta(minutes=30)  # of a process for the others; one that has died is known at once


class PeerEnded(GenloopError):
    """Another process of this training has ended before its time."""


@dataclass(frozen=True)
class Ranks:
    """This process's place among `world` processes."""

    rank: int = 0
    world: int = 1

    @property
    def first(self) -> bool:
        return self.rank == 0

    def part(self, batch: int) -> slice:
        """The rows of a batch that are this process's."""
        return slice(self.rank * batch // self.world, (self.rank + 1) * batch // self.world)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Put the mean over the processes in place of each tensor, all in one message."""
        if self.world == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1).float() for tensor in tensors])
        dist.all_reduce(flat)
        parts = torch.split(flat.div_(self.world), [tensor.numel() for tensor in tensors])
        torch._foreach_copy_(list(tensors), [part.view(one.shape) for one, part in zip(tensors, parts, strict=True)])

    def told(self, data: bytes) -> bytes:
        """What the first process says, in every process."""
        if self.world == 1:
            return data
        size = torch.tensor([len(data)])
        dist.broadcast(size, 0)
        message = torch.empty(int(size), dtype=torch.uint8)
        if self.first and data:
            message.copy_(torch.frombuffer(bytearray(data), dtype=torch.uint8))
        dist.broadcast(message, 0)
        return message.numpy().tobytes()


def launched() -> Ranks | None:
    """The place that torchrun (or Ray Train, or `gathered`) has given this process, if any."""
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    return None


@contextmanager
def gathered(world: int, device: torch.device, follower: Sequence[str], request: str) -> Iterator[Ranks]:
    """Join the processes that torchrun or Ray Train started, or start `world` - 1 of `follower`, `request` on stdin.

    Raises PeerEnded where another process ends before its time.
    """
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    place = launched()
    if place is None and world == 1:
        yield Ranks()
        return
    threads, started = torch.get_num_threads(), list[subprocess.Popen[str]]()
    with tempfile.TemporaryDirectory() as folder:
        method = "env://" if "MASTER_ADDR" in os.environ else f"file://{folder}/rendezvous"
        if place is None:
            place = Ranks(0, world)
            started = [_start(follower, request, rank, world, Path(folder), threads) for rank in range(1, world)]
            torch.set_num_threads(max(1, threads // world))
            _stay_on_this_machine()
        elif "GENLOOP_RENDEZVOUS" in os.environ:
            method = f"file://{os.environ['GENLOOP_RENDEZVOUS']}"
        try:
            if not dist.is_initialized():
                dist.init_process_group(backend, method, timeout=PATIENCE, rank=place.rank, world_size=place.world)
            yield place
            for process in started:
                process.wait(60)
        except (RuntimeError, dist.DistError) as error:
            if "onnection" not in str(error):  # closed or reset by a peer, as gloo and NCCL word it
                raise
            raise PeerEnded(
                "another process of this training has ended", remedy="run again: it goes on from its last checkpoint"
            ) from error
        finally:
            if dist.is_initialized():
                dist.destroy_process_group()
            for process in started:
                process.kill()
                process.wait()
            torch.set_num_threads(threads)


def _start(
    follower: Sequence[str], request: str, rank: int, world: int, folder: Path, threads: int
) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "RANK": str(rank),
        "WORLD_SIZE": str(world),
        "GENLOOP_RENDEZVOUS": str(folder / "rendezvous"),
        "OMP_NUM_THREADS": str(max(1, threads // world)),
    }
    process = subprocess.Popen([sys.executable, *follower], env=environment, stdin=subprocess.PIPE, text=True)
    assert process.stdin
    process.stdin.write(request)
    process.stdin.close()
    return process


def _stay_on_this_machine() -> None:
    """Gloo would look the host's name up, which need not lead anywhere."""
    import socket

    import psutil

    for name, addresses in psutil.net_if_addrs().items():
        if any(address.family == socket.AF_INET and address.address == "127.0.0.1" for address in addresses):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
