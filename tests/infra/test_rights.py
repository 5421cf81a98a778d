"""Each role does what it is for, with this project's own code, and nothing else: moto asks IAM of every request.

What moto does not ask, seen here: conditions, whatever they say, count as met (so bucket policies are off while roles
are tried, and are looked at in test_terraform.py); DeleteObjects is asked of the bucket and not of each object;
HeadBucket is asked of an action that AWS does not have. The last two are given beside the roles' own rights, to those
that may delete, or list, anyway.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from pipeline.adapters.store import ObjectSettings, S3Store
from pipeline.errors import ServiceError
from pipeline.generate.batches import COMMIT, batches, find_batch, home, read_manifest
from pipeline.generate.known import note_batches, unnoted
from pipeline.generate.release import Withdrawal
from pipeline.generate.verify import verify_batch
from pipeline.generate.withdraw import withdraw_batch, withdraw_item
from pipeline.generated import noted
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.settings import SIGNING
from pipeline.values import Batch
from tests.contract.delivering import delivered
from tests.infra.installation import Installation, rights_enforced

pytestmark = [pytest.mark.xdist_group("terraform"), pytest.mark.slow]

MAY_LIST = {
    "content": ["collector", "publisher", "reviewer", "steward"],
    "artifacts": ["collector", "trainer", "publisher", "steward", "mlflow"],
}
MAY_DELETE = {"content": ["reviewer", "steward"], "artifacts": ["steward"]}
ROOT_FOLDER = Path(__file__).parents[2]
OF_MOTO, ROOT = "as-moto-asks", "owner"
WHY = Withdrawal(at="2026-11-25T00:00:00+00:00", by="me", why="looks like someone")


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


def published(people: People, **asked: object) -> Batch:
    return delivered(people.folder, people.stores("publisher"), **asked)[1]  # type: ignore[arg-type]


def certificates(people: People) -> bytes:
    return make_signer(SignerSettings(), people.folder / SIGNING).certificates


PLACES = {
    "index": ("content", "index/b.json"),
    "commit": ("content", "batches/b/_COMMITTED.json"),
    "record": ("content", "batches/b/record.json"),
    "manifest": ("content", "batches/b/manifest.json"),
    "items": ("content", "batches/b/items/part-00000.parquet"),
    "image": ("content", "batches/b/data/part-00000.parquet"),
    "notice": ("content", "batches/b/notices/n.json"),
    "withdrawn": ("content", "batches/b/withdrawn.json"),
    "elsewhere": ("content", "other/x"),
    "version": ("artifacts", "dvc/files/md5/aa/bb"),
    "bundle": ("artifacts", "mlflow/1/r/artifacts/model/weights"),
    "preference": ("artifacts", "mlflow/1/r/artifacts/preference/weights"),
    "aside": ("artifacts", "other/x"),
}
BATCH = "index commit record manifest items image notice withdrawn"
RIGHTS = {
    "collector": {"get": "index commit manifest items version", "put": "version"},
    "trainer": {"get": "version bundle preference", "put": "bundle preference"},
    "publisher": {
        "get": f"{BATCH} bundle preference",
        "put": "index commit record manifest items image preference",
        "delete": "items image",
    },
    "reviewer": {"get": BATCH, "put": BATCH.removeprefix("index "), "delete": "commit items image"},
    "steward": {
        "get": f"{BATCH} version bundle preference",
        "put": "notice version",
        "delete": f"{BATCH} version bundle preference",
        "delete version": f"{BATCH} version bundle preference",
    },
    "mlflow": {"get": "bundle preference"},
    "prefect": {},
    "worker": {},
}
ROLES = list(RIGHTS)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_what_is_named_here_and_nothing_else(people: People, role: str) -> None:
    for action in ("get", "put", "delete", "delete version"):
        may = {name for name, (of, key) in PLACES.items() if people.may(role, action, getattr(people, of), key)}
        assert may == set(RIGHTS[role].get(action, "").split()), action
    lists = {of for of in MAY_LIST if people.may(role, "list", getattr(people, of), "")}
    assert lists == {of for of, roles in MAY_LIST.items() if role in roles}


def test_who_publishes_delivers_and_who_reviews_withdraws(people: People) -> None:
    batch = published(people)
    assert verify_batch(people.store("publisher"), batch, certificates(people)).good
    store, signer = people.store("reviewer"), make_signer(SignerSettings(), people.folder / SIGNING)
    assert find_batch(people.stores("reviewer"), batch.id) == batch
    item = f"{batch.id}-00000003"
    withdraw_item(store, batch, item, WHY.model_copy(update={"item": item}), signer, certificates(people))
    (left,) = [one for one in batches(people.stores("reviewer")) if one.id == batch.id]
    assert verify_batch(store, left, certificates(people)).items == batch.items - 1
    withdraw_batch(store, left, WHY, signer, certificates(people))
    assert all(one.id != batch.id for one in batches(people.stores("reviewer")))
    assert not list(store.keys(f"{home(batch)}/data/")) and read_manifest(store, batch)


def test_who_publishes_can_not_withdraw_and_who_reviews_can_not_publish(people: People) -> None:
    batch = published(people, seed=1)
    signer = make_signer(SignerSettings(), people.folder / SIGNING)
    with pytest.raises(ServiceError, match="access denied"):
        withdraw_batch(people.store("publisher"), batch, WHY, signer, certificates(people))
    assert people.store("reviewer").head(f"{home(batch)}/{COMMIT}")
    with pytest.raises(ServiceError, match="access denied"):
        delivered(people.folder, people.stores("reviewer"), seed=2)
    assert {one.id for one in batches(people.stores("publisher"))} >= {batch.id}


def test_who_collects_knows_its_own_images_by_lists_alone(people: People) -> None:
    batch, folder = published(people, seed=3), people.folder / "generated"
    new = [one for one in unnoted(people.stores("collector"), folder) if one.id == batch.id]
    note_batches(people.stores("collector"), folder, new, lambda done: None)
    assert noted(folder) == [batch.id]
    (image, *_) = people.store("reviewer").keys(f"{home(batch)}/data/")
    with pytest.raises(ServiceError, match="access denied"):
        people.store("collector").get(image)


def test_who_collects_reads_its_sources_and_no_more(people: People) -> None:
    s3 = people.root()
    s3.create_bucket(Bucket="photos", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    for key in ("products/1.png", "people/1.png"):
        s3.put_object(Bucket="photos", Key=key, Body=b"1")
    assert people.may("collector", "get", "photos", "products/1.png")
    assert not people.may("collector", "get", "photos", "people/1.png")
    assert not people.may("collector", "put", "photos", "products/2.png")
    assert not people.may("trainer", "get", "photos", "products/1.png")


AS_DVC = """
import sys
from pathlib import Path
from pipeline.adapters.versions import Versions, initialise
folder, remote, endpoint, what, md5 = sys.argv[1:]
initialise(Path(folder))
versions = Versions(Path(folder))
versions.set_remote(remote, endpoint, None)
if what == "store":
    md5 = versions.store(Path(folder) / "made")["md5"]
    versions.push_folders([md5])
    print(md5)
