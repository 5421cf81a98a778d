"""By which certificates what is ours is told."""

from __future__ import annotations

from pathlib import Path

from pipeline.environment import SIGNING, Environment
from pipeline.errors import ParamsError
from pipeline.marks.self_made import certificates_made
from pipeline.marks.signer import SignerSettings, make_signer


def signer_settings() -> SignerSettings:
    """As the environment has it."""
    environment = Environment()
    return SignerSettings(
        key=environment.signing_key,
        key_file=environment.signing_key_file,
        certificates=environment.signing_certificates,
        callback=environment.signer,
    )


def own_certificates(workspace: Path) -> bytes:
    """Chains in PEM: of the signer that the environment names, and every test certificate that was made here.

    None where nothing was signed. Raises ParamsError where what the environment names can't be read.
    """
    settings = signer_settings()
    found = [certificates_made(workspace / SIGNING)]
    if settings.callback:
        found.append(make_signer(settings, workspace / SIGNING).certificates)
    elif settings.certificates:
        try:
            found.append(settings.certificates.read_bytes())
        except OSError as error:
            where = f"GENLOOP_SIGNING_CERTIFICATES {settings.certificates}"
            raise ParamsError(f"can't be read: {error.strerror}", where=where, remedy="mend the path") from None
    return b"\n".join(filter(None, found))
