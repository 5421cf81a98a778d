"""Tells people what only they can do, once: a model that waits, a run that failed, reviews that are wanted."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from flows.names import name_of
from pipeline.environment import Environment
from pipeline.errors import GenloopError
from pipeline.files import sha256_json, write_json
from pipeline.log import say

SENT = Path("var/notices.json")
AGAIN_S = 24 * 3600.0  # the same is told again after a day


def tell_people(workspace: Path, title: str, text: str) -> bool:
    """Whether it was sent now. What can't be sent is said on stderr and stops nothing; the next time it is tried again.

    title: what there is to do, the same each time; by it a notice is known.
    """
    addresses = [one for one in Environment().notify.get_secret_value().split() if one]
    sent = _sent(workspace)
    key, now = sha256_json([title, addresses])[:16], time.time()
    if not addresses or now - sent.get(key, 0.0) < AGAIN_S:
        return False
    try:
        from pipeline.adapters.notices import send

        done = send(addresses, f"genloop {name_of(workspace)}: {title}", text)
        told = "not every address took it"
    except GenloopError as error:
        done, told = False, str(error)
    if done:
        write_json(workspace / SENT, {k: at for k, at in sent.items() if now - at < AGAIN_S} | {key: now})
    else:
        say(f"a notice could not be sent ({title}): {told}", logging.WARNING)
    return done


def _sent(workspace: Path) -> dict[str, float]:
    try:
        return dict(json.loads((workspace / SENT).read_text()))
    except (OSError, ValueError):
        return {}
