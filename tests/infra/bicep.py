"""What do the Bicep files say? Read by their syntax; names, strings, lists, indexes and loops are worked out.

What is known only on deployment (a function's value, a property of another resource) stays as Code: its source text, in
which the names that are known are not replaced.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))


class Code(str):
    """An expression that is worked out on deployment."""

    __slots__ = ()


@dataclass(frozen=True)
class Resource:
    """A resource of a template; `body` is what stands between its braces."""

    file: Path
    symbol: str
    type: str
    existing: bool
    body: dict[str, Any]


@dataclass(frozen=True)
class Module:
    """One use of a module; `params` are the values it is given."""

    symbol: str
    path: Path
    params: dict[str, Any]


class Template:
    """A Bicep file, with the values of its parameters where they are `given`, else their defaults."""

    def __init__(self, path: Path, given: Mapping[str, Any] | None = None) -> None:
        self.path = path
        self.root = _PARSER.parse(path.read_bytes()).root_node
        self._given = dict(given or {})
        self._declared = {
            (node.type.split("_")[0], text(node.named_children[first])): node
            for node in self.root.named_children
            if node.type.endswith("_declaration")
            for first in [1 if node.named_children[0].type == "decorators" else 0]
        }

    def of_kind(self, kind: str) -> dict[str, Node]:
        """Declarations by name; a kind is parameter, variable, resource, module or output."""
        return {name: node for (declared, name), node in self._declared.items() if declared == kind}

    def problems(self) -> list[str]:
        """Lines that are no Bicep."""
        return [
            f"{self.path.name}:{node.start_point[0] + 1}: {text(node)[:60]!r}"
            for node in walk(self.root)
            if node.is_error or node.is_missing
        ]

    def default(self, parameter: str) -> Any:
        """The default of a parameter; KeyError when it must be given."""
        node = self.of_kind("parameter")[parameter]
        *_, last = node.named_children
        if last.type == "type":
            raise KeyError(parameter)
        return self._value(last, {})

    def name(self, name: str) -> Any:
        """What a parameter or variable is."""
        if name in self._given:
            return self._given[name]
        if name in self.of_kind("variable"):
            return self._value(self.of_kind("variable")[name].named_children[-1], {})
        try:
            return self.default(name)
        except KeyError:
            return Code(name)

    def outputs(self) -> dict[str, Any]:
        """The outputs, worked out."""
        return {name: self._value(node.named_children[-1], {}) for name, node in self.of_kind("output").items()}

    def resources(self) -> list[Resource]:
        """All resources, once for each turn of a loop."""
        return [
            Resource(self.path, symbol, _type(node), any(text(c) == "existing" for c in node.children), body)
            for symbol, node in self.of_kind("resource").items()
            for body in self._bodies(node.named_children[-1])
        ]

    def modules(self) -> list[Module]:
        """All modules, once for each turn of a loop."""
        return [
            Module(symbol, self.path.parent / _type(node), body["params"])
            for symbol, node in self.of_kind("module").items()
            for body in self._bodies(node.named_children[-1])
        ]

    def _bodies(self, node: Node) -> list[dict[str, Any]]:
        if node.type == "if_statement":
            node = node.named_children[-1]
        found = self._value(node, {})
        return found if isinstance(found, list) else [found]

    def _value(self, node: Node, loop: Mapping[str, Any]) -> Any:
        parts = [child for child in node.named_children if child.type != "comment"]
        match node.type:
            case "string":
                return self._string(node, loop)
            case "number":
                return int(text(node))
            case "boolean":
                return text(node) == "true"
            case "null":
                return None
            case "identifier":
                return loop[text(node)] if text(node) in loop else self.name(text(node))
            case "array":
                return [self._value(part, loop) for part in parts]
            case "object":
                return {
                    str(self._value(key, {}) if key.type == "string" else text(key)): self._value(value, loop)
                    for key, value in (part.named_children for part in parts)
                }
            case "subscript_expression":
                return self._item(parts[0], parts[1], node, loop)
            case "for_statement":
                return self._turns(parts, node, loop)
        return Code(text(node))

    def _string(self, node: Node, loop: Mapping[str, Any]) -> Any:
        found = []
        for part in node.named_children:
            value = text(part) if part.type != "interpolation" else self._value(part.named_children[0], loop)
            if isinstance(value, Code):
                return Code(text(node))
            found.append(str(value))
        return "".join(found)

    def _item(self, of: Node, index: Node, node: Node, loop: Mapping[str, Any]) -> Any:
        values, key = self._value(of, loop), self._value(index, loop)
        return values[key] if isinstance(values, list) else Code(text(node))

    def _turns(self, parts: list[Node], node: Node, loop: Mapping[str, Any]) -> Any:
        variable, over, body = parts
        values = self._value(over, loop)
        if not isinstance(values, list):
            return Code(text(node))
        return [self._value(body, {**loop, text(variable): value}) for value in values]


def deployed(path: Path, given: Mapping[str, Any] | None = None) -> Iterator[Template]:
    """The template and all that it deploys, with the values that they are given."""
    template = Template(path, given)
    yield template
    for module in template.modules():
        yield from deployed(module.path, module.params)


def names_used(template: Template) -> set[str]:
    """The names that stand anywhere but where they are declared, or as a property's name."""
    return {
        text(node)
        for node in walk(template.root)
        if node.type == "identifier"
        and node.parent is not None
        and not (node.parent.type == "object_property" and node.parent.named_children[0] == node)
        and not (node.parent.type.endswith("_declaration") and node in node.parent.named_children[:2])
    }


def outputs_used(template: Template) -> set[tuple[str, str]]:
    """The pairs (module, output) that a template reads."""
    return set(re.findall(r"(\w+)\.outputs\.(\w+)", text(template.root)))


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from walk(child)


def text(node: Node) -> str:
    return (node.text or b"").decode()


def _type(node: Node) -> str:
    return next(text(child) for child in node.named_children if child.type == "string").strip("'")
