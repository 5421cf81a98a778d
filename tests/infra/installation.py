"""infra/terraform in a folder of its own, against moto in place of AWS, and what is made there as each role sees it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

SOURCE = Path(__file__).parents[2] / "infra" / "terraform"
PLUGINS = "GENLOOP_TERRAFORM_PLUGINS"  # a folder with providers, as `terraform init -plugin-dir` takes it
REGION = "eu-central-1"
ENDPOINTS = [
    "autoscaling",
    "budgets",
    "cloudwatch",
    "ec2",
    "ecs",
    "efs",
    "elbv2",
    "events",
    "iam",
    "kms",
    "logs",
    "rds",
    "route53",
    "s3",
    "secretsmanager",
    "servicediscovery",
    "sns",
    "sqs",
    "ssm",
    "sts",
]
NOBODY = {"AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any", "AWS_DEFAULT_REGION": REGION}


def initialised(folder: Path, endpoint: str = "http://127.0.0.1:9") -> Path:
    """A copy that speaks to this endpoint only; skips where there is no terraform, or no provider for it."""
    if shutil.which("terraform") is None:
        pytest.skip("terraform is not on PATH")
    shutil.copytree(SOURCE, folder, ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*", "terraform.tfvars"))
    provider = {
        "access_key": "any",
        "secret_key": "any",
        "max_retries": 2,
        "s3_use_path_style": True,
        "skip_credentials_validation": True,
        "skip_metadata_api_check": True,
        "endpoints": [dict.fromkeys(ENDPOINTS, endpoint)],
    }
    (folder / "emulator_override.tf.json").write_text(json.dumps({"provider": {"aws": provider}}))
    plugins = [f"-plugin-dir={os.environ[PLUGINS]}"] if os.environ.get(PLUGINS) else []
    done = terraform(folder, "init", "-input=false", "-no-color", *plugins)
    if done.returncode:
        pytest.skip(f"terraform init: {' '.join(done.stderr.split())[:300]}; {PLUGINS} names a folder of providers")
    return folder


def terraform(folder: Path, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """variables: of Terraform, strings or what is JSON."""
    told = {name: value if isinstance(value, str) else json.dumps(value) for name, value in variables.items()}
    given = [f"-var={name}={value}" for name, value in told.items()]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TF_VAR_", "TF_LOG"))}
    command = ["terraform", *arguments, *given]
    environment = kept | NOBODY | {"AWS_EC2_METADATA_DISABLED": "true", "CHECKPOINT_DISABLE": "1"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=150)


@dataclass
class Installation:
    """What `terraform apply` made of `variables` at `endpoint`."""

    folder: Path
    endpoint: str
    variables: dict[str, Any]
    stands: bool = False

    def apply(self) -> None:
        if not self.stands:
            done = self.run("apply", "-auto-approve", "-input=false", "-no-color")
            assert done.returncode == 0, done.stderr
            self.__dict__.pop("outputs", None)
            self.stands = True

    def destroy(self) -> None:
        """All, with what moto can't take away by itself, and which goes with what it belongs to."""
        terraform(self.folder, "state", "rm", "aws_efs_file_system_policy.workspace")
        done = self.run("destroy", "-auto-approve", "-input=false", "-no-color")
        assert done.returncode == 0, done.stderr
        self.stands = False

    def run(self, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
        return terraform(self.folder, *arguments, **{**self.variables, **variables})

    @cached_property
    def outputs(self) -> dict[str, Any]:
        done = terraform(self.folder, "output", "-json")
        return {name: told["value"] for name, told in json.loads(done.stdout).items()}

    def client(self, service: str, login: dict[str, str] = NOBODY) -> Any:
        """boto3's, to look with."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=REGION,
            aws_access_key_id=login["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=login["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=login.get("AWS_SESSION_TOKEN"),
            config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
        )

    def login(self, role: str) -> dict[str, str]:
        """What ECS would hand to a task of this role."""
        told = self.client("sts").assume_role(RoleArn=self.outputs["roles"][role], RoleSessionName="test")
        keys = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey"}
        keys["AWS_SESSION_TOKEN"] = "SessionToken"
        return {name: told["Credentials"][key] for name, key in keys.items()} | {"AWS_DEFAULT_REGION": REGION}


@contextmanager
def emulated(folder: Path, **variables: object) -> Iterator[Installation]:
    """moto with a network in it, and an installation that is not applied yet."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    try:
        endpoint = "http://{}:{}".format(*server.get_host_and_port())
        _ask(endpoint, "reset")
        place = Installation(initialised(folder, endpoint), endpoint, {})
        certificate = place.client("acm").request_certificate(DomainName="review.example.com")["CertificateArn"]
        review = {"certificate_arn": certificate, "from": ["10.7.0.0/16"]}
        place.variables = _network(place.client("ec2")) | {"image": "genloop:0.1.0", "review": review, **variables}
        yield place
    finally:
        server.stop()


@contextmanager
def rights_enforced(place: Installation) -> Iterator[None]:
    """moto then asks of each request who is asking, and whether a policy lets them."""
    _ask(place.endpoint, "reset-auth", "0")
    try:
        yield
    finally:
        _ask(place.endpoint, "reset-auth", "inf")


def _network(ec2: Any) -> dict[str, object]:
    vpc = ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"]
    zones = [("10.7.1.0/24", f"{REGION}a"), ("10.7.2.0/24", f"{REGION}b")]
    subnets = [ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone) for cidr, zone in zones]
    tables = ec2.describe_route_tables(Filters=[{"Name": "vpc-id", "Values": [vpc]}])["RouteTables"]
    return {
        "vpc_id": vpc,
        "subnet_ids": [subnet["Subnet"]["SubnetId"] for subnet in subnets],
        "route_table_ids": [table["RouteTableId"] for table in tables],
    }


def _ask(endpoint: str, what: str, body: str = "") -> None:
    headers = {"Content-Type": "text/plain"}  # else it is taken for a form
    request = urllib.request.Request(f"{endpoint}/moto-api/{what}", body.encode(), headers, method="POST")
    urllib.request.urlopen(request, timeout=10).close()
