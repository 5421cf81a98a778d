"""compose.yaml: valid, each service contained, no secret in it, nothing in it that the programs would not take."""

from __future__ import annotations

import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.infra.told import INFRA, LITERAL, check_command, compose, known_variables, services

SERVICES = services()
ONCE = {
    name
    for told in SERVICES.values()
    for name, how in told.get("depends_on", {}).items()
    if how["condition"] == "service_completed_successfully"
}
GAINED = {"proxy": ["NET_BIND_SERVICE"], "ownership": ["CHOWN"]}
OURS = {name for name, told in SERVICES.items() if told["image"].startswith("${IMAGE:-genloop}")}
GRAFANA = {
    "GF_SERVER_HTTP_PORT",
    "GF_SECURITY_ADMIN_PASSWORD__FILE",
    "GF_ANALYTICS_REPORTING_ENABLED",
    "GF_ANALYTICS_CHECK_FOR_UPDATES",
    "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES",
    "GF_PLUGINS_PREINSTALL_DISABLED",
    "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH",
}
POSTGRES = {"POSTGRES_PASSWORD_FILE", "POSTGRES_INITDB_ARGS"}


def test_it_is_a_compose_file() -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, str(INFRA / "compose.yaml")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profiles", [[], ["--profile", "gpu"], ["--profile", "observe"]])
def test_compose_itself_takes_it(profiles: list[str], tmp_path: Path) -> None:
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
    program = ["docker", "compose"] if plugin else ["docker-compose"]
    if (
        not shutil.which(program[0])
        or "v1" in subprocess.run([*program, "version"], capture_output=True, text=True).stdout
    ):
        pytest.skip("no Docker Compose here")
    command = [*program, "--file", str(INFRA / "compose.yaml"), *profiles, "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_more_than_it_needs(name: str) -> None:
    told = SERVICES[name]
    assert told["cap_drop"] == ["ALL"] and told.get("cap_add", []) == GAINED.get(name, [])
    assert "no-new-privileges:true" in told["security_opt"]
    assert told["read_only"] is True and not told.get("privileged") and "pid" not in told and "ipc" not in told
    assert told["user"] == ("0:0" if name == "ownership" else "999:999" if name == "postgres" else "10001:10001")
    limits = told["deploy"]["resources"]["limits"]
    assert limits.keys() == {"cpus", "memory", "pids"}
    assert not any(str(one).startswith(("/", "~", "..")) for one in told.get("volumes", [])), "a folder of the host"


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_says_whether_it_is_well_and_comes_back(name: str) -> None:
    told = SERVICES[name]
    if name in ONCE:
        assert told["healthcheck"] == {"disable": True} and told["restart"].startswith("on-failure:")
        return
    assert told["restart"] == "unless-stopped"
    assert told["healthcheck"]["test"][0] == "CMD" and told["healthcheck"]["interval"]


def test_only_the_proxy_is_reachable_from_outside() -> None:
    networks = compose()["networks"]
    assert [name for name, told in networks.items() if not told.get("internal")] == ["edge", "outside"]
    assert [name for name, told in SERVICES.items() if "ports" in told] == ["proxy"]
    assert {name for name, told in SERVICES.items() if "edge" in told.get("networks", [])} == {"proxy"}
    assert {name for name, told in SERVICES.items() if "outside" in told.get("networks", [])} == {"worker-cpu"}
    assert {name for name, told in SERVICES.items() if told.get("network_mode", "none") != "none"} == set()
    assert "work" not in SERVICES["proxy"]["networks"], "it has no business with databases"
    for port in SERVICES["proxy"]["ports"]:
        assert port.endswith((":8080", ":8443")) or port.startswith("127.0.0.1:"), port


def test_every_service_is_on_a_network_with_what_it_names() -> None:
    for name, told in SERVICES.items():
        mine = set(told.get("networks", []))
        said = json.dumps([told.get("environment", {}), told.get("command", "")])
        for other in re.findall(r"(?:://|@)(\w+)[:/]", said):
            if other in SERVICES:
                assert mine & set(SERVICES[other]["networks"]), f"{name} can't reach {other}"
    for other, port in re.findall(r"reverse_proxy (\w+):(\d+)", (INFRA / "caddy/Caddyfile").read_text()):
        assert set(SERVICES["proxy"]["networks"]) & set(SERVICES[other]["networks"])
        assert port in (*SERVICES[other].get("command", ()), *SERVICES[other]["environment"].values())


@pytest.mark.parametrize("name", SERVICES)
def test_images_are_pinned_by_a_tag(name: str) -> None:
    tag = SERVICES[name]["image"].rpartition(":")[2]
    assert tag in ("cpu", "cuda") if name in OURS else re.match(r"v?\d+[.\d]*(-|$)", tag)


def test_no_secret_is_in_any_file() -> None:
    files = [path for path in INFRA.rglob("*") if path.is_file() and path.suffix not in (".png", ".md")]
    others = (INFRA / "secrets", INFRA / "terraform")  # Terraform's references look like literals
    files = [path for path in files if not set(others) & set(path.parents)]
    assert len(files) > 10
    found = {str(path.relative_to(INFRA)): LITERAL.findall(path.read_text()) for path in files}
    assert {name: told for name, told in found.items() if told} == {}


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://feedback:hunter2@postgres/feedback",
        "POSTGRES_PASSWORD: hunter2",
        "PREFECT_API_AUTH_STRING=admin:pass",
        "aws_secret_access_key = wJalrXUtnFEMI",
        "AKIAIOSFODNN7EXAMPLE",
        "key: 0123456789abcdef0123456789abcdef",
    ],
)
def test_a_secret_would_be_seen(text: str) -> None:
    assert LITERAL.search(text)


