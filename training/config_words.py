"""A configuration's fields in words: what is wrong with one, and the table of all."""

import difflib
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

Table = type[BaseModel]


def explain(root: Table, where: tuple[int | str, ...], fault: dict[str, Any]) -> str:
    """Return one fault as field, value, what is wrong and what the field is for."""
    if fault["type"] == "extra_forbidden":
        return _unknown(root, where)
    names: list[str] = []
    table: Any = root
    field: FieldInfo | None = None
    for part in where:  # behind the field's name pydantic adds the kinds that it tried
        if table is None or part not in table.model_fields:
            break
        names.append(str(part))
        field = table.model_fields[part]
        table = field.annotation if _is_table(field) else None
    name = ".".join(names)
    if fault["type"] == "missing":
        return f"{name} is missing. {field.description if field else ''}"
    if fault["type"] == "value_error":
        return f"{name + ': ' if name else ''}{fault['ctx']['error']}."
    about = f" ({field.description})" if field and field.description else ""
    return f"{name} = {fault['input']!r}: {fault['msg']}.{about}"


def _unknown(root: Table, where: tuple[int | str, ...]) -> str:
    name, tables = str(where[-1]), dict(_tables(root))
    homes = [title for title, table in tables.items() if name in table.model_fields]
    title = str(where[0]) if len(where) > 1 else ""
    if homes:
        return f"{'.'.join(map(str, where))} is in the wrong place: it belongs {_place(homes[0])}."
    known = list(tables[title].model_fields)
    near = difflib.get_close_matches(name, known, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    return (
        f"{'.'.join(map(str, where))} is unknown.{hint} {_place(title).capitalize()} "
        f"there can be: {', '.join(known)}."
    )


def _place(title: str) -> str:
    return f"in the table [{title}]" if title else "at the top, before the first table,"


def _is_table(field: FieldInfo) -> bool:
    return isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)


def _tables(root: Table) -> Iterator[tuple[str, Table]]:
    """Yield the tables with their titles; "" is the top level."""
    yield "", root
    for name, field in root.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def reference(root: Table) -> str:
    """Return the table of all fields in Markdown, as docs/training.md has it."""
    rows = ["| field | default | meaning |", "|---|---|---|"]
    for title, table in _tables(root):
        for name, field in table.model_fields.items():
            if _is_table(field):
                continue
            default = "required" if field.is_required() else f"`{_toml(field.default)}`"
            full = f"{title}.{name}" if title else name
            rows.append(f"| `{full}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)
