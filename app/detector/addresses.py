"""Hosts, origins and networks as settings name them."""

import ipaddress
import re

__all__ = ["hosts", "hosts_or_any", "is_loopback", "origins", "proxies", "without_port"]

_HOST = re.compile(r"([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?")
_PORT = re.compile(r":\d{1,5}$", re.ASCII)
_ORIGIN = re.compile(rf"https?://{_HOST.pattern}")


def hosts(named: tuple[str, ...]) -> tuple[str, ...]:
    """Return hosts in lower case; raise ValueError for what is none."""
    named = tuple(host.lower() for host in named)
    for host in named:
        if not _HOST.fullmatch(host):
            raise ValueError(
                f"'{host}' is no host: write a name or an address and, where it is not the "
                "usual one, a port, such as data.example.com or 10.0.0.5:9000"
            )
    return named


def hosts_or_any(named: tuple[str, ...]) -> tuple[str, ...]:
    """Return hosts as `hosts` does; one of them may be ``*``, any host."""
    checked = hosts(tuple(host for host in named if host != "*"))
    return (*checked, "*") if "*" in named else checked


def origins(named: tuple[str, ...]) -> tuple[str, ...]:
    """Return the origins of web pages in lower case; raise ValueError for what is none."""
    named = tuple(origin.lower() for origin in named)
    for origin in named:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(
                f"'{origin}' is no origin: write what browsers send, such as "
                "https://plant.example.com or http://localhost:3000, with no path"
            )
    return named


def proxies(named: tuple[str, ...]) -> tuple[str, ...]:
    """Return addresses and networks as they are; raise ValueError for what is none."""
    for proxy in named:
        try:
            ipaddress.ip_network(proxy)
        except ValueError:
            raise ValueError(
                f"'{proxy}' is no address or network: write such as 127.0.0.1 or 172.16.0.0/12"
            ) from None
    return named


def is_loopback(name: str) -> bool:
    """Say whether a name, or an address with or without brackets, leads to this machine only."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name.removeprefix("[").removesuffix("]")).is_loopback
    except ValueError:
        return False


def without_port(host: str) -> str:
    """Return a host without the port behind it."""
    return _PORT.sub("", host)
