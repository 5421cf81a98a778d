"""The review page of a workspace with all that it takes, and feedback out of files and of other systems."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from flows import wiring
from flows.candidates import Candidates
from flows.enrolling import enroll_new, kept_enrolled
from pipeline.environment import Environment
from pipeline.errors import SourceError
from pipeline.files import sha256_file
from pipeline.settings import Params

if TYPE_CHECKING:
    from pipeline.adapters.ratings import Ratings
    from pipeline.review.events import Events

SECRET = Path("var/review/secret")


class Wanted(NamedTuple):
    """As `genloop review` takes it."""

    batch: str
    host: str
    port: int
    proxy: tuple[str, ...]
    header: str
    https: bool
    certificate: Path | None
    key: Path | None


def serve_review(root: Path, params: Params, wanted: Wanted) -> None:
    """Until it is stopped. Batches that are committed are taken into review first."""
    from pipeline.review.app import Tls, make_app, serve
    from pipeline.review.serving import Proxy, Serving, secret_of
    from pipeline.review.withdrawals import withdrawer

    proxy = Proxy.model_validate({"header": wanted.header, "addresses": wanted.proxy}) if wanted.proxy else None
    with wiring.environment_for_run(root, ("s3",)) as services, wiring.ratings(root) as ratings:
        services.wait()
        wiring.store().check()
        enroll_new(params, ratings)
        serving = Serving.model_validate(
            {
                "secret": secret_of(root / SECRET),
                "review": params.review,
                "local": getpass.getuser(),
                "proxy": proxy,
                "secure": wanted.https or wanted.certificate is not None,
            }
        )
        withdraw = withdrawer(wiring.stores, wiring.signer(root), wiring.trusted_certificates(root))
        models = Candidates(root, params.promote.name)
        app = make_app(ratings, wiring.stores, serving, withdraw, events_of(ratings), models)
        tls = Tls(wanted.certificate, wanted.key) if wanted.certificate and wanted.key else None
        scheme = "https" if tls else "http"
        page = f"batches/{wanted.batch}" if wanted.batch else ""
        print(f"{scheme}://{wanted.host}:{wanted.port}/{page}  (stop it with Ctrl-C)", file=sys.stderr, flush=True)
        with kept_enrolled(params, ratings):
            serve(app, wanted.host, wanted.port, tls)


def events_of(ratings: Ratings) -> Events | None:
    """None where no secret is set that bodies could be signed with."""
    from pipeline.review.events import signed_events

    secrets = [one for one in Environment().events_secret.get_secret_value().split(",") if one]
    return signed_events(ratings, secrets) if secrets else None


def import_file(ratings: Ratings, where: str) -> dict[str, Any]:
    """Numbers of rows, and under which name refused ones are kept. Raises SourceError where there is no such file."""
    from pipeline.feedback.imports import read_feedback

    if "://" in where:
        import fsspec

        try:
            with fsspec.open(where, "rb") as file:
                name = where.rpartition("/")[2]
                return {"file": name, **ratings.import_rows(name, read_feedback(file, name))}
        except (OSError, ValueError, ImportError) as error:
            raise SourceError(f"can't be read: {error}", where=where, remedy="check the address") from None
    path = Path(where)
    if not path.is_file():
        raise SourceError("there is no such file", where=where, remedy="check the path")
    name = f"{path.name} {sha256_file(path)[:8]}"
    return {"file": name, **ratings.import_rows(name, read_feedback(path, path.name))}
