"""Reading YAML so that a wrong value can be pointed at: the line of every node, found by its path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from guardrails.problem import PolicyProblem

Model = TypeVar("Model", bound=BaseModel)

# Settings and templates are written by hand; what is larger came from elsewhere.
MAX_BYTES = 4 * 1024 * 1024


class _Loader(yaml.SafeLoader):
    """Without aliases: a few lines of them can stand for billions of nodes."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            event = self.peek_event()  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not allowed", event.start_mark)
        return super().compose_node(parent, index)


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


def _child(node: yaml.Node | None, step: str | int) -> yaml.Node | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(step):
                return value  # type: ignore[no-any-return]
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step]  # type: ignore[no-any-return]
    return None
