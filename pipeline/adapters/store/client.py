"""boto3's client as the stores use it: retries that end soon where nobody listens, and MD5 for what is written."""

from __future__ import annotations

import base64
import hashlib
import logging
from pathlib import Path
from typing import Any

from pipeline.adapters.store.failures import plain
from pipeline.adapters.store.settings import ObjectSettings
from pipeline.errors import ServiceError

UNREACHED_ATTEMPTS = {"EndpointConnectionError": 4, "ConnectTimeoutError": 2}  # 4 s and 7 s on average
SILENT_ATTEMPTS = {"ReadTimeoutError": 3}
CONNECTIONS = 32


def session(credentials: Path | None) -> Any:
    """boto3's session. credentials: a file of boto3's kind whose default profile is used, in place of what the
    environment has. Raises ServiceError where there is none in it."""
    import boto3
    from botocore.exceptions import BotoCoreError
    from botocore.session import Session

    if credentials is None:
        return boto3.Session()
    named = Session(profile="default")  # a profile that is named goes before AWS_ACCESS_KEY_ID
    named.set_config_variable("credentials_file", str(credentials))
    try:
        return boto3.Session(botocore_session=named, region_name="us-east-1")
    except BotoCoreError:
        told, remedy = "there are no credentials of a profile [default] in it", "mend or unset GENLOOP_S3_CREDENTIALS"
        raise ServiceError(told, where=str(credentials), remedy=remedy) from None


def connect(session: Any, endpoint: str, settings: ObjectSettings) -> Any:
    """A client for threads to share. Raises ServiceError for what can't be an address."""
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    _hush()
    config = Config(
        signature_version="s3v4",
        connect_timeout=settings.timeouts_s[0],
        read_timeout=settings.timeouts_s[1],
        retries={"mode": "adaptive", "total_max_attempts": settings.attempts},
        max_pool_connections=CONNECTIONS,
        request_checksum_calculation="when_required",  # MD5 is ours: rclone looks at no other checksum
        response_checksum_validation="when_required",  # rclone gives the whole object's for a range
    )
    try:
        client: Any = session.client("s3", endpoint_url=endpoint or None, config=config)
    except ValueError:
        where, told = "GENLOOP_S3_ENDPOINT", f"Invalid endpoint: {plain(endpoint)}"
        raise ServiceError(told, where=where, remedy="give one like https://host") from None
    except BotoCoreError as error:
        told, remedy = f"boto3 can't be set up: {type(error).__name__}", "check AWS_PROFILE and the files in ~/.aws"
        raise ServiceError(told, where=plain(endpoint), remedy=remedy) from None
    for operation in ("PutObject", "UploadPart", "DeleteObjects"):
        client.meta.events.register(f"before-call.s3.{operation}", _add_md5)
    client.meta.events.register_first("needs-retry.s3", _give_up_early)
    return client


def _hush() -> None:
    """botocore's debug lines have whole requests, signatures with them: not unless it is asked for by name."""
    logger = logging.getLogger("botocore")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)


def _add_md5(params: dict[str, Any], **_: Any) -> None:
    """The one checksum of a body that all servers check (RFC 1864)."""
    body, digest = params["body"], hashlib.md5(usedforsecurity=False)
    if hasattr(body, "read"):
        start = body.tell()
        while chunk := body.read(2**20):
            digest.update(chunk)
        body.seek(start)
    else:
        digest.update(body)
    params["headers"]["Content-MD5"] = base64.b64encode(digest.digest()).decode()


def _give_up_early(
    attempts: int, operation: Any, response: tuple[Any, Any] | None, caught_exception: BaseException | None, **_: Any
) -> None:
    """A server that fails is worth many attempts; one that is not there only a few."""
    from botocore.exceptions import ClientError

    if caught_exception is not None:
        limits = UNREACHED_ATTEMPTS | SILENT_ATTEMPTS
        if attempts >= limits.get(type(caught_exception).__name__, attempts + 1):
            raise caught_exception
    if response is not None and operation.name == "HeadBucket" and response[0].status_code in (301, 307):
        raise ClientError(response[1], operation.name)  # else botocore asks for the region by HeadBucket, without end
