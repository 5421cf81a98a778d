"""Each role does what it is for, with this project's own code, and nothing else: moto asks IAM of every request."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipeline.environment import SIGNING
from pipeline.errors import ServiceError
from pipeline.generate.batches import COMMIT, batches, find_batch, home, read_manifest
from pipeline.generate.known import note_batches, unnoted
from pipeline.generate.release import Withdrawal
from pipeline.generate.verify import verify_batch
from pipeline.generate.withdraw import withdraw_batch, withdraw_item
from pipeline.generated import noted
from pipeline.marks.signer import SignerSettings, make_signer
from pipeline.values import Batch
from tests.contract.delivering import delivered
from tests.infra.people import MAY_LIST, ROLES, People

pytestmark = [pytest.mark.xdist_group("terraform"), pytest.mark.slow]

ROOT_FOLDER = Path(__file__).parents[2]
WHY = Withdrawal(at="2026-11-25T00:00:00+00:00", by="me", why="looks like someone")


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
