"""infra/terraform is well formed, refuses what can't be, plans what it says, and leaves nothing when it goes."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.infra.installation import Installation, initialised, terraform

pytestmark = pytest.mark.xdist_group("terraform")  # one emulator for these files


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return initialised(tmp_path_factory.mktemp("planned") / "terraform")


def test_the_files_are_formatted_and_valid(folder: Path) -> None:
    done = terraform(folder, "fmt", "-check", "-recursive", "-diff")
    assert done.returncode == 0, done.stdout
    told = json.loads(terraform(folder, "validate", "-json").stdout)
    assert told["valid"] and not told["diagnostics"], told["diagnostics"]


def test_the_example_names_variables_that_there_are(folder: Path) -> None:
    named = re.findall(r"^(\w+)\s*=", (folder / "example.tfvars").read_text(), re.M)
    known = re.findall(r'^variable "(\w+)"', "".join(path.read_text() for path in folder.glob("*.tf")), re.M)
    assert named and set(named) <= set(known)


def test_variables_that_can_not_be_are_named(folder: Path) -> None:
    wrong: dict[str, object] = {
        "name": "Genloop_",
        "region": "Frankfurt",
        "vpc_id": "my network",
        "subnet_ids": ["subnet-1"],
        "image": "genloop:latest",
        "repository_arns": ["genloop"],
        "batch_prefixes": ["index"],
        "sources": [{"bucket": "s3://photos"}],
        "object_tags": {str(i): "" for i in range(11)},
        "noncurrent_days": 0,
        "log_days": 2,
        "database": {"gigabytes": [20, 10]},
        "cpu_task": {"memory": 1},
        "gpu": {"type": "t3.micro"},
        "money_a_month": -1,
        "emails": ["nobody"],
        "review": {"certificate_arn": "none", "from": ["everywhere"], "internal": False},
    }
    done = terraform(folder, "plan", "-input=false", "-no-color", **wrong)
    assert done.returncode != 0
    refused = set(re.findall(r'variable "(\w+)"|on \w+\.tf line \d+:\s+\d+: variable "(\w+)"', done.stderr))
    assert {name for pair in refused for name in pair if name} == set(wrong), done.stderr


def test_a_plan_has_what_is_not_applied_here(emulator: Installation) -> None:
    """As an owner would have it: protected, running, with a budget and a public page."""
    asked = {"protect": True, "running": True, "money_a_month": 750, "gpu": {"most": 4, "spot": True}}
    planned = _planned(emulator, name="second", **asked)
    (budget,) = planned["aws_budgets_budget"]
    assert budget["limit_amount"] == "750" and budget["time_unit"] == "MONTHLY"
    kinds = {(told["notification_type"], told["threshold"]) for told in budget["notification"]}
    assert kinds == {("ACTUAL", 80), ("FORECASTED", 100)}
    (database,) = planned["aws_db_instance"]
    assert database["deletion_protection"] and not database["skip_final_snapshot"]
    assert not any(bucket["force_destroy"] for bucket in planned["aws_s3_bucket"])
    assert {secret["recovery_window_in_days"] for secret in planned["aws_secretsmanager_secret"]} == {30}
    assert {service["desired_count"] for service in planned["aws_ecs_service"]} == {1}
    assert planned["aws_autoscaling_group"][0]["max_size"] == 4
    assert planned["aws_launch_template"][0]["instance_market_options"][0]["market_type"] == "spot"


def test_without_gpus_a_trainer_runs_on_the_cpu_pool(emulator: Installation) -> None:
    planned = _planned(emulator, name="third", gpu={"most": 0}, review=None)
    assert not {"aws_autoscaling_group", "aws_ecs_capacity_provider", "aws_launch_template", "aws_lb"} & planned.keys()
    tasks = {task["family"]: task for task in planned["aws_ecs_task_definition"]}
    assert tasks["third-trainer"]["requires_compatibilities"] == ["FARGATE"]
    assert {service["name"] for service in planned["aws_ecs_service"]} == {"prefect", "mlflow", "worker-cpu"}


def _planned(place: Installation, name: str, **variables: object) -> dict[str, list[dict[str, Any]]]:
    """Values of resources by type, of another installation beside the one that stands."""
    state = place.folder / f"{name}.tfstate"
    done = place.run(
        "plan", "-input=false", "-no-color", f"-state={state}", f"-out={name}.plan", name=name, **variables
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(terraform(place.folder, "show", "-json", f"{name}.plan").stdout)
    found: dict[str, list[dict[str, Any]]] = {}

    def walk(module: dict[str, Any]) -> None:
        for resource in module.get("resources", ()):
            if resource["mode"] == "managed":
                found.setdefault(resource["type"], []).append(resource.get("values", {}))
        for below in module.get("child_modules", ()):
            walk(below)

    walk(told["planned_values"]["root_module"])
    return found


def _made_easy_for_moto(s3: Any, bucket: str) -> None:
    """It would refuse all for a policy's conditions, and fails where a bucket with delete markers is emptied."""
    s3.delete_bucket_policy(Bucket=bucket)
    for marker in s3.list_object_versions(Bucket=bucket).get("DeleteMarkers", ()):
        s3.delete_object(Bucket=bucket, Key=marker["Key"], VersionId=marker["VersionId"])


@pytest.mark.slow
def test_destroyed_nothing_is_left(place: Installation) -> None:
    """Objects and old versions too, where nothing is protected."""
    s3 = place.client("s3")
    for bucket in place.outputs["buckets"].values():
        _made_easy_for_moto(s3, bucket)
        for body in (b"1", b"2"):
            s3.put_object(Bucket=bucket, Key="batches/b/x", Body=body)
    place.destroy()
    assert json.loads((place.folder / "terraform.tfstate").read_text())["resources"] == []
    buckets = [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]]
    endpoints = place.client("ec2").describe_vpc_endpoints()["VpcEndpoints"]  # moto tells of those that were deleted
    left = Counter(
        {
            "buckets": len([name for name in buckets if name.startswith("genloop-")]),
            "roles": len(place.client("iam").list_roles()["Roles"]),
            "databases": len(place.client("rds").describe_db_instances()["DBInstances"]),
            "secrets": len(place.client("secretsmanager").list_secrets()["SecretList"]),
            "files": len(place.client("efs").describe_file_systems()["FileSystems"]),
            "logs": len(place.client("logs").describe_log_groups()["logGroups"]),
            "alarms": len(place.client("cloudwatch").describe_alarms()["MetricAlarms"]),
            "queues": len(place.client("sqs").list_queues().get("QueueUrls", ())),
            "topics": len(place.client("sns").list_topics()["Topics"]),
            "rules": len(place.client("events").list_rules()["Rules"]),
            "groups": len(place.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]),
            "balancers": len(place.client("elbv2").describe_load_balancers()["LoadBalancers"]),
            "endpoints": len([one for one in endpoints if one["State"].lower() != "deleted"]),
        }
    )
    assert not +left, left
    keys = place.client("kms").list_keys()["Keys"]
    told = [place.client("kms").describe_key(KeyId=key["KeyId"])["KeyMetadata"] for key in keys]
    assert {one["KeyState"] for one in told if one["Description"].startswith("genloop")} == {"PendingDeletion"}
