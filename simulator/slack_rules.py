"""What Slack accepts as a message: the limits of text and Block Kit, with its own error codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

BLOCKS: Final = 50
HEADER_CHARACTERS: Final = 150
SECTION_CHARACTERS: Final = 3_000
FIELDS: Final = 10
FIELD_CHARACTERS: Final = 2_000
CONTEXT_ELEMENTS: Final = 10
TEXT_CHARACTERS: Final = 40_000


def problem_with(arguments: Mapping[str, Any]) -> str | None:
    """Return the error code Slack has for a message it does not take, None for a good one."""
    # Any: a message as the caller's JSON has it.
    text, blocks = arguments.get("text"), arguments.get("blocks")
    if not text and not blocks:
        return "no_text"
    if len(str(text or "")) > TEXT_CHARACTERS:
        return "msg_too_long"
    if blocks is None:
        return None
    if not isinstance(blocks, list) or len(blocks) > BLOCKS:
        return "invalid_blocks"
    return None if all(_is_valid(block) for block in blocks) else "invalid_blocks"


def _is_valid(block: Any) -> bool:
    # Any: a block as the caller's JSON has it.
    if not isinstance(block, dict):
        return False
    kind = block.get("type")
    if kind == "header":
        return _is_text(block.get("text"), HEADER_CHARACTERS, ("plain_text",))
    if kind == "context":
        elements = block.get("elements") or []
        return 0 < len(elements) <= CONTEXT_ELEMENTS
    if kind == "section":
        fields = block.get("fields") or []
        return (
            ("text" in block or bool(fields))
            and ("text" not in block or _is_text(block["text"], SECTION_CHARACTERS))
            and len(fields) <= FIELDS
            and all(_is_text(field, FIELD_CHARACTERS) for field in fields)
        )
    return kind in ("divider", "image", "actions", "rich_text")


def _is_text(text: Any, characters: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> bool:
    return (
        isinstance(text, dict)
        and text.get("type") in kinds
        and 0 < len(text.get("text") or "") <= characters
    )
