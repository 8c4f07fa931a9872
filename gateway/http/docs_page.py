"""The readable page at /docs: plain HTML and one style sheet, made from the OpenAPI document.

No script and nothing from outside: its Content-Security-Policy allows only its own style sheet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

from aiohttp import web

from gateway.errors import CODES
from gateway.http.problems import REASONS, status_of

PAGE_POLICY = "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'"

STYLE = """\
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --link: #06c; }
@media (prefers-color-scheme: dark) { :root { --link: #8bf; } }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 62rem; padding: 1rem; }
a { color: var(--link); }
nav ul { columns: 16rem; list-style: none; padding: 0; }
section { border-top: 1px solid var(--line); margin-top: 1.5rem; padding-top: .5rem; }
h3 { font-size: 1rem; margin-bottom: .25rem; overflow-wrap: anywhere; }
h3 .method { border: 1px solid var(--line); border-radius: .25rem; padding: 0 .4rem; }
code { background: var(--soft); border-radius: .2rem; padding: 0 .2rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
pre { background: var(--soft); overflow-x: auto; padding: .5rem; }
.scroll { overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .5rem; text-align: left;
  vertical-align: top; }
:target { background: var(--soft); }
"""


def render_page(document: dict[str, Any]) -> str:
    """The whole page."""
    info = document["info"]
    body = [
        f"<h1>{escape(info['title'])} API {escape(info['version'])}</h1>",
        f"<p>{_marked(info['description'])}</p>",
        '<p>The same as a document for programs: <a href="/v1/openapi.json">OpenAPI 3.1</a>.</p>',
        *_contents(document),
    ]
    for tag in document["tags"]:
        body += [f"<h2>{escape(tag['name'])}</h2>", f"<p>{_marked(tag['description'])}</p>"]
        for path, method, operation in _operations(document):
            if tag["name"] in operation["tags"]:
                body += _operation(path, method, operation, document)
    body += [*_shapes(document), *_codes()]
    return _PAGE.format(title=escape(info["title"]), body="\n".join(body))


_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} API</title>
<link rel="stylesheet" href="/docs/style.css">
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def _operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method.upper(), operation


def _contents(document: dict[str, Any]) -> Iterator[str]:
    yield '<nav aria-label="Operations"><ul>'
    for path, method, operation in _operations(document):
        label = f"{method} {path}"
        yield f'<li><a href="#{operation["operationId"]}">{escape(label)}</a></li>'
    yield "</ul></nav>"


def _operation(
    path: str, method: str, operation: dict[str, Any], document: dict[str, Any]
) -> Iterator[str]:
    yield f'<section id="{operation["operationId"]}">'
    yield f'<h3><span class="method">{method}</span> <code>{escape(path)}</code></h3>'
    yield f"<p>{_marked(operation['summary'])}. {_marked(operation.get('description', ''))}</p>"
    rows = [
        (one["name"], one["in"], one["required"], one["schema"]) for one in operation["parameters"]
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body:
        rows += _members(body["schema"], document)
    if rows:
        yield from _table(("name", "in", "needed", "what"), [_row(*row) for row in rows])
    yield from _examples("Request", body, document)
    answers = [
        (f"<code>{status}</code>", _marked(one["description"]) + _answer(one))
        for status, one in operation["responses"].items()
    ]
    yield from _table(("status", "answer"), answers)
    first = next(iter(operation["responses"].values()))
    yield from _examples("Answer", first.get("content", {}).get("application/json"), document)
    yield "</section>"


def _examples(what: str, content: dict[str, Any] | None, document: dict[str, Any]) -> Iterator[str]:
    for name in (content or {}).get("examples", ()):
        value = document["components"]["examples"][name]["value"]
        text = json.dumps(value, ensure_ascii=False, indent=2)
        yield f"<details><summary>{what}: an example</summary>"
        yield f"<pre>{escape(text, quote=False)}</pre></details>"


def _members(schema: dict[str, Any], document: dict[str, Any]) -> list[tuple[str, str, bool, Any]]:
    shape = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return [
        (name, "body", name in shape.get("required", ()), one)
        for name, one in shape["properties"].items()
    ]


def _row(name: str, place: str, needed: bool, schema: dict[str, Any]) -> tuple[str, ...]:
    return (f"<code>{escape(name)}</code>", place, "yes" if needed else "", _kind(schema))


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a line."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#shape-{escape(name)}">{escape(name)}</a>'
    if "anyOf" in schema:
        return _kind(schema["anyOf"][0]) + " or null"
    kind = schema.get("type", "anything")
    said = " or ".join(kind) if isinstance(kind, list) else kind
    if "enum" in schema:
        said = " | ".join(f"<code>{escape(str(one))}</code>" for one in schema["enum"])
    if kind == "array":
        said = f"list of {_kind(schema['items'])}"
    bounds = [
        f"{label} {schema[key]}"
        for key, label in (("minimum", "from"), ("maximum", "to"), ("maxLength", "at most"))
        if key in schema
    ]
    about = _marked(schema.get("description", ""))
    return f"{said} {', '.join(bounds)} {about}".strip()


def _answer(response: dict[str, Any]) -> str:
    for content in response.get("content", {}).values():
        return " " + _kind(content["schema"])
    return ""


def _shapes(document: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Shapes</h2>"
    for name, shape in document["components"]["schemas"].items():
        yield f'<section id="shape-{escape(name)}"><h3>{escape(name)}</h3>'
        yield f"<p>{_marked(shape.get('description', ''))}</p>"
        needed = shape.get("required", ())
        rows = [
            (f"<code>{escape(member)}</code>", "yes" if member in needed else "", _kind(one))
            for member, one in shape.get("properties", {}).items()
        ]
        yield from _table(("name", "always", "what"), rows)
        yield "</section>"


def _codes() -> Iterator[str]:
    yield "<h2>Codes</h2>"
    rows = [
        (f'<code id="{code}">{code}</code>', str(status_of(code)), _marked(CODES.get(code, "")))
        for code in [*sorted(CODES), *sorted(REASONS - set(CODES))]
    ]
    yield from _table(("code", "status", "what to do"), rows)


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    yield '<div class="scroll"><table><thead><tr>'
    yield "".join(f'<th scope="col">{name}</th>' for name in head)
    yield "</tr></thead><tbody>"
    for row in rows:
        yield "<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>"
    yield "</tbody></table></div>"


def _marked(text: str) -> str:
    """Escaped, with `code` as code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if odd % 2 else part for odd, part in enumerate(parts))


def page_response(page: str) -> web.Response:
    """The page as an answer."""
    return web.Response(
        text=page, content_type="text/html", headers={"Content-Security-Policy": PAGE_POLICY}
    )


def style_response() -> web.Response:
    """The style sheet as an answer."""
    return web.Response(text=STYLE, content_type="text/css")


__all__ = ["page_response", "render_page", "style_response"]
