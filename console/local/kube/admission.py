"""What stands between a parsed body and the storage: names and types checked, unknown fields out, defaults in,
everything validated."""

from __future__ import annotations

from typing import Any

from console.local.kube import core, definitions, metadata, rules, status
from console.local.kube.metadata import Object
from console.local.kube.normal import apply_defaults, drop_nulls, prune
from console.local.kube.state import Options, Target
from console.local.kube.validation import BLOCKING, UNCHECKED, validate


def identify(target: Target, content: Any) -> Object:
    """Check that a body is an object of the kind and namespace of the URL, and fill in what may be missing.

    Raises `ApiError` 400. The answer shares its parts with ``content``.
    """
    if not isinstance(content, dict):
        raise status.bad_request("the body is not an object")
    made: Object = dict(content)
    for name, wanted in (("kind", target.kind), ("apiVersion", target.api_version)):
        given = made.get(name)
        if given is None and target.resource.custom:
            raise status.bad_request(f"Object '{name[0].upper()}{name[1:]}' is missing in the body")
        if given is not None and given != wanted:
            raise status.bad_request(
                f"the {'kind' if name == 'kind' else 'API version'} in the data ({given}) does not match the expected "
                f"{'kind' if name == 'kind' else 'API version'} ({wanted})"
            )
    given = made.get("metadata")
    if given is not None and not isinstance(given, dict):
        raise _unreadable(target, "metadata is not an object")
    own: Object = dict(given or {})
    namespace = own.pop("namespace", None)
    if target.resource.namespaced:
        if namespace not in (None, "", target.namespace):
            raise status.bad_request(
                "the namespace of the provided object does not match the namespace sent on the request"
            )
        own["namespace"] = target.namespace
    # apiVersion, kind and metadata first, as everybody writes them.
    rest = {name: value for name, value in made.items() if name not in ("apiVersion", "kind", "metadata")}
    return {"apiVersion": target.api_version, "kind": target.kind, "metadata": own, **rest}


def check_name(target: Target, content: Object) -> None:
    """The name in a body must be the one in the URL; it is filled in where there is none."""
    name = content["metadata"].get("name")
    if name not in (None, "", target.name):
        raise status.bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    content["metadata"]["name"] = target.name


def _unreadable(target: Target, why: str) -> status.ApiError:
    kind, version = target.kind, target.version.name
    return status.bad_request(f'{kind} in version "{version}" cannot be handled as a {kind}: {why}')


def tidy(target: Target, content: Object, options: Options, doubled: tuple[str, ...] = ()) -> None:
    """Prune, in place; what was unknown or stood twice is refused, warned of or ignored (``fieldValidation``).

    Also refuses metadata, and objects of the core kinds, whose types do not fit: a real server cannot decode them.
    Raises `ApiError` 400.
    """
    core.prepare(target.kind, content)
    schema = target.version.schema
    found = [f'duplicate field "{path}"' for path in doubled]
    found += [f'unknown field "{path}"' for path in prune(schema, content)]
    if found and options.validation == "Strict":
        raise _unreadable(target, f"strict decoding error: {', '.join(found)}")
    if options.validation == "Warn":
        options.warnings += found
    drop_nulls(schema, content)
    about = schema.property("metadata") if target.resource.custom else None
    wrong = validate(about, content["metadata"], path="metadata") if about else validate(schema, content)
    unfit = [one for one in wrong if about or one.reason == "FieldValueTypeInvalid"]
    if unfit:
        raise _unreadable(target, "; ".join(str(one) for one in unfit))


def complete(target: Target, content: Object) -> None:
    """Fill in the defaults, in place."""
    apply_defaults(target.version.schema, content)
    if target.resource.origin == "core":
        core.apply_defaults(target.kind, content)


def check(target: Target, new: Object, old: Object | None) -> None:
    """Everything that makes an object invalid; raises `ApiError` 422 with all causes."""
    schema = target.version.schema
    errors = validate(schema, new, old)
    errors += metadata.errors_of(target.kind, new, old)
    if target.resource.origin == "core":
        if not errors:
            errors += core.errors_of(target.kind, new, old)
        if not errors and target.resource.group == definitions.GROUP:
            errors += definitions.errors_of(new)
    elif any(one.reason in BLOCKING for one in errors):
        if schema.has_rules:
            errors.append(UNCHECKED)
    else:
        errors += rules.violations(schema, new, old)
    if errors:
        raise status.invalid(target.group, target.kind, new["metadata"]["name"], errors)
