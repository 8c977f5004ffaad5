"""Old machine code is never run for new sources."""

from __future__ import annotations

import ast
from pathlib import Path

from simulator.market import compiled

PACKAGE = Path(compiled.__file__).parent


def test_every_module_with_compiled_code_is_in_the_digest() -> None:
    using = {
        path.stem
        for path in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        and any(ast.unparse(each) == "compiled" for each in node.decorator_list)
    }

    digested = {path.stem for path in compiled._SOURCES}
    assert using <= digested
    # And what they take constants from.
    imported = {
        node.module.rpartition(".")[2]
        for stem in using
        for node in ast.walk(ast.parse((PACKAGE / f"{stem}.py").read_text()))
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("simulator")
    }
    assert imported <= digested
