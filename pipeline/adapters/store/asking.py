"""Requests to one bucket: tried again while that can help, and told in one line where it can't."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.adapters.store.client import connect, session
from pipeline.adapters.store.failures import NO_S3, Failure, code, explain, is_known, is_lost, is_page, plain
from pipeline.adapters.store.settings import ObjectSettings
from pipeline.errors import ServiceError

FIRST_WAIT_S = 0.05
# What every good answer has. Where one is missing a web page answered, or the answer's end was lost: http.client
# takes headers that break off for whole ones.
ANSWERED = {
    "put_object": {"ETag"},
    "get_object": {"ETag", "ContentLength"},
    "head_object": {"ETag", "ContentLength"},
    "list_objects_v2": {"IsTruncated"},
}


class Refusal(NamedTuple):
    """An answer that says no. retried: an earlier request may have done the work, and its answer was lost."""

    code: str
    retried: bool


class Lost(Exception):
    """An answer that broke off or was damaged, or came for what an earlier request had done: worth another attempt."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


class Bucket:
    def __init__(self, name: str, endpoint: str, credentials: Path | None, settings: ObjectSettings) -> None:
        self.name = name
        self._attempts = settings.attempts
        self._where = f"s3://{name}" + (f" at {plain(endpoint)}" if endpoint else "")
        self._session = session(credentials)
        self._client = connect(self._session, endpoint, settings)

    def call(self, name: str, passes: Collection[str] = (), **arguments: Any) -> Any:
        """The answer, its body read; a Refusal for a code that `passes`. Raises ServiceError."""
        failure, retried = NO_S3, False
        for _ in self.attempts():
            try:
                answer = self.ask(name, passes=passes, Bucket=self.name, **arguments)
                if isinstance(answer, Refusal):
                    return answer._replace(retried=answer.retried or retried)
                if ANSWERED.get(name, set()) <= answer.keys():
                    return answer
            except Lost as lost:
                failure = lost.failure
            retried = True
        raise self.error(name, failure)

    def ask(self, name: str, *values: Any, passes: Collection[str] = (), **arguments: Any) -> Any:
        """Once, with boto3's own retries. Raises Lost, or ServiceError without what botocore raised: that has
        the whole answer."""
        try:
            answer = getattr(self._client, name)(*values, **arguments)
            if isinstance(answer, dict) and "Body" in answer:
                answer["Body"] = _read(answer["Body"])
            return answer
        except Exception as error:
            if (named := code(error)) in passes and (name == "head_object" or not is_page(error)):
                return Refusal(named, error.response["ResponseMetadata"].get("RetryAttempts", 0) > 0)  # type: ignore[attr-defined]
            if not is_known(error):
                raise
            failure, lost = explain(error, self._secrets), is_lost(error)
        raise Lost(failure) if lost else self.error(name, failure)

    def attempts(self) -> Iterator[int]:
        """Of what boto3 does not try again; waits before each but the first."""
        yield 0
        for i in range(self._attempts - 1):
            time.sleep(FIRST_WAIT_S * 2**i)
            yield i + 1

    def _secrets(self) -> list[str]:
        from botocore.exceptions import BotoCoreError

        with suppress(BotoCoreError):
            if credentials := self._session.get_credentials():
                frozen = credentials.get_frozen_credentials()
                return [secret for secret in (frozen.access_key, frozen.secret_key, frozen.token) if secret]
        return []

    def error(self, name: str, failure: Failure) -> ServiceError:
        return ServiceError(f"S3 did not do {name}: {failure.what}", where=self._where, remedy=failure.remedy)


def _read(stream: Any) -> bytes:
    """The body, whose length botocore compares with what was announced."""
    from botocore.exceptions import ReadTimeoutError, ResponseStreamingError

    try:
        return bytes(stream.read())
    except ReadTimeoutError:  # before the body it is boto3 that asks again, here nobody would
        raise ResponseStreamingError(error="silence") from None
