"""How does a page of the documentation run? Its Python blocks in order, in one module and one directory of their own.

`await` stands at the top level, as in `python -m asyncio`. A block that begins with `# name.py` is that file.
`expression  # -> text` claims that its repr, or `Error: message`, is that text; `...` stands for anything.
A block after `<!-- not run: why -->` is not run.
"""

from __future__ import annotations

import ast
import asyncio
import importlib
import inspect
import io
import re
import shlex
import subprocess
import sys
import tokenize
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import Any, TypeAlias

ROOT = Path(__file__).parents[1]

_BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<why>.+?) -->\n+)?```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL
)
_FILE = re.compile(r"# (\w+)\.py\n")
_CLAIM = "# -> "


@dataclass(frozen=True)
class Block:
    """A fenced block; `line` is where its code begins, `why` why it is not run."""

    page: Path
    line: int
    language: str
    code: str
    why: str | None


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    return [
        Block(page, text[: found.start("code")].count("\n") + 1, found["language"], found["code"], found["why"])
        for found in _BLOCK.finditer(text)
    ]


def prose_of(page: Path) -> str:
    """The text without its blocks."""
    return re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


async def run(block: Block, namespace: dict[str, Any]) -> None:
    if (file := _FILE.match(block.code)) is not None:
        assert _CLAIM not in block.code, f"{name_of(block.page)}: claims are not checked in a file"
        Path(f"{file[1]}.py").write_text(block.code)
        importlib.invalidate_caches()
        module = importlib.import_module(file[1])
        namespace.update({name: value for name, value in vars(module).items() if not name.startswith("__")})
        return
    # Moved down to its place in the page, so that a traceback shows the page's line.
    tree = with_claims("\n" * (block.line - 1) + block.code, name_of(block.page))
    code = compile(tree, str(block.page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    namespace["__claimed__"] = claimed
    if code.co_flags & inspect.CO_COROUTINE:
        await FunctionType(code, namespace)()
    else:  # in a thread, where no event loop runs: app.sync and asyncio.run work
        await asyncio.to_thread(exec, code, namespace)


async def run_scripts(block: Block) -> None:
    """Run the lines `python file.py` for files that the page has written."""
    for line in block.code.splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True)
        if len(words) == 2 and words[0] == "python" and Path(words[1]).exists():
            done = await asyncio.to_thread(
                subprocess.run, [sys.executable, words[1]], capture_output=True, text=True, timeout=60, check=False
            )
            assert done.returncode == 0, f"{name_of(block.page)}: {line}\n{done.stderr}"


def with_claims(source: str, page: str) -> ast.Module:
    """The module, in which every statement with a claim is checked against it."""
    claims: dict[_Place, str] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT and token.string.startswith(_CLAIM):
            line, column = token.start
            alone = not token.line[:column].strip()
            claims[(line - 1, column) if alone else (line, None)] = token.string.removeprefix(_CLAIM)
    tree = ast.parse(source)
    _Claims(claims, page).visit(tree)
    assert not claims, f"{page}: no statement ends where these claims stand: {claims}"
    return ast.fix_missing_locations(tree)


#: Where the statement of a claim ends, and the column where it begins if the claim has a line of its own.
_Place: TypeAlias = tuple[int, int | None]


class _Claims(ast.NodeTransformer):
    """Takes each claim for the innermost statement that ends in its line, or begins above it in the same column."""

    def __init__(self, claims: dict[_Place, str], page: str) -> None:
        self.claims = claims
        self.page = page

    def visit(self, node: ast.AST) -> Any:
        node = self.generic_visit(node)
        if not isinstance(node, ast.stmt):
            return node
        end = node.end_lineno or 0
        claim = self.claims.pop((end, None), None) or self.claims.pop((end, node.col_offset), None)
        if claim is None:
            return node
        checked = ast.parse(
            "try:\n    __said__ = 'nothing'\n"
            "except Exception as __error__:\n    __said__ = f'{type(__error__).__name__}: {__error__}'\n"
            f"__claimed__({claim!r}, __said__, {f'{self.page}:{node.lineno}'!r})"
        ).body
        (attempt, check) = checked
        assert isinstance(attempt, ast.Try)
        if isinstance(node, ast.Expr):
            said = ast.parse("__said__ = repr(0)").body[0]
            assert isinstance(said, ast.Assign)
            assert isinstance(said.value, ast.Call)
            said.value.args = [node.value]
            attempt.body = [said]
        else:
            attempt.body.insert(0, node)
        for new in checked:
            for part in ast.walk(new):
                part.lineno = part.end_lineno = node.lineno  # type: ignore[attr-defined]
                part.col_offset = part.end_col_offset = 0  # type: ignore[attr-defined]
        return [attempt, check]


def claimed(claim: str, said: str, where: str) -> None:
    pattern = ".*".join(re.escape(part) for part in claim.split("..."))
    assert re.fullmatch(pattern, said, re.DOTALL), f"{where} claims {claim!r}, and it is {said!r}"
