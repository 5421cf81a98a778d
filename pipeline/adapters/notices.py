"""Messages to people, by webhook, chat or e-mail: addresses as Apprise reads them, from the environment only."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.errors import ParamsError


def send(addresses: Sequence[str], title: str, text: str) -> bool:
    """Whether every address took it. Raises ParamsError where one can't be read; it is not shown, as it may hold a
    password."""
    import apprise

    sender = apprise.Apprise()
    for number, address in enumerate(addresses, 1):
        if not sender.add(address):
            what = f"the {number}. address of GENLOOP_NOTIFY can't be read"
            raise ParamsError(what, remedy="see the list of Apprise, such as mailto://, slack://, json://")
    return bool(sender.notify(body=text, title=title, body_format=apprise.NotifyFormat.TEXT))
