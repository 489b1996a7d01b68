"""Addresses to listen on, as people write them."""

from __future__ import annotations


def host_and_port(text: str) -> tuple[str, int]:
    """Return both halves of ``HOST:PORT``; the brackets of an IPv6 address are taken off.

    Raises
    ------
    ValueError
        Where it is none.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"{text!r} is not HOST:PORT, such as 127.0.0.1:8480")
    return host.strip("[]"), int(port)
