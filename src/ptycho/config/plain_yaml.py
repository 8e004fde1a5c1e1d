"""YAML of plain values: no aliases, which make a thousand million words of ten lines, no tags, no name twice."""

from typing import Any

import yaml


def load_plain(text: str) -> Any:
    """Return the plain values in a YAML text.

    Raises
    ------
    yaml.YAMLError
        It is not YAML, has aliases, tags or a name twice, or a number or date that can't be; with line and column
        where known.
    """
    try:
        # Nothing but plain values can come of it: the loader is PyYAML's safe one.
        return yaml.load(text, _PlainLoader)
    except RecursionError as error:
        raise yaml.YAMLError("it is nested too deep") from error
    except (ValueError, OverflowError) as error:
        raise yaml.YAMLError(f"a number or date can't be ({error})") from error


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's parser is untyped
        if isinstance(event, yaml.AliasEvent):
            problem = f"alias *{event.anchor}; write the value out"
        elif event.tag not in (None, "!"):
            problem = f"tag {event.tag}; write a plain value"
        else:
            return super().compose_node(parent, index)
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for name, _ in node.value:
            if isinstance(name, yaml.ScalarNode):
                if name.value in seen:
                    problem = f"{name.value} for the second time; keep one of them"
                    raise yaml.MarkedYAMLError(problem=problem, problem_mark=name.start_mark)
                seen.add(name.value)
        return super().construct_mapping(node, deep)
