"""What the settings of .env must be before something starts."""

from __future__ import annotations

import ipaddress
import os

from stack.errors import SetupError

# What docker-compose.yml falls back to when there is no .env.
DEVELOPMENT_SECRET = "development-only"  # noqa: S105


def is_local(address: str) -> bool:
    """Say whether nobody outside of this machine reaches an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def check_secrets(variables: dict[str, str]) -> None:
    """Refuse development credentials where others can reach the endpoint or MLflow.

    Given are the settings of .env by name, and the variables that have their values here.
    """
    unset = [name for name, here in variables.items() if os.environ[here] == DEVELOPMENT_SECRET]
    for name in ("BIND_ADDRESS", "MLFLOW_BIND_ADDRESS"):
        address = os.environ[name]
        if unset and not is_local(address):
            raise SetupError(
                f"{name} is {address}, which others can reach, and these still have their value "
                f"for development: {', '.join(unset)}. Set secrets of your own in .env (`make up` "
                "writes random ones on first use), or bind to 127.0.0.1."
            )


def has_accounts() -> bool:
    """Say whether this server knows its users: it does behind Caddy (caddy/caddy.yml)."""
    return bool(os.environ.get("MLFLOW_ACCOUNTS"))


def check_accounts() -> None:
    """Refuse an address that others can reach, where this server knows no accounts."""
    address = os.environ["MLFLOW_BIND_ADDRESS"]
    if has_accounts():
        return
    if not is_local(address) and os.environ["MLFLOW_OPEN_TO_EVERYONE"] != "true":
        raise SetupError(
            f"MLFLOW_BIND_ADDRESS is {address}, which others can reach, and this MLflow has no "
            "accounts: bind it to 127.0.0.1 and let people in by caddy/caddy.yml "
            "(docs/accounts.md) or another proxy with a log-in, or, if everyone there may read, "
            "change and delete all runs and models, set MLFLOW_OPEN_TO_EVERYONE=true in .env."
        )
