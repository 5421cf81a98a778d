"""`python -m tests.flows.dying NTH EVENT WORDS ARGUMENT…`: `genloop` that is killed at one moment.

It is the NTH event of that name (as Python audits them) that tells of these words, a part of a path. A file that is
opened to be written anew is emptied first, as a kill a moment later would leave it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from flows.cli import main


class Death:
    def __init__(self, nth: int, event: str, words: str) -> None:
        self.left, self.event, self.words = nth, event, words

    def hook(self, event: str, details: tuple[Any, ...]) -> None:
        if event != self.event or self.words not in " ".join(map(str, details)):
            return
        emptied = event == "open" and details[2] & os.O_TRUNC
        if event == "open" and not emptied:
            return
        self.left -= 1
        if self.left == 0:
            if emptied:
                os.close(os.open(details[0], os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    sys.addaudithook(Death(int(sys.argv[1]), *sys.argv[2:4]).hook)
    sys.argv[1:4] = []
    main()
