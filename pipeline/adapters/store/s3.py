"""One bucket of an S3, through boto3."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from pipeline.adapters.store import lifecycle
from pipeline.adapters.store.asking import Bucket, Lost, Refusal
from pipeline.adapters.store.failures import NO_S3, Failure
from pipeline.adapters.store.interface import Head, Listed, check_expiry, check_key, check_range
from pipeline.adapters.store.settings import PART_BYTES, ObjectSettings
from pipeline.errors import ServiceError

DELETED_AT_ONCE = 1000  # S3's limit
UPLOADING_THREADS = 4
MARK = "genloop-write"  # in an object's metadata: which call of `put_new` wrote it
ABSENT = ("NoSuchKey", "404")
TAKEN = ("PreconditionFailed", "412")
UNDER_WAY = ("ConditionalRequestConflict", "409")
NO_RULES = ("BucketAlreadyExists", "NotImplemented", "MethodNotAllowed", "501", "405")  # the first is rclone's answer


class S3Store:
    """Every request is tried again as `settings` say; what an S3 has confirmed was checked there by its MD5."""

    def __init__(
        self, bucket: str, endpoint: str = "", credentials: Path | None = None, settings: ObjectSettings | None = None
    ) -> None:
        self.bucket = bucket
        self.settings = settings or ObjectSettings()
        self._endpoint, self._credentials = endpoint, credentials
        self._bucket = Bucket(bucket, endpoint, credentials, self.settings)
        self._conditional: bool | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """For worker processes, each of which has one client."""
        return _opened, (self.bucket, self._endpoint, self._credentials, self.settings.model_dump_json())

    def put(self, key: str, data: bytes, content_type: str) -> None:
        check_key(key)
        asked = {"ContentType": content_type, **self.settings.arguments()}
        if len(data) > self.settings.multipart_bytes:
            self._upload(key, data, asked)
        else:
            self._bucket.call("put_object", Key=key, Body=data, **asked)

    def put_new(self, key: str, data: bytes, content_type: str) -> bool:
        """Never in parts, so for at most 5 GiB."""
        check_key(key)
        mark = uuid.uuid4().hex
        asked = {"ContentType": content_type, "Metadata": {MARK: mark}, "IfNoneMatch": "*", **self.settings.arguments()}
        for _ in self._bucket.attempts():
            answer = self._bucket.call("put_object", passes=TAKEN + UNDER_WAY, Key=key, Body=data, **asked)
            if not isinstance(answer, Refusal):
                return True
            if answer.code in TAKEN:
                return answer.retried and self._is_mine(key, data, mark)
        raise self._bucket.error("put_object", Failure("another write of this key does not end", "run again"))

    def get(self, key: str) -> bytes | None:
        answer = self._bucket.call("get_object", passes=ABSENT, Key=key)
        return None if isinstance(answer, Refusal) else bytes(answer["Body"])

    def get_range(self, key: str, start: int, end: int) -> bytes | None:
        check_range(start, end)
        passes = (*ABSENT, "InvalidRange", "416")
        answer = self._bucket.call("get_object", passes=passes, Key=key, Range=f"bytes={start}-{end - 1}")
        if isinstance(answer, Refusal):
            return None if answer.code in ABSENT else b""  # begins behind the object's end
        data = bytes(answer["Body"])
        return data if "ContentRange" in answer else data[start:end]  # a server may ignore the range

    def head(self, key: str) -> Head | None:
        answer = self._bucket.call("head_object", passes=ABSENT, Key=key)
        if isinstance(answer, Refusal):
            self._bucket.call("head_bucket")  # the same answer is given where the bucket is not there
            return None
        return Head(answer["ContentLength"], answer["ETag"].strip('"'))

    def delete(self, keys: Iterable[str]) -> None:
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), DELETED_AT_ONCE):
            left = wanted[start : start + DELETED_AT_ONCE]
            for _ in self._bucket.attempts():
                answer = self._bucket.call("delete_objects", Delete={"Objects": [{"Key": key} for key in left]})
                gone = {entry["Key"] for entry in answer.get("Deleted", ())}
                left = [key for key in left if key not in gone]
                if not left:
                    break
            else:
                codes = sorted({re.sub(r"\W", "", str(fault.get("Code"))) for fault in answer.get("Errors", ())})
                told = f"{len(left)} objects are not deleted: {', '.join(codes)[:100] or 'no reason is told'}"
                raise self._bucket.error("delete_objects", Failure(told, "check the right to delete, then run again"))

    def keys(self, prefix: str) -> Iterator[str]:
        return (key for key, _ in self.files(prefix))

    def files(self, prefix: str) -> Iterator[tuple[str, int]]:
        return ((key, size) for key, size, _ in self.listed(prefix))

    def listed(self, prefix: str) -> Iterator[Listed]:
        token: dict[str, str] = {}
        while True:
            page = self._bucket.call("list_objects_v2", Prefix=prefix, **token)
            for entry in page.get("Contents", ()):
                # One whose age is not told is as young as can be: nothing takes it away for its age.
                yield Listed(entry["Key"], entry["Size"], entry.get("LastModified") or datetime.now(UTC))
            if not page["IsTruncated"]:
                return
            following = page.get("NextContinuationToken")
            if not following or following == token.get("ContinuationToken"):
                raise self._bucket.error("list_objects_v2", Failure("its listing never ends", "look at that server"))
            token = {"ContinuationToken": following}

    def is_conditional(self) -> bool:
        if self._conditional is None:
            key = f"probes/{uuid.uuid4().hex}"
            self.put(key, b"whether this S3 refuses a second write", "text/plain")
            second = {"Key": key, "Body": b"it does not", "IfNoneMatch": "*", **self.settings.arguments()}
            answer = self._bucket.call("put_object", passes=(*TAKEN, *NO_RULES), **second)
            self._conditional = isinstance(answer, Refusal) and answer.code in TAKEN
            with suppress(ServiceError):  # who may not delete can know it all the same
                self.delete([key])
        return self._conditional

    def presigned(self, key: str, expires_s: int) -> str:
        check_expiry(expires_s)
        wanted = {"Bucket": self.bucket, "Key": key}
        return str(self._bucket.ask("generate_presigned_url", "get_object", Params=wanted, ExpiresIn=expires_s))

    def lifecycle_rules(self, days: Mapping[str, int]) -> None:
        """Not safely by two at once: S3 takes all rules of a bucket at a time, without a condition."""
        known = self._rules()
        rules = lifecycle.merged(known.get("Rules", []), days)
        if lifecycle.same(rules, known.get("Rules", [])):
            return
        if rules:
            name = "TransitionDefaultMinimumObjectSize"
            size = {name: known[name]} if name in known else {}
            self._bucket.call(
                "put_bucket_lifecycle_configuration", NO_RULES, LifecycleConfiguration={"Rules": rules}, **size
            )
        else:
            self._bucket.call("delete_bucket_lifecycle", NO_RULES)
        if not lifecycle.same(rules, self._rules().get("Rules", [])):
            told = Failure("this server keeps no lifecycle rules", "delete what is old, or use an S3 that has them")
            raise self._bucket.error("put_bucket_lifecycle_configuration", told)

    def check(self) -> None:
        self._bucket.call("list_objects_v2", MaxKeys=1)

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def _rules(self) -> dict[str, Any]:
        absent = ("NoSuchLifecycleConfiguration", *NO_RULES)
        answer = self._bucket.call("get_bucket_lifecycle_configuration", absent)
        return {} if isinstance(answer, Refusal) else answer

    def _is_mine(self, key: str, data: bytes, mark: str) -> bool:
        """Whether this call wrote what is there; a server that keeps no metadata is judged by the bytes alone."""
        answer = self._bucket.call("get_object", passes=ABSENT, Key=key)
        if isinstance(answer, Refusal):
            return False
        return bool(answer["Body"] == data and answer.get("Metadata", {}).get(MARK, mark) == mark)

    def _upload(self, key: str, data: bytes, asked: Mapping[str, Any]) -> None:
        """In parts. boto3's transfer manager takes them for written whatever is answered, so the size is looked at."""
        from boto3.s3.transfer import TransferConfig

        transfer = TransferConfig(
            multipart_threshold=1, multipart_chunksize=PART_BYTES, max_concurrency=UPLOADING_THREADS
        )
        failure = NO_S3
        for _ in self._bucket.attempts():
            try:
                body = BytesIO(data)
                self._bucket.ask("upload_fileobj", body, self.bucket, key, ExtraArgs=dict(asked), Config=transfer)
            except Lost as lost:
                failure = lost.failure
                continue
            if (head := self.head(key)) and head.size == len(data):
                return
        raise self._bucket.error("upload_fileobj", failure)


@cache
def _opened(bucket: str, endpoint: str, credentials: Path | None, settings: str) -> S3Store:
    return S3Store(bucket, endpoint, credentials, ObjectSettings.model_validate_json(settings))
