"""The roles of an installation, as moto enforces their rights.

What moto does not ask: conditions, whatever they say, count as met, so bucket policies are away while roles are tried,
and are looked at in test_applied.py; DeleteObjects is asked of the bucket and not of each object; HeadBucket is asked
of an action that AWS does not have. The last two are given beside the roles' own rights, to those that may delete, or
list, anyway. Of other services than S3 rights are asked of the resource `*` only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.adapters.store import ObjectSettings, S3Store
from tests.infra.installation import Installation, rights_enforced

ROLES = ["collector", "trainer", "publisher", "reviewer", "steward", "mlflow", "prefect", "worker"]
MAY_LIST = {
    "content": ["collector", "publisher", "reviewer", "steward"],
    "artifacts": ["collector", "trainer", "publisher", "steward", "mlflow"],
}
MAY_DELETE = {"content": ["reviewer", "steward"], "artifacts": ["steward"]}
OF_MOTO, ROOT = "as-moto-asks", "owner"


class People:
    """The roles, as moto enforces their rights."""

    def __init__(self, place: Installation, folder: Path, logins: dict[str, dict[str, str]]) -> None:
        self.place, self.folder, self._logins = place, folder, logins
        self.content, self.artifacts = (place.outputs["buckets"][name] for name in ("content", "artifacts"))

    def client(self, role: str, service: str = "s3") -> Any:
        return self.place.client(service, self._logins[role])

    def store(self, role: str, bucket: str = "") -> S3Store:
        settings = ObjectSettings(sse="aws:kms", tags={"team": "media"}, attempts=1)
        return S3Store(bucket or self.content, self.place.endpoint, self.file(role), settings)

    def stores(self, role: str) -> Callable[[str], S3Store]:
        kept = self.store(role)
        return lambda bucket: kept

    def file(self, role: str) -> Path:
        """Its credentials, as boto3 reads them."""
        names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
        lines = [f"{name.lower()} = {self._logins[role][name]}" for name in names]
        path = self.folder / role
        path.write_text("\n".join(["[default]", *lines]))
        return path

    def login(self, role: str) -> dict[str, str]:
        return self._logins[role]

    def root(self) -> Any:
        """A client that may all."""
        return self.client(ROOT)

    def may(self, role: str, action: str, bucket: str, key: str) -> bool:
        """Whether one request is answered."""
        client, named = self.client(role), {"Bucket": bucket, "Key": key}
        asked = {
            "get": lambda: client.get_object(**named),
            "put": lambda: client.put_object(**named, Body=b"1"),
            "delete": lambda: client.delete_object(**named),
            "delete version": lambda: client.delete_object(**named, VersionId="null"),
            "list": lambda: client.list_objects_v2(Bucket=bucket),
        }
        try:
            asked[action]()
            return True
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in ("AccessDenied", "403"):
                return False
            assert code in ("NoSuchKey", "NoSuchVersion", "InvalidArgument"), code
            return True


@pytest.fixture(scope="module")
def logins(emulator: Installation) -> Iterator[dict[str, dict[str, str]]]:
    """Of the roles. Bucket policies are away meanwhile, and what moto asks for in AWS's place is given."""
    emulator.apply()
    s3, iam, buckets = emulator.client("s3"), emulator.client("iam"), emulator.outputs["buckets"]
    policies = {name: s3.get_bucket_policy(Bucket=name)["Policy"] for name in buckets.values()}
    given = {role: _as_moto_asks(role, buckets) for role in ROLES}
    for name in policies:
        s3.delete_bucket_policy(Bucket=name)
    for role, document in given.items():
        if document:
            iam.put_role_policy(RoleName=f"genloop-{role}", PolicyName=OF_MOTO, PolicyDocument=document)
    try:
        yield {role: emulator.login(role) for role in ROLES} | {ROOT: _owner(iam)}
    finally:
        _disown(iam)
        for role, document in given.items():
            if document:
                iam.delete_role_policy(RoleName=f"genloop-{role}", PolicyName=OF_MOTO)
        for name, policy in policies.items():
            s3.put_bucket_policy(Bucket=name, Policy=policy)


@pytest.fixture
def people(emulator: Installation, logins: dict[str, dict[str, str]], tmp_path: Path) -> Iterator[People]:
    with rights_enforced(emulator):
        yield People(emulator, tmp_path, logins)


def _as_moto_asks(role: str, buckets: dict[str, str]) -> str:
    asked = [("s3:HeadBucket", of) for of, who in MAY_LIST.items() if role in who]
    asked += [("s3:DeleteObject", of) for of, who in MAY_DELETE.items() if role in who]
    return _document([(action, f"arn:aws:s3:::{buckets[of]}") for action, of in asked]) if asked else ""


def _owner(iam: Any) -> dict[str, str]:
    """Keys of somebody who may all."""
    iam.create_user(UserName=ROOT)
    iam.put_user_policy(UserName=ROOT, PolicyName=ROOT, PolicyDocument=_document([("*", "*")]))
    key = iam.create_access_key(UserName=ROOT)["AccessKey"]
    return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


def _disown(iam: Any) -> None:
    for key in iam.list_access_keys(UserName=ROOT)["AccessKeyMetadata"]:
        iam.delete_access_key(UserName=ROOT, AccessKeyId=key["AccessKeyId"])
    iam.delete_user_policy(UserName=ROOT, PolicyName=ROOT)
    iam.delete_user(UserName=ROOT)


def _document(allowed: list[tuple[str, str]]) -> str:
    told = [{"Effect": "Allow", "Action": action, "Resource": resource} for action, resource in allowed]
    return json.dumps({"Version": "2012-10-17", "Statement": told})
