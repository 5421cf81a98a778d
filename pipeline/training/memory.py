"""A memory that does not hold a step's images: fewer of them at a time, and the step's gradient is their sum."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

from pipeline.errors import GenloopError
from pipeline.model.networks import GroupedBatchNorm
from pipeline.training.ranks import Ranks

T = TypeVar("T")

WORDS = ("DefaultCPUAllocator", "out of memory")  # a processor's allocator has no error of its own


def held(work: Callable[[], T], ranks: Ranks) -> T | None:
    """What the work comes to; None where the memory did not hold it, and nothing of it is held any more.

    Several processes can't agree on it any more where one of them lacks memory: that is a GenloopError.
    """
    try:
        return work()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    if ranks.world > 1:
        remedy = "lower train.batch, train.width or preprocess.size, or set GENLOOP_PROCESSES to 1"
        raise GenloopError("a process of this training is out of memory", where="train.batch", remedy=remedy)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(word in str(error) for word in WORDS)


def fewer(at_once: int, batch: int) -> int:
    """About half as many images at a time, in whole groups of the norm: its statistics stay what they are.

    at_once: 0 is the batch. Raises GenloopError where that was one group alone.
    """
    group, now = GroupedBatchNorm.GROUP, at_once or batch
    if now <= group:
        raise GenloopError(
            f"the memory does not hold a step of {now} images, which is the least of a batch that is worked on at once",
            where="train.batch",
            remedy=f"lower train.batch below {now}, train.width or preprocess.size, or free some memory",
        )
    return group * -(-now // (2 * group))
