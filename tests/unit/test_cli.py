"""The command line's help."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest
import typer.main

from flows.cli import app

GROUP = typer.main.get_command(app)
COMMANDS = GROUP.commands  # type: ignore[attr-defined]


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
