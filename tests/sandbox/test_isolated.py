"""A Pod's network is open for moments on some plugins: what prepares a sandbox waits until it is not."""

from __future__ import annotations

import socket
import threading

from skillwarden.sandbox.isolated import Isolating


def test_what_stays_open_is_said_and_waited_for_no_longer_than_its_time() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=128) as server:
        said = Isolating("127.0.0.1", server.getsockname()[1], seconds=0.5).wait()
    assert "can still be reached after 0.5 s" in said


def test_what_is_open_at_first_is_waited_for() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        isolating = Isolating("127.0.0.1", server.getsockname()[1])
        threading.Thread(target=isolating.wait).start()
        for _ in range(3):
            server.accept()[0].close()
    assert isolating.wait() == "the Pod's NetworkPolicy is seen to apply"


def test_where_nobody_tells_of_an_api_server_nothing_is_tried() -> None:
    assert Isolating.from_env({}) is None
    named = {"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": "https"}
    assert Isolating.from_env(named) is None
