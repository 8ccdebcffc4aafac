"""Reading YAML so that a wrong value can be pointed at: the line of every node, found by its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast

import yaml
from pydantic import BaseModel, ValidationError

from guardrails.problem import PolicyProblem

try:
    from yaml import CSafeLoader as Base
except ImportError:
    # A PyYAML built without libyaml: the same, ten times slower.
    from yaml import SafeLoader as Base  # type: ignore[assignment]

Model = TypeVar("Model", bound=BaseModel)

# Settings and templates are written by hand; what is larger came from elsewhere.
MAX_BYTES = 4 * 1024 * 1024
MAX_VALUES = 400_000
MAX_DEPTH = 50
_LONGEST_NUMBER = 100


class _Loader(Base):
    """Reads numbers that somebody could have written; a longer one takes minutes to become one, and is a text."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> Any:
        if kind is yaml.ScalarNode and value is not None and len(value) > _LONGEST_NUMBER and implicit[0]:
            return "tag:yaml.org,2002:str"
        return super().resolve(kind, value, implicit)  # type: ignore[no-untyped-call]


# `mode: off` is a word here, not YAML 1.1's false.
_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:bool" or first in {"t", "T", "f", "F"}
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True, slots=True)
class YamlSource:
    """A parsed file and its node tree."""

    path: Path
    data: Any
    root: yaml.Node | None

    def line(self, place: Sequence[str | int]) -> int | None:
        """The line of the value at `place`, or of its nearest parent there is.

        A step that is not in the file is passed over: pydantic names the member of a union that it tried.
        """
        node = self.root
        for step in place:
            node = _child(node, step) or node
        return node.start_mark.line + 1 if node is not None else None

    def problem(self, message: str, place: Sequence[str | int] = ()) -> PolicyProblem:
        """What is wrong with the value at `place`."""
        return PolicyProblem(self.path, message, self.line(place), ".".join(map(str, place)))

    def parse(self, model: type[Model]) -> Model:
        """The file as `model`. Raises PolicyProblem for the first wrong field."""
        try:
            return model.model_validate({} if self.data is None else self.data)
        except ValidationError as error:
            problems = [
                self.problem(one["msg"], one["loc"])
                for one in error.errors(include_url=False, include_input=False)
            ]
            raise min(problems, key=lambda problem: problem.line or 0) from None


def read_yaml(path: Path) -> YamlSource:
    """Read a file. Raises PolicyProblem."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise PolicyProblem(path, f"larger than {MAX_BYTES // 2**20} MiB")
        content = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise PolicyProblem(path, f"cannot be read as UTF-8 text: {error}") from None
    try:
        _check_size(content)
        loader = _Loader(content)
        try:
            root = loader.get_single_node()
            data = loader.construct_document(root) if root is not None else None
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise PolicyProblem(path, f"{error.problem}", mark.line + 1 if mark else None) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise PolicyProblem(path, str(error).replace("\n", " ")) from None
    return YamlSource(path, data, root)


def _check_size(content: str) -> None:
    """Before anything is built of it. Raises ComposerError, at the place where it becomes too much.

    No aliases: a few lines of them can stand for billions of values. Nor great depth: what comes next is recursive.
    """
    values = depth = 0
    for event in yaml.parse(content, Loader=_Loader):
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.NodeEvent):
            values += 1
            depth += isinstance(event, yaml.CollectionStartEvent)
            wrong = (
                "aliases are not allowed"
                if isinstance(event, yaml.AliasEvent)
                else f"nested more than {MAX_DEPTH} deep"
                if depth > MAX_DEPTH
                else f"more than {MAX_VALUES} values"
                if values > MAX_VALUES
                else ""
            )
            if wrong:
                raise yaml.composer.ComposerError(None, None, wrong, cast(yaml.Mark, event.start_mark))


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value  # type: ignore[no-any-return]
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]  # type: ignore[no-any-return]
    return None
