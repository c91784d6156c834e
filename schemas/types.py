"""An Avro schema as a tree of types: names are resolved, and a union with null becomes a nullable type.

It supports the part of Avro that can be Arrow columns: no unions except of null and one type, no recursion, no decimal
or uuid. Source: Avro specification 1.12, https://avro.apache.org/docs/1.12.0/specification/
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Final

PRIMITIVES: Final = frozenset({"boolean", "int", "long", "float", "double", "bytes", "string"})
#: Logical types by underlying type and name.
LOGICAL: Final = {
    ("int", "date"): "date",
    ("long", "timestamp-millis"): "timestamp-millis",
    ("long", "timestamp-micros"): "timestamp-micros",
}


class UnsupportedSchemaError(ValueError):
    """The schema has a part that can't be an Arrow column, or isn't Avro at all."""


@dataclass(frozen=True)
class Field:
    """A field of a record. `default` is the default in JSON; it only has a meaning if `has_default`."""

    name: str
    type: AvroType
    doc: str = ""
    has_default: bool = False
    default: Any = None
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class AvroType:
    """One type. `kind` is a primitive, a logical type, enum, array, map or record.

    `items` is the type of an array's items or a map's values. `symbols` and `enum_default` belong to an enum, `fields`
    to a record.
    """

    kind: str
    nullable: bool = False
    name: str = ""
    doc: str = ""
    symbols: tuple[str, ...] = ()
    enum_default: str | None = None
    items: AvroType | None = None
    fields: tuple[Field, ...] = field(default=())

    @property
    def item(self) -> AvroType:
        """Type of an array's items or a map's values. Raises TypeError for any other kind."""
        if self.items is None:
            raise TypeError(f"a type of kind {self.kind} has no items")
        return self.items


def parse_type(schema: Any) -> AvroType:
    """Return the type of a schema, given as parsed JSON. Raise UnsupportedSchemaError if it isn't supported."""
    try:
        return _parse(schema, {}, "")
    except (KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnsupportedSchemaError("not an Avro schema") from error


def _parse(schema: Any, named: dict[str, AvroType], namespace: str) -> AvroType:
    if isinstance(schema, str):
        return _by_name(schema, named, namespace)
    if isinstance(schema, list):
        return _nullable(schema, named, namespace)
    kind = schema["type"]
    if isinstance(kind, (dict, list)):
        return _parse(kind, named, namespace)
    if kind in ("record", "enum"):
        return _named(schema, named, namespace)
    if kind in ("array", "map"):
        return AvroType(
            kind, items=_parse(schema["items" if kind == "array" else "values"], named, namespace)
        )
    return _scalar(kind, schema.get("logicalType"), named, namespace)


def _by_name(name: str, named: dict[str, AvroType], namespace: str) -> AvroType:
    if name in PRIMITIVES:
        return AvroType(name)
    full = name if "." in name or not namespace else f"{namespace}.{name}"
    if full not in named:
        raise UnsupportedSchemaError(f"type {full} is not defined before its use, or refers to itself")
    return named[full]


def _nullable(branches: list[Any], named: dict[str, AvroType], namespace: str) -> AvroType:
    others = [branch for branch in branches if branch != "null"]
    if len(others) != 1:
        raise UnsupportedSchemaError("a union other than of null and one type")
    return replace(_parse(others[0], named, namespace), nullable=len(others) < len(branches))


def _scalar(kind: str, logical: str | None, named: dict[str, AvroType], namespace: str) -> AvroType:
    if logical is None:
        return _by_name(kind, named, namespace)
    if kind == "fixed" or logical in ("decimal", "uuid") or (kind, logical) not in LOGICAL:
        raise UnsupportedSchemaError(f"logical type {logical} of {kind}")
    return AvroType(LOGICAL[kind, logical])


def _named(schema: dict[str, Any], named: dict[str, AvroType], namespace: str) -> AvroType:
    name, doc = str(schema["name"]), str(schema.get("doc", ""))
    space = name.rpartition(".")[0] or schema.get("namespace", namespace)
    short = name.rpartition(".")[2]
    if schema["type"] == "enum":
        avro = AvroType(
            "enum", name=short, doc=doc, symbols=tuple(schema["symbols"]), enum_default=schema.get("default")
        )
    else:
        fields = tuple(_field(field_schema, named, space) for field_schema in schema["fields"])
        avro = AvroType("record", name=short, doc=doc, fields=fields)
    named[f"{space}.{short}" if space else short] = avro
    return avro


def _field(schema: dict[str, Any], named: dict[str, AvroType], namespace: str) -> Field:
    return Field(
        name=schema["name"],
        type=_parse(schema["type"], named, namespace),
        doc=schema.get("doc", ""),
        has_default="default" in schema,
        default=schema.get("default"),
        aliases=tuple(schema.get("aliases", ())),
    )