@pytest.mark.parametrize("name", sorted(OURS))
def test_settings_are_ones_that_the_code_reads(name: str) -> None:
    told = SERVICES[name]
    given = {one for one in told.get("environment", {}) if not one.startswith("RCLONE_")}
    given |= {one["target"] for one in told.get("secrets", []) if one.get("target", "").isupper()}
    assert given <= known_variables()


@pytest.mark.parametrize(
    "name", ["GENLOOP_S3_ENDPOINTS", "PREFECT_SERVER_DATABASE_URL", "MLFLOW_S3_ENDPOINT", "AWS_KEY"]
)
def test_a_setting_that_nobody_reads_would_be_seen(name: str) -> None:
    assert name not in known_variables()


def test_settings_of_other_images_are_those_of_their_documentation() -> None:
    assert SERVICES["postgres"]["environment"].keys() <= POSTGRES
    assert SERVICES["grafana"]["environment"].keys() <= GRAFANA
    assert SERVICES["proxy"]["environment"].keys() == {"SITE", "XDG_DATA_HOME", "XDG_CONFIG_HOME"}
    assert "{$SITE:localhost}" in (INFRA / "caddy/Caddyfile").read_text()


@pytest.mark.parametrize("name", sorted(name for name in OURS if SERVICES[name]["command"][0] != "sh"))
def test_commands_are_ones_that_the_programs_take(name: str) -> None:
    check_command(SERVICES[name]["command"])  # it raises, see test_a_wrong_command_would_be_seen


def test_what_the_readme_types_is_taken() -> None:
    blocks = re.findall(r"```\n(.*?)```", (INFRA / "README.md").read_text(), re.S)
    typed = re.findall(r"\bgenloop (?:init|run|reviewer add)[^\n\"&#]*", "\n".join(blocks))
    assert len(typed) == 5
    for line in typed:
        check_command(line.split())
    named = re.findall(r"compose.yaml (?:run --rm|exec) (\S+)", "\n".join(blocks))
    assert named and set(named) <= SERVICES.keys()


@pytest.mark.parametrize("words", [["genloop", "revue"], ["genloop", "review", "--prot", "8080"]])
def test_a_wrong_command_would_be_seen(words: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)no such option|revue"):
        check_command(words)


def test_what_depends_on_a_service_waits_until_it_is_well() -> None:
    for name, told in SERVICES.items():
        for other, how in told.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONCE else "service_healthy"
            assert how["condition"] == wanted, f"{name} on {other}"


@pytest.mark.parametrize(("status", "well"), [(200, True), (500, False), (503, False), (0, False)])
def test_a_health_check_tells_well_from_not_well(status: int, well: bool) -> None:
    checks = {tuple(SERVICES[name]["healthcheck"]["test"][1:4]) for name in OURS - ONCE}
    assert len(checks) == 1
    (_, option, code) = checks.pop()
    with answering(status) as port:
        done = subprocess.run([sys.executable, option, code, f"http://127.0.0.1:{port}/health"], capture_output=True)
    assert (done.returncode == 0) == well


