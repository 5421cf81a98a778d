"""Who may take on which role, start which task and read which secret: mostly as it stands in IAM, since moto asks
rights on other services than S3 of no resource."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.infra.installation import Installation
from tests.infra.people import People

pytestmark = [pytest.mark.xdist_group("terraform"), pytest.mark.slow]


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
