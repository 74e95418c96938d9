"""Says in one sentence each what is wrong with a section of the settings and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_KINDS = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "list_type": "a list",
    "model_type": "a table",
    "path_type": "a path in quotes",
    "string_type": "a text in quotes",
    "tuple_type": "a list",
}


def describe(error: ValidationError, model: type[BaseModel], section: str) -> list[str]:
    """One sentence for each error that pydantic found in a section.

    Parameters
    ----------
    model
        The section's settings class; its limits say what is allowed.
    section
        How the section is called in the sentences, e.g. ``listen`` or ``destination[pacs]``.
    """
    problems = []
    for item in error.errors(include_url=False):
        path = [str(part) for part in item["loc"]]
        key = ".".join([section, *path])
        owner, field = _owner(path, model)
        problems.append(f"{key}: {_sentence(item['type'], item, field, path, owner)}")
    return problems


def _owner(path: list[str], model: type[BaseModel]) -> tuple[type[BaseModel], FieldInfo | None]:
    """The table that a path ends in, which may be one within the section, and the field there."""
    field = None
    for name in path:
        if field is not None and (inner := _table(field.annotation)) is not None:
            model = inner
        field = model.model_fields.get(name, None if field is None else field)
    return model, field


def _table(annotation: object) -> type[BaseModel] | None:
    """The settings class of a field that is a table, or a list of tables."""
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, BaseModel):
            return each
    return None


def unknown_key(name: str, known: Iterable[str]) -> str:
    """The sentence for a key that does not exist, with the nearest one that does."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if near:
        return f"there is no such key; did you mean {near[0]}?"
    return f"there is no such key; there are {', '.join(names)}"


def _sentence(
    kind: str, item: Any, field: FieldInfo | None, path: list[str], model: type[BaseModel]
) -> str:
    if kind == "missing":
        limits = allowed(field)
        return f"this key is needed: {limits}" if limits else "this key is needed"
    if kind == "extra_forbidden":
        return unknown_key(path[-1], model.model_fields)
    value = _shown(item["input"])
    if kind in _KINDS:
        return f"{value} is not allowed: {_KINDS[kind]}"
    if kind == "value_error":
        return f"{value} is not allowed: {item['ctx']['error']}"
    if kind == "literal_error":
        return f"{value} is not allowed: {item['ctx']['expected'].replace(chr(39), '')}"
    return f"{value} is not allowed: {allowed(field) or item['msg']}"


def allowed(field: FieldInfo | None) -> str:
    """The values that a field takes, from its limits: ``1 to 65535``, ``more than 0``."""
    if field is None:
        return ""
    limits: dict[str, Any] = {}
    for constraint in field.metadata:
        for name in ("ge", "gt", "le", "lt"):
            if getattr(constraint, name, None) is not None:
                limits[name] = getattr(constraint, name)
    if "ge" in limits and "le" in limits:
        return f"{limits['ge']} to {limits['le']}"
    if "gt" in limits and "le" in limits:
        return f"more than {limits['gt']}, at most {limits['le']}"
    if "gt" in limits:
        return f"more than {limits['gt']}"
    if "ge" in limits:
        return f"{limits['ge']} or more"
    return field.description or ""


def _shown(value: object) -> str:
    """A value as it is written in TOML, shortened."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        value = f'"{value}"'
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
