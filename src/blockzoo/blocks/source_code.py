"""Code as text that comments, layout and docstrings do not change.

Of code whose source is at hand that text is the source, normalised: it is the same under all
versions of Python. The source must compile to the very code that runs; a file that was edited
since it was imported does not, and code that was made by `exec` has none. Then the text is the
bytecode, which tells as much, but only under one version of Python.
"""

from __future__ import annotations

import ast
import dis
import hashlib
import linecache
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

_Key = tuple[str, int]
_BY_NAME = {"LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS", "STORE_GLOBAL"}
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, kw_only=True)
class UsedNames:
    """The names that code, and all code within it, refers to.

    `imports`: (level, module) of every import statement; level 0 is an absolute one.
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[tuple[int, str]]


def code_digest(tree: ast.AST) -> str:
    """Return 12 hexadecimal digits of code, which comments and layout do not change.

    >>> code_digest(ast.parse("x = 1")) == code_digest(ast.parse("x=1  # one"))
    True
    """
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:12]


def code_text(code: CodeType) -> str:
    """Return the normalised source of a function's code, or its bytecode where there is none.

    >>> code_text(compile("x = 1", "<nowhere>", "exec")).startswith("bytecode")
    True
    """
    # Equal code of two files is equal, but may have its source at hand in one of them only.
    return _text(code, code.co_filename)


@lru_cache(maxsize=4096)
def _text(code: CodeType, file: str) -> str:
    linecache.checkcache(file)
    source = "".join(linecache.getlines(file))
    key = code.co_name, code.co_firstlineno
    nodes = _parsed(source).get(key, ())
    # Two lambdas on one line cannot be told apart.
    if len(nodes) == 1 and code in _compiled(source).get(key, ()):
        return ast.unparse(nodes[0])
    return f"bytecode {_bytecode(code)}"


@lru_cache(maxsize=4096)
def used_names(code: CodeType) -> UsedNames:
    """Return the names that `code` looks up or sets in its module, beside all its attributes.

    >>> names = used_names(compile("import a.b; y = f(x).z", "<nowhere>", "exec"))
    >>> sorted(names.globals), sorted(names.imports), "z" in names.attributes
    (['f', 'x'], [(0, 'a.b')], True)
    """
    names: set[str] = set()
    attributes: set[str] = set()
    imports: set[tuple[int, str]] = set()
    for each in _nested(code):
        attributes |= {*each.co_names}
        level = 0
        for instruction in dis.get_instructions(each):
            if instruction.opname in _BY_NAME:
                names.add(instruction.argval)
            elif instruction.opname == "IMPORT_NAME":
                imports.add((level, instruction.argval))
            elif isinstance(instruction.argval, int) and "LOAD" in instruction.opname:
                # The level is the constant loaded before the list of names.
                level = instruction.argval
    return UsedNames(
        globals=frozenset(names), attributes=frozenset(attributes), imports=frozenset(imports)
    )


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)


@lru_cache(maxsize=64)
def _parsed(source: str) -> dict[_Key, list[_Function]]:
    """Return the functions of a source by name and first line, without their docstrings."""
    found: dict[_Key, list[_Function]] = defaultdict(list)
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return found
    for node in ast.walk(tree):
        if isinstance(node, ast.Lambda):
            found["<lambda>", node.lineno].append(node)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            # Code begins where its first decorator does.
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            found[node.name, first].append(node)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            node.body = _without_docstring(node.body)
    return found


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    match body[0]:
        case ast.Expr(value=ast.Constant(value=str())):
            return body[1:] or [ast.Pass()]
    return body


@lru_cache(maxsize=64)
def _compiled(source: str) -> dict[_Key, list[CodeType]]:
    found: dict[_Key, list[CodeType]] = defaultdict(list)
    # What does not parse is asked for nowhere.
    for code in _nested(compile(source, "<source>", "exec", dont_inherit=True)):
        found[code.co_name, code.co_firstlineno].append(code)
    return found


def _bytecode(code: CodeType) -> str:
    parts = (
        code.co_name,
        code.co_code.hex(),
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        getattr(code, "co_exceptiontable", b"").hex(),  # from Python 3.11 on
    )
    return f"{parts} {[_constant(each) for each in code.co_consts]}"


def _constant(value: object) -> str:
    if isinstance(value, CodeType):
        return _bytecode(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(_constant, value))})"
    if isinstance(value, frozenset):  # its order is another one in each process
        return f"{{{', '.join(sorted(map(_constant, value)))}}}"
    return repr(value)
