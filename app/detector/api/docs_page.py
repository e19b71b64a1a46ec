"""The page that shows the description of the API; it needs nothing from elsewhere."""

import html
import json
from typing import Any

__all__ = ["render"]

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{background:#f3f5f7;border-radius:4px;padding:.1rem .3rem}pre{padding:1rem;overflow:"
    "auto;max-height:20rem}td,th{text-align:left;vertical-align:top;padding:.2rem 1rem .2rem 0}"
)


def render(description: dict[str, Any]) -> str:
    """Return the page of an OpenAPI description."""
    info = description["info"]
    routes = [
        _route(path, method, operation)
        for path, methods in description["paths"].items()
        for method, operation in methods.items()
    ]
    return (
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{info['title']}</title>"
        f"<style>{_STYLE}</style><h1>{info['title']}</h1><p>{info['summary']} "
        f"For programs: <a href=openapi.json>openapi.json</a>.</p>{''.join(routes)}</html>"
    )


def _route(path: str, method: str, operation: dict[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    schema = body.get("schema", {})
    answers = {code: answer["description"] for code, answer in operation["responses"].items()}
    parts = [
        f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>",
        f"<p>{html.escape(operation.get('description', ''))}</p>",
        _table("Field", {name: _meaning(of) for name, of in schema.get("properties", {}).items()}),
        _table("Status", answers),
    ]
    if "example" in schema:
        example = html.escape(json.dumps(schema["example"], indent=1))
        parts.insert(2, f"<details><summary>Example</summary><pre>{example}</pre></details>")
    return "".join(parts)


def _meaning(field: dict[str, Any]) -> str:
    given = field.get("default")
    default = f" Default: {given}." if given is not None else ""
    return f"{field.get('description', '')}{default}"


def _table(title: str, rows: dict[str, str]) -> str:
    if not rows:
        return ""
    lines = [
        f"<tr><td><code>{html.escape(name)}</code><td>{html.escape(text)}"
        for name, text in rows.items()
    ]
    return f"<table><tr><th>{title}<th>Meaning{''.join(lines)}</table>"
