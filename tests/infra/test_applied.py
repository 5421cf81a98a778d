"""What `terraform apply` makes, looked at with boto3 and not with Terraform."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from flows import wiring
from pipeline.environment import Environment
from tests.infra.installation import Installation, terraform

# Terraform waits two minutes for what moto has at once.
pytestmark = [pytest.mark.xdist_group("terraform"), pytest.mark.slow]

BUCKETS = ["content", "artifacts"]
ROLES = ["collector", "trainer", "publisher", "reviewer", "steward"]
SERVERS = ["prefect", "mlflow", "worker"]


def test_what_is_applied_is_settled(place: Installation) -> None:
    """But for what moto tells otherwise than it was told: tags, descriptions, parameters, zones."""
    done = place.run("plan", "-input=false", "-no-color", "-out=again.plan")
    assert done.returncode == 0, done.stderr
    told = json.loads(terraform(place.folder, "show", "-json", "again.plan").stdout)["resource_changes"]
    changes = {(one["type"], *one["change"]["actions"]) for one in told if one["change"]["actions"] != ["no-op"]}
    odd = ["aws_db_parameter_group", "aws_ecs_service", "aws_launch_template", "aws_vpc_security_group_ingress_rule"]
    assert changes <= {(kind, "update") for kind in odd}


@pytest.mark.parametrize("kind", BUCKETS)
def test_buckets_are_private_encrypted_and_keep_old_versions(place: Installation, kind: str) -> None:
    s3, name = place.client("s3"), place.outputs["buckets"][kind]
    assert s3.get_bucket_versioning(Bucket=name)["Status"] == "Enabled"
    blocked = s3.get_public_access_block(Bucket=name)["PublicAccessBlockConfiguration"]
    assert len(blocked) == 4 and all(blocked.values())
    (rule,) = s3.get_bucket_ownership_controls(Bucket=name)["OwnershipControls"]["Rules"]
    assert rule == {"ObjectOwnership": "BucketOwnerEnforced"}
    (rule,) = s3.get_bucket_encryption(Bucket=name)["ServerSideEncryptionConfiguration"]["Rules"]
    asked = rule["ApplyServerSideEncryptionByDefault"]
    assert rule["BucketKeyEnabled"] and asked["SSEAlgorithm"] == "aws:kms"
    key = place.client("kms").describe_key(KeyId=asked["KMSMasterKeyID"])["KeyMetadata"]
    assert key["Description"].startswith("genloop: ") and key["KeyManager"] == "CUSTOMER"
    assert place.client("kms").get_key_rotation_status(KeyId=key["KeyId"])["KeyRotationEnabled"]
    (rule,) = s3.get_bucket_lifecycle_configuration(Bucket=name)["Rules"]
    assert rule["Status"] == "Enabled" and rule["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    assert rule["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 7}
    assert "Days" not in rule["Expiration"], "what is current never goes by itself"


@pytest.mark.parametrize("kind", BUCKETS)
def test_bucket_policies_refuse_what_is_not_tls_and_other_encryption(place: Installation, kind: str) -> None:
    name = place.outputs["buckets"][kind]
    told = json.loads(place.client("s3").get_bucket_policy(Bucket=name)["Policy"])["Statement"]
    by_sid = {statement["Sid"]: statement for statement in told}
    assert all(statement["Effect"] == "Deny" and statement["Principal"] == "*" for statement in told)
    tls = by_sid["OnlyByTls"]
    assert tls["Action"] == "s3:*" and tls["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert set(tls["Resource"]) == {f"arn:aws:s3:::{name}", f"arn:aws:s3:::{name}/*"}
    assert by_sid["OnlyByTlsThatIsSafe"]["Condition"] == {"NumericLessThan": {"s3:TlsVersion": "1.2"}}
    header = "s3:x-amz-server-side-encryption"
    asked = {"Null": {header: "false"}, "StringNotEquals": {header: "aws:kms"}}
    assert by_sid["OnlyEncryptedByKms"]["Condition"] == asked
    key = f"{header}-aws-kms-key-id"
    assert by_sid["OnlyWithThisKey"]["Condition"]["StringNotEquals"][key].startswith("arn:aws:kms:")
    assert ("CommittedOnce" in by_sid) == (kind == "content")
    if kind == "content":
        once = by_sid["CommittedOnce"]
        assert once["Resource"] == f"arn:aws:s3:::{name}/batches/*/_COMMITTED.json" and once["Action"] == "s3:PutObject"
        assert once["Condition"]["Null"] == {"s3:if-none-match": "true"}
        assert once["Condition"]["ArnEquals"] == {"aws:PrincipalArn": place.outputs["roles"]["publisher"]}


def test_the_database_is_private_and_its_password_is_nowhere_but_in_its_place(place: Installation) -> None:
    (database,) = place.client("rds").describe_db_instances()["DBInstances"]
    assert database["StorageEncrypted"] and not database["PubliclyAccessible"] and database["Engine"] == "postgres"
    assert database["BackupRetentionPeriod"] == 14 and database["MaxAllocatedStorage"] == 200
    group = database["DBParameterGroups"][0]["DBParameterGroupName"]
    parameters = place.client("rds").describe_db_parameters(DBParameterGroupName=group)["Parameters"]
    assert {"rds.force_ssl": "1"}.items() <= {
        one["ParameterName"]: one.get("ParameterValue") for one in parameters
    }.items()
    secret = place.outputs["database"]["master_secret"]
    kept = place.client("secretsmanager").get_secret_value(SecretId=secret)["SecretString"]
    password = json.loads(kept)["password"]
    state = (place.folder / "terraform.tfstate").read_text()
    assert len(password) >= 8 and password not in state
    assert not re.search(r'"(secret_string|password)": "', state)


def test_who_may_reach_whom(place: Installation) -> None:
    groups = {g["GroupName"]: g for g in place.client("ec2").describe_security_groups()["SecurityGroups"]}
    names = {group["GroupId"]: name for name, group in groups.items()}
    ways = {
        (names[pair["GroupId"]], name, rule["FromPort"])
        for name, group in groups.items()
        if name.startswith("genloop-")
        for rule in group["IpPermissions"]
        for pair in rule["UserIdGroupPairs"]
    }
    at = "genloop-{}".format
    database = {(at("tasks"), at("database"), 5432), (at("servers"), at("database"), 5432)}
    assert {way for way in ways if way[1] == at("database")} == database
    assert {way[1] for way in ways if way[0] == at("trainers")} == {at("servers")}
    open_to = {name for name in groups if any(rule["IpRanges"] for rule in groups[name]["IpPermissions"])}
    assert open_to == {at("page")}


def test_tasks_have_the_settings_of_genloop_and_no_secret_in_them(
    place: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = _tasks(place)
    assert set(ROLES) < set(tasks)
    for role in ROLES:
        container = tasks[role]["containerDefinitions"][0]
        told = {one["name"]: one["value"] for one in container["environment"]}
        secrets = {one["name"]: one["valueFrom"] for one in container["secrets"]}
        assert "PREFECT_API_AUTH_STRING" in secrets and not set(secrets) & set(told)
        assert all(value.startswith("arn:aws:secretsmanager:") for value in secrets.values())
        assert container["user"] == "10001:10001"
        assert tasks[role]["taskRoleArn"] == place.outputs["roles"][role]
        with monkeypatch.context() as context:
            for name, value in told.items():
                context.setenv(name, value)
            environment, store = Environment(), wiring.store()
        content = place.outputs["buckets"]["artifacts" if role == "trainer" else "content"]
        assert environment.bucket == store.bucket == content
        assert environment.dvc_remote == f"s3://{place.outputs['buckets']['artifacts']}/dvc"
        assert store.settings.sse == "aws:kms" and store.settings.kms_key.startswith("arn:aws:kms:")
        assert environment.dvc_push == (role != "trainer")
        assert store.settings.tags == {"team": "media"}
    signing = {role for role in ROLES if "GENLOOP_SIGNING_KEY" in _secrets(tasks[role])}
    assert signing == {"publisher", "reviewer", "steward"}
    assert {role for role in ROLES if "GENLOOP_FEEDBACK_URL" in _secrets(tasks[role])} == signing
    assert {role for role in ROLES if "GENLOOP_EVENTS_SECRET" in _secrets(tasks[role])} == {"reviewer"}


def _tasks(place: Installation) -> dict[str, dict[str, Any]]:
    ecs = place.client("ecs")
    arns = ecs.list_task_definitions()["taskDefinitionArns"]
    found = (ecs.describe_task_definition(taskDefinition=arn)["taskDefinition"] for arn in arns)
    return {task["family"].removeprefix("genloop-"): task for task in found}


def _secrets(task: dict[str, Any]) -> set[str]:
    return {one["name"] for one in task["containerDefinitions"][0]["secrets"]}


def test_gpus_are_there_only_while_they_are_used(place: Installation) -> None:
    (group,) = place.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["MinSize"], group["DesiredCapacity"], group["MaxSize"]) == (0, 0, 1)
    assert group["NewInstancesProtectedFromScaleIn"]
    found = place.client("ecs").describe_capacity_providers(capacityProviders=["genloop-gpu"])["capacityProviders"]
    scaling = found[0]["autoScalingGroupProvider"]
    assert scaling["managedScaling"]["status"] == scaling["managedTerminationProtection"] == "ENABLED"
    (template,) = place.client("ec2").describe_launch_template_versions(LaunchTemplateName="genloop-gpu")[
        "LaunchTemplateVersions"
    ]
    data = template["LaunchTemplateData"]
    assert data["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 1}
    assert data["BlockDeviceMappings"][0]["Ebs"]["Encrypted"]
    trainer = _tasks(place)["trainer"]
    assert trainer["containerDefinitions"][0]["resourceRequirements"] == [{"type": "GPU", "value": "1"}]
    pool = place.outputs["work_pools"]["gpu"]
    assert pool["capacity_provider_strategy"] == [{"capacityProvider": "genloop-gpu", "weight": 1, "base": 0}]


def test_logs_are_encrypted_and_end(place: Installation) -> None:
    groups = {g["logGroupName"]: g for g in place.client("logs").describe_log_groups()["logGroups"]}
    wanted = {f"/genloop/{name}" for name in ROLES + SERVERS} | {"/aws/rds/instance/genloop/postgresql"}
    assert wanted <= set(groups)
    assert {(groups[name]["retentionInDays"], "kmsKeyId" in groups[name]) for name in wanted} == {(90, True)}


def test_people_are_told_of_what_goes_wrong(place: Installation) -> None:
    (topic,) = place.client("sns").list_topics()["Topics"]
    alarms = {one["AlarmName"]: one for one in place.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    down = {f"genloop-{name}-down" for name in ("prefect", "mlflow", "worker-cpu", "worker-gpu", "review")}
    assert set(alarms) == down | {"genloop-database-disk", "genloop-database-memory", "genloop-page-unhealthy"}
    assert all(one["AlarmActions"] == [topic["TopicArn"]] for one in alarms.values())
    assert alarms["genloop-database-disk"]["Threshold"] == 2 * 2**30
    events = place.client("events")
    rules = {one["Name"]: json.loads(one["EventPattern"]) for one in events.list_rules()["Rules"]}
    assert set(rules) == {"genloop-failed-tasks", "genloop-ended-tasks"}
    (target,) = events.list_targets_by_rule(Rule="genloop-failed-tasks")["Targets"]
    assert target["Arn"] == topic["TopicArn"]
    (target,) = events.list_targets_by_rule(Rule="genloop-ended-tasks")["Targets"]
    assert target["Arn"].endswith(":genloop-ended-tasks")
    (told,) = place.client("sns").list_subscriptions()["Subscriptions"]
    assert told["Endpoint"] == "platform@example.com"


FAILED = {"lastStatus": "STOPPED", "stopCode": "EssentialContainerExited", "containers": {"exitCode": 1}}


@pytest.mark.parametrize(
    ("told", "changed"),
    [
        (True, {}),
        (True, {"stopCode": "TaskFailedToStart", "containers": {}}),
        (False, {"containers": {"exitCode": 0}}),
        (False, {"lastStatus": "RUNNING"}),
        (False, {"stopCode": "UserInitiated"}),
        (False, {"clusterArn": "arn:aws:ecs:eu-central-1:123456789012:cluster/other"}),
    ],
)
def test_a_task_that_failed_is_told_of_and_one_that_was_stopped_is_not(
    place: Installation, told: bool, changed: dict[str, Any]
) -> None:
    """By the same rule on a bus of its own with a queue: moto sends nothing to topics. It looks into no lists either,
    so here there is one container in place of a list of them."""
    sqs, events = place.client("sqs"), place.client("events")
    queue = sqs.create_queue(QueueName="told")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    named = {"Name": "told", "EventBusName": "told"}
    events.create_event_bus(Name="told")
    try:
        events.put_rule(**named, EventPattern=events.describe_rule(Name="genloop-failed-tasks")["EventPattern"])
        events.put_targets(Rule="told", EventBusName="told", Targets=[{"Id": "told", "Arn": arn}])
        detail = FAILED | {"clusterArn": place.outputs["work_pools"]["cpu"]["cluster"]} | changed
        event = {"Source": "aws.ecs", "DetailType": "ECS Task State Change", "EventBusName": "told"}
        events.put_events(Entries=[event | {"Detail": json.dumps(detail)}])
        assert bool(sqs.receive_message(QueueUrl=queue).get("Messages")) is told
    finally:
        events.remove_targets(Rule="told", EventBusName="told", Ids=["told"])
        events.delete_rule(**named)
        events.delete_event_bus(Name="told")
        sqs.delete_queue(QueueUrl=queue)
