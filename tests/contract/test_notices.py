"""Messages to people: a real webhook, a real mail server, and one that is not there."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message

from flows import notices
from flows.notices import tell_people
from flows.processes import free_port


class Hook(ThreadingHTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taking)
        self.took: list[dict[str, Any]] = []


class _Taking(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        self.server.took.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


class Inbox(Message):
    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Any] = []

    def handle_message(self, message: Any) -> None:
        self.mails.append(message)


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    handler = Inbox()
    port = free_port()
    controller = Controller(handler, hostname="127.0.0.1", port=port)
    controller.start()
    yield handler, port
    controller.stop()


def test_once_a_day_by_webhook_and_by_mail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook, inbox: tuple[Inbox, int]
) -> None:
    box, port = inbox
    chat = f"json://127.0.0.1:{hook.server_port}/services/T/B?:message=text"  # Slack's own field
    mail = f"mailto://127.0.0.1:{port}?from=loop@example.org&to=ann@example.org&mode=insecure"
    monkeypatch.setenv("GENLOOP_NOTIFY", f"{chat} {mail}")
    assert tell_people(tmp_path, "generator v2 waits for your word", "all gates passed")
    assert not tell_people(tmp_path, "generator v2 waits for your word", "all gates passed")
    assert tell_people(tmp_path, "generator v3 waits for your word", "all gates passed")
    assert [told["text"] for told in hook.took] == ["all gates passed"] * 2
    assert hook.took[0]["title"].endswith("generator v2 waits for your word")
    assert [mail["To"] for mail in box.mails] == ["ann@example.org"] * 2
    monkeypatch.setattr(notices, "AGAIN_S", 0.0)
    assert tell_people(tmp_path, "generator v2 waits for your word", "all gates passed")


def test_what_can_t_be_sent_stops_nothing_and_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hook: Hook, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENLOOP_NOTIFY", "json://user:secret@127.0.0.1:9/")
    assert not tell_people(tmp_path, "reviews are wanted", "60 more")
    monkeypatch.setenv("GENLOOP_NOTIFY", "nonsense://user:secret@host")
    assert not tell_people(tmp_path, "reviews are wanted", "60 more")
    told = capsys.readouterr().err
    assert "1. address of GENLOOP_NOTIFY" in told and "secret" not in told
    monkeypatch.setenv("GENLOOP_NOTIFY", f"json://127.0.0.1:{hook.server_port}/")
    assert tell_people(tmp_path, "reviews are wanted", "60 more") and len(hook.took) == 1


def test_nobody_named_nobody_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENLOOP_NOTIFY", raising=False)
    assert not tell_people(tmp_path, "reviews are wanted", "60 more")
    assert not (tmp_path / notices.SENT).exists()