else:
    print(versions.files(md5)["part.parquet"].read_text())
"""


def test_versions_go_from_who_collects_to_who_trains_and_not_back(people: People) -> None:
    """In processes of their own: fsspec keeps connections, whoever's they are."""
    remote = people.place.outputs["environment"]["GENLOOP_DVC_REMOTE"]

    def as_dvc(role: str, what: str, md5: str = "") -> subprocess.CompletedProcess[str]:
        folder = people.folder / role
        (folder / "made").mkdir(parents=True, exist_ok=True)
        (folder / "made" / "part.parquet").write_text(f"of the {role}")
        command = [sys.executable, "-c", AS_DVC, str(folder), remote, people.place.endpoint, what, md5]
        environment = os.environ | people.login(role)
        return subprocess.run(command, env=environment, cwd=ROOT_FOLDER, capture_output=True, text=True, timeout=120)

    stored = as_dvc("collector", "store")
    assert stored.returncode == 0, stored.stderr
    md5 = stored.stdout.splitlines()[-1]
    got = as_dvc("trainer", "read", md5)
    assert got.stdout.splitlines()[-1] == "of the collector", got.stderr
    for role, what in (("trainer", "store"), ("publisher", "store"), ("publisher", "read"), ("reviewer", "read")):
        refused = as_dvc(role, what, md5)
        assert refused.returncode == 1, refused.stdout
        assert re.search(r"^pipeline\.errors\.(ServiceError|GenloopError)", refused.stderr, re.M), refused.stderr


