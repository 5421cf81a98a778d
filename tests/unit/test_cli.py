"""The command line's help."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer.main

from flows.cli import app
from pipeline.errors import SourceError
from tests.flows.command import genloop

GROUP = typer.main.get_command(app)
COMMANDS = GROUP.commands  # type: ignore[attr-defined]
NEEDED = {
    "by": ["--by", "ann"],
    "version": ["1"],
    "why": ["--why", "a reason"],
}  # options without which a command does not begin


def test_the_commands() -> None:
    assert {"run", "generate", "status", "doctor", "up", "down", "init"} <= COMMANDS.keys()


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_and_option_is_documented(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    undocumented = [param.name for param in command.params if param.name != "help" and not getattr(param, "help", None)]
    assert undocumented == []


@pytest.mark.parametrize("name", ["run", "generate", "status", "doctor", "up", "down"])
def test_what_reports_does_so_as_json_too(name: str) -> None:
    assert "--json" in {option for param in COMMANDS[name].params for option in param.opts}


def lines() -> Iterator[list[str]]:
    """Every command, with something for all that it must be given."""
    for path, command in _leaves(GROUP, []):
        given = [word for param in command.params if param.required for word in NEEDED.get(param.name, ["thing"])]
        yield [*path, *given]


def _leaves(group: Any, path: list[str]) -> Iterator[tuple[list[str], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _leaves(command, [*path, name])
        else:
            yield [*path, name], command


@pytest.mark.parametrize("words", list(lines()), ids=" ".join)
def test_a_wrong_number_in_the_environment_is_one_line_for_every_command(tmp_path: Path, words: list[str]) -> None:
    words = [str(tmp_path / word) if word == "thing" else word for word in words]
    done = genloop(tmp_path, *words, GENLOOP_S3_MULTIPART_MB="abc")
    told = "genloop: environment: GENLOOP_S3_MULTIPART_MB = 'abc': Input should be a valid integer"
    assert done.stderr.startswith(told) and done.stderr.endswith(" (mend or unset it)\n"), done.stderr
    assert done.stderr.count("\n") == 1 and not done.stdout
    assert done.returncode == 2
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("GENLOOP_S3_MULTIPART_MB", "7", "should be greater than or equal to 8"),
        ("GENLOOP_S3_MULTIPART_MB", "5121", "should be less than or equal to 5120"),
        ("GENLOOP_S3_MULTIPART_MB", "", "should be a valid integer"),
        ("GENLOOP_PROCESSES", "-1", "should be greater than or equal to 0"),
        ("GENLOOP_PROCESSES", "1\n2", "should be a valid integer"),
        ("GENLOOP_DVC_PUSH", "perhaps", "should be a valid boolean"),
    ],
)
def test_what_of_the_environment_is_wrong_is_told(tmp_path: Path, name: str, value: str, expected: str) -> None:
    done = genloop(tmp_path, "status", **{name: value})
    assert f"{name} = {value!r}: Input {expected}" in done.stderr
    assert done.stderr.count("\n") == 1 and done.returncode == 2


def test_all_that_is_wrong_in_the_environment_is_told_at_once_and_no_more_of_it_than_its_start(tmp_path: Path) -> None:
    done = genloop(tmp_path, "status", GENLOOP_PROCESSES="x" * 5000, GENLOOP_DVC_PUSH="perhaps")
    assert "GENLOOP_PROCESSES = 'xx" in done.stderr and "GENLOOP_DVC_PUSH = 'perhaps'" in done.stderr
    assert len(done.stderr) < 400


def test_help_answers_fast_and_loads_nothing_heavy() -> None:
    heavy = "{'torch', 'prefect', 'mlflow', 'dvc', 'pandas', 'pydantic', 'boto3', 'rich.progress'}"
    code = f"import sys; import flows.cli; assert not {heavy} & sys.modules.keys(), {heavy} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
    times = []
    for _ in range(3):
        began = used_s()
        subprocess.run([sys.executable, "-m", "flows.cli", "--help"], check=True, capture_output=True)
        times.append(used_s() - began)
    assert min(times) < 1  # 0.3 s on a quiet machine


def used_s() -> float:
    """Seconds of a core that child processes took: other work on the machine doesn't count."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_an_address_of_a_bucket_alone_names_no_object() -> None:
    from flows.batch_cli import _read

    for where in ("s3://bucket", "s3://bucket/", "s3://"):
        with pytest.raises(SourceError, match="no object"):
            _read(None, where)
