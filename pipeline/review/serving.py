"""How the review page is served: to whom, from where, how much."""

from __future__ import annotations

import ipaddress
import os
import secrets
import stat
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, PositiveInt, SecretBytes

from pipeline.errors import ParamsError
from pipeline.feedback_params import Review
from pipeline.values import Value

SECRET_BYTES = 32
MiB = 2**20


def _rate(text: str) -> str:
    from limits import parse

    try:
        parse(text)
    except ValueError:
        raise ValueError("should be such as 20/minute") from None
    return text


def _network(text: str) -> str:
    return str(ipaddress.ip_network(text))


Rate = Annotated[str, AfterValidator(_rate)]
Network = Annotated[str, AfterValidator(_network)]


class Proxy(Value):
    """A server in front that tells, in a header, who is asking. addresses: networks whose word for it is taken.

    It has to take that header off what others send.
    """

    header: str = Field("X-Forwarded-User", pattern=r"^[A-Za-z][A-Za-z0-9-]{0,63}$")
    addresses: tuple[Network, ...] = Field(min_length=1)

    def trusts(self, address: str) -> bool:
        try:
            asking = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(asking in ipaddress.ip_network(network) for network in self.addresses)


class Rates(Value):
    """login: tries that fail, by address; name: the same, by the name that is tried; session: requests of one
    session, or of one address without any; images: by address.
    """

    login: Rate = "20/minute"
    name: Rate = "10/minute"
    session: Rate = "1200/minute"
    images: Rate = "12000/minute"


class Serving(Value):
    """secret: signs sessions and addresses of images; local: who is let in without a token, as an expert, on this
    machine only and while nobody has one, or nobody. secure: it is served over HTTPS by a server in front.
    session_s, image_s: how long they last. cache_bytes: of parts of batches that are kept in memory.
    """

    secret: SecretBytes = Field(min_length=SECRET_BYTES)
    review: Review = Review()
    local: str = ""
    proxy: Proxy | None = None
    secure: bool = False
    session_s: PositiveInt = 12 * 3600
    image_s: PositiveInt = 600
    cache_bytes: PositiveInt = 256 * MiB
    body_bytes: PositiveInt = MiB
    rates: Rates = Rates()


def secret_of(file: Path) -> bytes:
    """What signs sessions, made on first use and read by its owner only: sessions outlive a restart by it.

    Raises ParamsError where others may read it or it is too short.
    """
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return _kept_secret(file)
    except FileNotFoundError:
        file.parent.mkdir(parents=True)
        return secret_of(file)
    made = secrets.token_bytes(SECRET_BYTES)
    with os.fdopen(handle, "wb") as out:
        out.write(made)
        out.flush()
        os.fsync(out.fileno())
    return made


def _kept_secret(file: Path) -> bytes:
    if file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ParamsError("others may read what signs sessions", where=str(file), remedy="chmod 600, or delete it")
    kept = file.read_bytes()
    if len(kept) < SECRET_BYTES:
        raise ParamsError("is too short for a secret", where=str(file), remedy="delete it; all log in again")
    return kept


def is_loopback(host: str) -> bool:
    """Whether a name or an address, with a port or without, is this machine's own."""
    bare = host.rpartition(":")[0] if host.count(":") == 1 or "]:" in host else host
    bare = bare.strip("[]")
    try:
        return ipaddress.ip_address(bare).is_loopback
    except ValueError:
        return bare.lower() == "localhost"
