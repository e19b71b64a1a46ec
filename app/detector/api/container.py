"""How a container starts: the arguments of the service's own one, and a key where none is given."""

import logging
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from detector.addresses import is_loopback
from detector.settings import AddressSettings

__all__ = ["keep_key", "take_arguments"]

_log = logging.getLogger("detector.container")

# The settings of the service's own container, without what follows a colon, in lower case.
_NAMES = {
    "apikey": "ApiKey",
    "applicationinsights": "ApplicationInsights",
    "billing": "Billing",
    "eula": "Eula",
    "fluentd": "Fluentd",
    "http_proxy": "HTTP_PROXY",
    "http_proxy_creds": "HTTP_PROXY_CREDS",
    "logging": "Logging",
    "mounts": "Mounts",
}
# Those without which it did not start, so that they may stand in the environment as well.
_NEEDED = ("apikey", "billing", "eula")
_WORD = re.compile(r"[A-Za-z_:]{1,30}")
_KEY_FILE = "api-key"


def take_arguments(given: Sequence[str]) -> None:
    """Set what the arguments of the service's own container mean here; log what means nothing.

    ``ApiKey`` is one of `API_KEYS`. With ``Eula=accept`` requests need no key header where there
    are no keys, unless `DETECTOR_KEY_HEADER` says otherwise: that container's callers send none.

    Parameters
    ----------
    given : sequence of str
        Such as ``Eula=accept``. Where the environment has that, it may have the others too.

    Raises
    ------
    ValueError
        For an argument that is none of that container's; it may be a key, so it is not shown.
    """
    taken = _from_environment() | _parsed(given)
    values = {name.lower(): value for name, value in taken.items()}
    key = values.get("apikey")
    if key == "":
        raise ValueError("The service does not start: ApiKey has no value.")
    if key:
        os.environ["API_KEYS"] = ",".join(filter(None, (os.environ.get("API_KEYS"), key)))
    unneeded = sorted(name for name in taken if name.lower() != "apikey")
    if values.get("eula", "").lower() == "accept" and not os.environ.get("DETECTOR_KEY_HEADER"):
        os.environ["DETECTOR_KEY_HEADER"] = "optional"
        unneeded = [name for name in unneeded if name.lower() != "eula"]
        _log.info("Eula=accept: where there are no keys, requests need no key header.")
    if unneeded:
        _log.info("No longer needed: %s.", ", ".join(unneeded))


def _from_environment() -> dict[str, str]:
    found = {name: value for name, value in os.environ.items() if name.lower() in _NEEDED}
    accepted = any(name.lower() == "eula" and found[name].lower() == "accept" for name in found)
    return found if accepted else {}


def _parsed(given: Sequence[str]) -> dict[str, str]:
    taken = {}
    for place, argument in enumerate(given, 1):
        name, equals, value = argument.partition("=")
        if not equals or name.partition(":")[0].lower() not in _NAMES:
            # It may be a key, of which some end in "=".
            is_name = equals and _WORD.fullmatch(name)
            shown = f"'{name}'" if is_name else f"number {place}, which is no NAME=VALUE,"
            raise ValueError(
                f"The service does not start: the argument {shown} is not known. It takes those "
                f"of the service's own container: {', '.join(_NAMES.values())}."
            )
        taken[name] = value
    return taken


def keep_key() -> None:
    """Use a key of the service's own where a container was told neither keys nor its address.

    The container cannot see where its port is published. So it makes a key when it first starts,
    and keeps it in the current folder, which is its volume.

    Raises
    ------
    ValueError
        Where the key cannot be kept or read, saying in one sentence what to change.
    """
    settings = AddressSettings()
    if not settings.in_container or settings.published_address or settings.api_keys:
        return
    if is_loopback(settings.host):
        return
    path = Path.cwd() / _KEY_FILE
    try:
        key = _made(path) or path.read_text().strip()
    except OSError as error:
        raise ValueError(
            f"The service does not start: it keeps its key in {path}, which it cannot use "
            f"({error.strerror}). Give it a volume that it may write to, or set API_KEYS."
        ) from None
    if not key:
        raise ValueError(
            f"The service does not start: {path} holds no key. Delete it, and a new one is made."
        )
    os.environ["API_KEYS"] = key
    # Logs are read by more people than the volume, so the key itself is not in them.
    _log.info(
        "Clients send the key that is in %s: neither API_KEYS nor BIND_ADDRESS=127.0.0.1 is set. "
        "To read it: docker exec %s cat %s",
        path,
        socket.gethostname(),
        path,
    )


def _made(path: Path) -> str:
    """Return a key that is new and kept, or nothing where there is one already."""
    key = secrets.token_hex(24)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f"{path.name}-") as file:
        file.write(f"{key}\n")
        file.flush()
        try:
            # Another container may start on the same volume, and must not read half of it.
            os.link(file.name, path)
        except FileExistsError:
            return ""
    return key
