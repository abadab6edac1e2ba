"""Waiting for the MLflow UI: as long as its server starts, and no longer than it lives."""

import json
import subprocess
import sys
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, HTTPServer
from types import SimpleNamespace

import pytest

from rnnexp.checks import UserError
from rnnexp.tracking import __main__ as ui


def store(location="here"):
    client = SimpleNamespace(get_experiment=lambda number: SimpleNamespace(artifact_location=location))
    return SimpleNamespace(client=client, experiment_id="1")


def waited(server, port, words=()):
    heard = deque(words, maxlen=ui.LAST_WORDS)
    listener = threading.Thread(target=lambda: heard.extend(server.stderr or ()), daemon=True)
    listener.start()
    ui.wait(server, port, store(), listener, heard)


def test_it_waits_until_the_server_shows_this_store_and_says_so(monkeypatch, capsys):
    answers = iter([b"not ready", b"[]", json.dumps({"experiment": {"artifact_location": "elsewhere"}}).encode()])
    ready, asked = json.dumps({"experiment": {"artifact_location": "here"}}).encode(), []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(next(answers, ready))

        def log_message(self, *given):
            pass

    monkeypatch.setattr(ui, "SOON", 0.0)
    with HTTPServer(("127.0.0.1", 0), Answer) as web:
        threading.Thread(target=web.serve_forever, daemon=True).start()
        waited(SimpleNamespace(poll=lambda: None, stderr=()), web.server_port)
        web.shutdown()
    assert len(asked) == 4 and asked[0].endswith("experiment_id=1")
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 1 and f"waiting for the MLflow UI to answer on port {web.server_port}" in told[0]


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("import sys; print('x' * 300_000, file=sys.stderr); sys.exit('Error: the port is taken')", "Error: the port"),
        ("import sys; sys.exit('gone')", "gone"),
        ("", "it gave no reason"),
    ],
)
def test_it_ends_with_the_last_words_of_a_server_that_died(code, last):
    told = pytest.raises(UserError, match=f"the MLflow UI ended at its start: {last}")
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) as server, told:
        waited(server, 1)  # where nothing listens
