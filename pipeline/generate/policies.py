"""The seat of content policies: functions that say of items why they may not be delivered.

A policy is `def policy(items: Items) -> Sequence[str | None]` in a module that can be imported from the workspace:
of each item a reason to refuse it, or None. It must depend on nothing but the items, or a batch can't be made again.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.alike import SIDE, Looks
from pipeline.errors import GenloopError, ParamsError
from pipeline.files import sha256_file, sha256_json
from pipeline.marks.hooks import load_function
from pipeline.media.image import areas_of
from pipeline.media.measures import looks
from pipeline.orders import Ads, BatchOrder

REASON_CHARACTERS = 200


@dataclass(frozen=True)
class Items:
    """What a policy is asked about: images uint8 [N, C, S, S], the class of each or None, and its seed, int64 [N]."""

    images_NCHW: NDArray[np.uint8]
    labels: tuple[str | None, ...]
    seeds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


Policy = Callable[[Items], Sequence[str | None]]


def policies(asked: BatchOrder, workspace: Path) -> list[Policy]:
    """Those of an order, the blocklist first. Raises ParamsError for one that can't be had."""
    found = [imported(name, workspace) for name in asked.filters.policies]
    listed = [blocklist(workspace / asked.filters.blocklist)] if asked.filters.blocklist else []
    return [*listed, *(_checked(name, policy) for name, policy in zip(asked.filters.policies, found, strict=True))]


def blocklist(folder: Path) -> Policy:
    """Refuses near-copies by sight of the images in a folder."""
    files = _images(folder)
    known = Looks(areas_of([file.read_bytes() for file in files], SIDE))

    def refuse(items: Items) -> list[str | None]:
        rows = known.alike(looks(items.images_NCHW, SIDE))
        return [f"on the blocklist: {files[row].name}" if row >= 0 else None for row in rows]

    return refuse


def fingerprints(asked: BatchOrder, workspace: Path) -> dict[str, str]:
    """The hash of each thing of the user's own that decides what is delivered. Raises ParamsError."""
    found = {name: sha256_file(_source(name, workspace)) for name in (*asked.filters.policies, asked.watermark) if name}
    if asked.filters.blocklist:
        found["blocklist"] = sha256_json([sha256_file(file) for file in _images(workspace / asked.filters.blocklist)])
    if isinstance(asked.purpose, Ads):
        from pipeline.purposes.campaign import read_campaign

        path, template = workspace / asked.purpose.campaign, asked.purpose.template
        logos = {path.parent / text.logo for text in read_campaign(path).texts if text.logo}
        fonts = {Path(font) for font in (template.font, template.bold) if font}
        used = [path, *sorted(file for file in logos | fonts if file.is_file())]
        found["campaign"] = sha256_json([sha256_file(file) for file in used])
    return found


def imported(name: str, workspace: Path) -> Callable[..., object]:
    """A function of the user's, from the workspace or installed. Raises ParamsError where there is none."""
    _source(name, workspace)
    return load_function(name, name)


def _source(name: str, workspace: Path) -> Path:
    if str(workspace) not in sys.path:
        sys.path.insert(0, str(workspace))
    try:
        found = find_spec(name.partition(":")[0])
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin or not Path(found.origin).is_file():
        raise ParamsError("no such module", where=name, remedy=f"put it into {workspace}, or install it")
    return Path(found.origin)


def _images(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ParamsError("no such folder", where=str(folder), remedy="batches.….filters.blocklist names it")
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def _checked(name: str, policy: Callable[..., object]) -> Policy:
    def ask(items: Items) -> list[str | None]:
        try:
            found = list(policy(items))  # type: ignore[call-overload]
        except Exception as error:
            raise GenloopError(
                f"the policy failed: {error!r}", where=name, remedy="mend it; nothing was delivered"
            ) from error
        if len(found) != len(items) or not all(reason is None or isinstance(reason, str) for reason in found):
            raise GenloopError(f"the policy did not say a text or None of each of {len(items)} items", where=name)
        return [None if reason is None else f"{name}: {reason[:REASON_CHARACTERS]}" for reason in found]

    return ask