def test_models_are_kept_by_who_trains_and_read_by_who_publishes(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_S3_ENDPOINT_URL", people.place.endpoint)
    made = people.folder / "model"
    made.mkdir()
    (made / "weights").write_bytes(b"1")

    def artifacts(role: str, folder: str) -> Any:
        from mlflow.store.artifact.s3_artifact_repo import S3ArtifactRepository

        login = people.login(role)
        return S3ArtifactRepository(
            f"s3://{people.artifacts}/mlflow/1/run/artifacts/{folder}",
            access_key_id=login["AWS_ACCESS_KEY_ID"],
            secret_access_key=login["AWS_SECRET_ACCESS_KEY"],
            session_token=login["AWS_SESSION_TOKEN"],
        )

    artifacts("trainer", "model").log_artifacts(str(made))
    assert [one.path for one in artifacts("mlflow", "model").list_artifacts()] == ["weights"]
    got = artifacts("publisher", "model").download_artifacts("weights", str(people.folder))
    assert Path(got).read_bytes() == b"1"
    artifacts("publisher", "preference").log_artifacts(str(made))
    for role, folder in (("publisher", "model"), ("publisher", "screen"), ("collector", "model"), ("mlflow", "model")):
        with pytest.raises(Exception, match=r"AccessDenied|Forbidden"):
            artifacts(role, folder).log_artifacts(str(made))


def test_workers_start_these_tasks_with_these_roles(place: Installation) -> None:
    """As it stands in IAM: moto asks rights on ECS of the resource `*` only, so it would refuse them the same."""
    statements = _statements(place, "genloop-worker", "rights")
    roles = ["collector", "trainer", "publisher", "reviewer", "steward"]
    passed = statements["PassTheirRoles"]
    names = {arn.partition(":role/")[2] for arn in passed["Resource"]}
    assert names == {f"genloop-{role}" for role in roles} | {f"genloop-start-{role}" for role in roles}
    assert passed["Condition"] == {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    started = statements["StartTasks"]
    families = {arn.partition(":task-definition/")[2] for arn in started["Resource"]}
    assert started["Action"] == "ecs:RunTask" and families == {f"genloop-{role}:*" for role in roles}
    assert started["Condition"]["ArnEquals"]["ecs:cluster"].endswith(":cluster/genloop")
    everywhere = {sid for sid, told in statements.items() if "*" in _list(told["Resource"])}
    assert everywhere == {"Look"} and all("Describe" in action for action in statements["Look"]["Action"])


def test_workers_can_not_make_tasks_of_their_own_nor_raise_themselves(people: People) -> None:
    ecs, iam = people.client("worker", "ecs"), people.client("worker", "iam")
    assert ecs.describe_task_definition(taskDefinition="genloop-collector")["taskDefinition"]
    refused: list[Callable[[], Any]] = [
        lambda: ecs.register_task_definition(family="mine", containerDefinitions=[{"name": "a", "image": "a"}]),
        lambda: ecs.update_service(cluster="genloop", service="prefect", desiredCount=0),
        lambda: iam.put_role_policy(RoleName="genloop-worker", PolicyName="all", PolicyDocument="{}"),
        lambda: people.client("worker", "secretsmanager").list_secrets(),
    ]
    for ask in refused:
        with pytest.raises(ClientError, match="AccessDenied"):
            ask()


@pytest.mark.parametrize("role", ["collector", "trainer", "publisher", "reviewer", "steward", "mlflow", "prefect"])
def test_a_start_reads_the_secrets_of_its_own_task(place: Installation, role: str) -> None:
    statements = _statements(place, f"genloop-start-{role}", "start")
    names = {arn.split(":secret:genloop/")[1].rpartition("-")[0] for arn in _list(statements["ItsSecrets"]["Resource"])}
    wanted = {
        "collector": {"prefect-auth", "tombstone-key"},
        "trainer": {"prefect-auth"},
        "publisher": {"prefect-auth", "feedback", "signing-key"},
        "reviewer": {"prefect-auth", "feedback", "signing-key", "events"},
        "steward": {"prefect-auth", "feedback", "signing-key", "tombstone-key"},
        "mlflow": {"mlflow-database"},
        "prefect": {"prefect-auth", "prefect-database"},
    }
    assert names == wanted[role]
    assert all("*" not in _list(told["Resource"]) for told in statements.values())


def test_roles_are_taken_on_by_nobody_but_ecs(place: Installation) -> None:
    for role in place.client("iam").list_roles()["Roles"]:
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        service = "ec2" if role["RoleName"] == "genloop-machine" else "ecs-tasks"
        assert statement["Principal"] == {"Service": f"{service}.amazonaws.com"}, role["RoleName"]
        if service == "ecs-tasks":
            assert statement["Condition"]["StringEquals"] == {"aws:SourceAccount": "123456789012"}


def _statements(place: Installation, role: str, policy: str) -> dict[str, dict[str, Any]]:
    told = place.client("iam").get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    return {statement["Sid"]: statement for statement in told["Statement"]}


def _list(told: str | list[str]) -> list[str]:
    return [told] if isinstance(told, str) else told


def test_what_moto_does_not_ask(people: People) -> None:
    """Known of the emulator: should it learn one of these, this fails, and the tests above can be made stricter."""
    root = people.root()
    root.put_object(Bucket=people.content, Key="batches/m/x", Body=b"1")
    assert people.may("reviewer", "get", people.content, "batches/m/x")
    condition = {"Bool": {"aws:SecureTransport": "true"}}  # which plain HTTP does not meet: nothing should be refused
    refusal = {"Sid": "a", "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Condition": condition}
    policy = {"Version": "2012-10-17", "Statement": [refusal | {"Resource": f"arn:aws:s3:::{people.content}/*"}]}
    root.put_bucket_policy(Bucket=people.content, Policy=json.dumps(policy))
    assert not people.may("reviewer", "get", people.content, "batches/m/x"), "a condition that is not met counts as met"
    root.delete_bucket_policy(Bucket=people.content)
    with pytest.raises(ServiceError, match="AccessDenied"):  # of part-00000 it may, but moto asks for the whole bucket
        people.store("publisher").delete(["batches/b/data/part-00000.parquet"])
    people.store("reviewer").delete(["batches/b/record.json"])  # which it may not, and moto does not see
