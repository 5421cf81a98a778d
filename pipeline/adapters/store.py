"""Object stores: S3, and a folder in the same shape."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from pipeline.errors import ServiceError
from pipeline.files import replacing, write_new


class Store(Protocol):
    """Keys are relative paths with slashes."""

    def put(self, key: str, data: bytes, content_type: str) -> None: ...

    def put_new(self, key: str, data: bytes, content_type: str) -> bool:
        """Write unless the key is there already; False if it was.

        An S3 that ignores conditions (rclone's, the embedded one) always writes: never use it as a lock, only
        for objects whose content is the same whoever writes them.
        """
        ...

    def get(self, key: str) -> bytes | None: ...

    def keys(self, prefix: str) -> Iterator[str]:
        """Those that begin so, in order."""
        ...

    def check(self) -> None:
        """Return if the store can be used. Raises ServiceError."""
        ...

    def uri(self, key: str) -> str: ...


class FolderStore:
    """Objects as files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def put(self, key: str, data: bytes, content_type: str) -> None:
        with replacing(self._path(key)) as temporary:
            temporary.write_bytes(data)

    def put_new(self, key: str, data: bytes, content_type: str) -> bool:
        return write_new(self._path(key), data)

    def get(self, key: str) -> bytes | None:
        path = self._path(key)
        return path.read_bytes() if path.is_file() else None

    def keys(self, prefix: str) -> Iterator[str]:
        files = (path for path in self.folder.rglob("*") if path.is_file() and not path.name.startswith("."))
        found = (path.relative_to(self.folder).as_posix() for path in files)
        yield from sorted(key for key in found if key.startswith(prefix))

    def check(self) -> None:
        if not self.folder.is_dir():
            raise ServiceError("no such folder", where=str(self.folder), remedy="make it")

    def uri(self, key: str) -> str:
        return self._path(key).as_uri()

    def _path(self, key: str) -> Path:
        path = (self.folder / key).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError(f"key {key!r} leaves the store")
        return path


class S3Store:
    """One bucket, through boto3 with timeouts, adaptive retries and checksums where the server asks for them.

    `credentials`: a file of boto3's kind whose default profile is used, in place of what the environment has.
    """

    def __init__(self, bucket: str, endpoint: str = "", credentials: Path | None = None) -> None:
        from botocore.config import Config

        self.bucket = bucket
        self._where = f"s3://{bucket}" + (f" at {endpoint}" if endpoint else "")
        config = Config(
            signature_version="s3v4",
            connect_timeout=3,
            read_timeout=60,
            retries={"mode": "adaptive", "total_max_attempts": 4},  # 4 s on average until nobody answers
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            self._client: Any = _session(credentials).client("s3", endpoint_url=endpoint or None, config=config)
        except ValueError as error:
            raise ServiceError(str(error), where="GENLOOP_S3_ENDPOINT", remedy="give one like https://host") from None

    def put(self, key: str, data: bytes, content_type: str) -> None:
        self._call("put_object", Key=key, Body=data, ContentType=content_type)

    def put_new(self, key: str, data: bytes, content_type: str) -> bool:
        from botocore.exceptions import ClientError

        try:
            self._call("put_object", Key=key, Body=data, ContentType=content_type, IfNoneMatch="*")
            return True
        except ServiceError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "PreconditionFailed":
                return False
            raise

    def get(self, key: str) -> bytes | None:
        from botocore.exceptions import ClientError

        try:
            return bytes(self._call("get_object", Key=key)["Body"].read())
        except ServiceError as error:
            cause = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] in ("NoSuchKey", "404"):
                return None
            raise

    def keys(self, prefix: str) -> Iterator[str]:
        token: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", Prefix=prefix, **token)
            yield from (entry["Key"] for entry in page.get("Contents", ()))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def check(self) -> None:
        self.get("batches/")

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def _call(self, name: str, **arguments: Any) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return getattr(self._client, name)(Bucket=self.bucket, **arguments)
        except (BotoCoreError, ClientError) as error:
            remedy = "`genloop doctor` tells what works; check GENLOOP_S3_ENDPOINT, GENLOOP_BUCKET and the credentials"
            text = " ".join(str(error).split())
            raise ServiceError(f"S3 did not do {name}: {text}", where=self._where, remedy=remedy) from error


def _session(credentials: Path | None) -> Any:
    import boto3
    from botocore.session import Session

    if credentials is None:
        return boto3.Session()
    session = Session(profile="default")  # a profile that is named goes before AWS_ACCESS_KEY_ID
    session.set_config_variable("credentials_file", str(credentials))
    return boto3.Session(botocore_session=session, region_name="us-east-1")