@contextmanager
def answering(status: int) -> Iterator[int]:
    """The port of a server that answers with it; 0: of none."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    if not status:
        server.server_close()
        yield server.server_port
        return
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A folder of secrets, as secrets.sh makes it."""
    shutil.copy(INFRA / "secrets.sh", tmp_path)
    subprocess.run([tmp_path / "secrets.sh"], check=True)
    return tmp_path / "secrets"


def test_secrets_are_made_once_and_are_those_that_compose_mounts(made: Path, tmp_path: Path) -> None:
    files = {path.name: path.read_bytes() for path in made.iterdir()}
    assert {f"./secrets/{name}" for name in files} == {told["file"] for told in compose()["secrets"].values()}
    assert made.stat().st_mode & 0o777 == 0o700, "others of this machine may not enter"
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o444}, "a container's user may read"
    words = [data for name, data in files.items() if not name.startswith(("s3", "security"))]
    assert len(set(words)) == len(words) and min(map(len, words)) >= 48
    subprocess.run([tmp_path / "secrets.sh"], check=True)
    assert {path.name: path.read_bytes() for path in made.iterdir()} == files


def test_the_s3_server_knows_the_keys_of_its_clients_and_gives_each_its_own_bucket(made: Path) -> None:
    import configparser

    identities = json.loads((made / "s3.json").read_text())["identities"]
    assert [one["name"] for one in identities] == ["admin", "genloop", "mlflow"]
    for one in identities:
        ini = configparser.ConfigParser()
        ini.read(made / f"s3_{one['name']}")
        (login,) = one["credentials"]
        assert login["accessKey"] == ini["default"]["aws_access_key_id"] and len(login["accessKey"]) == 20
        assert login["secretKey"] == ini["default"]["aws_secret_access_key"] and len(login["secretKey"]) == 48
        if one["name"] != "admin":
            assert {action.partition(":")[2] for action in one["actions"]} == {one["name"]}


def test_git_and_the_builder_see_no_secret() -> None:
    ignored = subprocess.run(
        ["git", "check-ignore", "infra/secrets/postgres", "infra/.env"],
        cwd=INFRA.parent,
        capture_output=True,
        text=True,
    )
    assert ignored.stdout.split() == ["infra/secrets/postgres", "infra/.env"]


def entered(secrets: Path, code: str, **environment: str) -> Any:
    """What a program says that is started by entrypoint.sh."""
    done = subprocess.run(
        [INFRA / "entrypoint.sh", sys.executable, "-c", f"import json, os; print(json.dumps({code}))"],
        env={"PATH": os.environ["PATH"], "SECRETS": str(secrets), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_a_secret_with_a_variables_name_becomes_it_whatever_is_in_it(tmp_path: Path) -> None:
    odd = "a b'\"$(id)`id`\\n\n*%="
    (tmp_path / "PGPASSWORD").write_text(odd)
    for name in ("s3_genloop", "s3.json", "Mixed", "WITH-DASH", "1ST"):
        (tmp_path / name).write_text("kept a file")
    (tmp_path / "FOLDER").mkdir()
    before = {"PATH": os.environ["PATH"], "SECRETS": str(tmp_path)}
    found = entered(tmp_path, "dict(os.environ)")
    new = {name: value for name, value in found.items() if name not in {*before, "PWD", "LC_CTYPE", "OLDPWD", "_"}}
    assert new == {"PGPASSWORD": odd}
    assert entered(tmp_path / "nowhere", "1") == 1


def test_a_secret_that_cannot_be_read_stops_the_container(tmp_path: Path) -> None:
    (tmp_path / "PGPASSWORD").write_text("secret")
    cat = tmp_path / "bin/cat"
    cat.parent.mkdir()
    cat.write_text("#!/bin/sh\nexit 1\n")  # as it ends where it may not read; root may read all
    cat.chmod(0o755)
    with pytest.raises(subprocess.CalledProcessError):
        entered(tmp_path, "1", PATH=f"{cat.parent}:{os.environ['PATH']}")
