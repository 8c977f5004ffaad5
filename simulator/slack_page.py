"""Show messages as Slack would, on one plain page: headers, fields, marked text, context."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

STYLE: Final = """
body{font:15px/1.45 system-ui,sans-serif;margin:0;background:#f4f4f5;color:#1d1c1d}
main{max-width:760px;margin:0 auto;padding:24px}
h1{font-size:19px;margin:0 0 4px} .note{color:#616061;margin:0 0 20px}
article{background:#fff;border:1px solid #ddd;border-radius:8px}
article{padding:14px 18px;margin:0 0 14px}
article>.by{color:#616061;font-size:13px} h2{font-size:17px;margin:6px 0 8px} p{margin:8px 0}
.fields{display:grid;grid-template-columns:1fr 1fr;gap:8px 20px;margin:8px 0}
.context{color:#616061;font-size:13px} pre{white-space:pre-wrap} img{max-width:100%}
"""


def page(messages: Iterable[Mapping[str, Any]], total: int) -> str:
    """Return the page of `messages`, in the order given, out of `total`; it reloads itself."""
    # Any: messages as Slack's JSON has them.
    shown = "".join(_article(message) for message in messages)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="refresh" content="2"><title>Slack stand-in</title>'
        f"<style>{STYLE}</style></head><body><main><h1>Slack stand-in</h1>"
        f'<p class="note">What a Slack workspace would show. {total} messages, newest first; '
        "nothing leaves this machine.</p>"
        f"{shown or '<p>No message yet.</p>'}</main></body></html>"
    )


def _article(message: Mapping[str, Any]) -> str:
    by = html.escape(f"{message['channel_name']} · {message['ts']} · {message['method']}")
    blocks = "".join(_block(block) for block in message.get("blocks") or [])
    body = blocks or f"<p>{_marked(str(message.get('text') or ''))}</p>"
    files = "".join(_file(file) for file in message.get("files") or [])
    return f'<article><div class="by">{by}</div>{body}{files}</article>'


def _block(block: Mapping[str, Any]) -> str:
    kind = block.get("type")
    if kind == "header":
        return f"<h2>{html.escape(block['text']['text'])}</h2>"
    if kind == "context":
        parts = " ".join(_marked(part.get("text", "")) for part in block["elements"])
        return f'<p class="context">{parts}</p>'
    if kind == "divider":
        return "<hr>"
    if kind == "section":
        fields = "".join(
            f"<div>{_marked(field['text'])}</div>" for field in block.get("fields", [])
        )
        text = f"<p>{_marked(block['text']['text'])}</p>" if "text" in block else ""
        return text + (f'<div class="fields">{fields}</div>' if fields else "")
    return f"<pre>{html.escape(str(block))}</pre>"


def _file(file: Mapping[str, Any]) -> str:
    name = html.escape(str(file["title"]))
    return f'<p><img alt="{name}" src="/files/{html.escape(str(file["id"]))}"></p>'


def _marked(text: str) -> str:
    """Turn Slack's mrkdwn into HTML; Slack's own escapes are the only entities it may hold."""
    plain = text.replace("&lt;", "\0lt;").replace("&gt;", "\0gt;").replace("&amp;", "\0amp;")
    safe = html.escape(plain, quote=True)
    safe = re.sub(
        r"&lt;(https?://[^|\s]+?)\|(.+?)&gt;",
        r'<a href="\1" rel="noreferrer">\2</a>',
        safe,
    )
    safe = re.sub(r"(?<!\w)\*([^*\n]+)\*(?!\w)", r"<b>\1</b>", safe)
    return safe.replace("\0", "&").replace("\n", "<br>")
