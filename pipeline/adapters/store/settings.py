"""How objects are written to S3: what the bucket's owner asks of each."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote, urlencode

from pydantic import Field, model_validator

from pipeline.values import Value

PART_BYTES = 8 * 2**20  # of a multipart upload; S3 wants 5 MiB at least, and 10,000 parts at most
Acl = Literal["", "private", "bucket-owner-read", "bucket-owner-full-control", "authenticated-read", "public-read"]
Seconds = Annotated[float, Field(gt=0, le=900)]
TAGGED = r"^[\w +\-=.:/@]*$"  # characters that S3 takes in tags
TagName = Annotated[str, Field(min_length=1, max_length=128, pattern=TAGGED)]
TagValue = Annotated[str, Field(max_length=256, pattern=TAGGED)]


class ObjectSettings(Value):
    """Empty: as the bucket has it.

    sse, kms_key: encryption by the server; acl: `bucket-owner-full-control` gives objects to the bucket's owner;
    multipart_bytes: objects above this size go in parts, several at once; timeouts_s: to connect, and of silence;
    attempts: of each request, waiting longer each time, up to a minute in all.
    """

    sse: Literal["", "AES256", "aws:kms"] = ""
    kms_key: Annotated[str, Field(max_length=2048, pattern=r"^[A-Za-z0-9:/_-]*$")] = ""
    acl: Acl = ""
    storage_class: Annotated[str, Field(max_length=64, pattern=r"^[A-Z0-9_]*$")] = ""
    tags: Annotated[dict[TagName, TagValue], Field(max_length=10)] = {}
    multipart_bytes: Annotated[int, Field(ge=PART_BYTES, le=5 * 2**30)] = 32 * 2**20
    timeouts_s: tuple[Seconds, Seconds] = (3.0, 60.0)
    attempts: Annotated[int, Field(ge=1, le=10)] = 6

    @model_validator(mode="after")
    def _key_is_used(self) -> ObjectSettings:
        if self.kms_key and self.sse != "aws:kms":
            raise ValueError("kms_key should be empty unless sse is aws:kms")
        return self

    def arguments(self) -> dict[str, str]:
        """boto3's names for what is asked of each object that is written."""
        asked = {
            "ServerSideEncryption": self.sse,
            "SSEKMSKeyId": self.kms_key,
            "ACL": self.acl,
            "StorageClass": self.storage_class,
            "Tagging": urlencode(self.tags, quote_via=quote),
        }
        return {name: value for name, value in asked.items() if value}
