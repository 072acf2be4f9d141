"""What the configuration names by `_target_`: networks, losses, optimisers, callbacks, loggers, the trainer.

Hydra's `instantiate` makes them. Before it does, every argument's name is held against the signature of what is called,
and every plain value against its annotation, so that a typing error ends the job in one line with the YAML key.
"""

from __future__ import annotations

import inspect
import math
import traceback
import types
from collections.abc import Callable, Collection, Mapping
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf
from pydantic import TypeAdapter, ValidationError

from jewelenh.config import nearest
from jewelenh.errors import ConfigError, JewelenhError

RESERVED = ("_target_", "_args_", "_partial_", "_convert_", "_recursive_")
_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text", types.NoneType: "null"}


def build(node: Mapping[str, Any] | DictConfig | None, key: str, **given: Any) -> Any:
    """Return what `node`, found under the configuration key `key`, describes; lists and dictionaries arrive plain.

    `given` are arguments that are no configuration, such as the callbacks of a trainer. A node with `_partial_: true`
    gives a callable that still waits for its other arguments; `attempt` calls it.

    Raises:
        ConfigError: no such target, a wrong name or value of an argument, or a target that does not take them.
    """
    if node is None:
        return None
    plain = OmegaConf.to_container(node, resolve=True) if isinstance(node, DictConfig) else node
    values = cast("dict[str, Any]", plain)
    problems = _problems(values, key, given)
    if problems:
        raise ConfigError("Invalid configuration.\n" + "\n".join(f"  {problem}" for problem in problems))
    try:
        made = instantiate({**values, "_partial_": True}, _convert_="all")
    except Exception as error:  # whatever a plugged-in part raises
        raise explained(error, key) from error
    if values.get("_partial_"):
        return made
    return attempt(made, key, **given)


def attempt(make: Callable[..., Any], key: str, *arguments: Any, **given: Any) -> Any:
    """Call what `build` returned, such as an optimiser on the network's parameters; raise ConfigError with its key."""
    try:
        return make(*arguments, **given)
    except Exception as error:
        raise explained(error, key) from error


def explained(error: Exception, key: str) -> JewelenhError:
    """Return the error of a plugged-in part as one of ours: the YAML key, its own words, the line that raised it."""
    cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
    if isinstance(cause, JewelenhError):
        return cause
    frames = traceback.extract_tb(cause.__traceback__)
    line = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return ConfigError(f"Invalid {key}.", found=f"{type(cause).__name__}: {cause}{line}")


def find_target(name: str, key: str) -> Any:
    """Return the class or function `package.module.name`.

    Raises:
        ConfigError: there is none, with the nearest name of its module.
    """
    try:
        return get_object(name)
    except Exception as error:  # importing a module may raise anything
        module, _, last = name.rpartition(".")
        try:
            close = nearest(last, dir(get_object(module))) if module else ""
        except Exception:
            close = ""
        reason = error.__cause__ or error
        raise ConfigError(
            f"Invalid {key}._target_: there is no {name}.{close}",
            found=str(reason).splitlines()[0] if str(reason) else repr(reason),
            fix="<package>.<module>.<name>; a module of your own is found with PYTHONPATH=<its folder>",
        ) from error


def _problems(values: Mapping[str, Any], key: str, given: Collection[str] = ()) -> list[str]:
    """Return what is wrong with the arguments of a node and of those inside it, one line each."""
    found = []
    for name, value in values.items():
        for place, child in _nodes(f"{key}.{name}", value):
            found += _problems(child, place)
    if "_target_" not in values:
        return [*found, f"{key}._target_: a value is needed: <package>.<module>.<name>"]
    target = find_target(str(values["_target_"]), key)
    try:
        parameters = inspect.signature(target).parameters
    except (TypeError, ValueError):  # written in C: it checks its arguments itself
        return found
    arguments = {name: value for name, value in values.items() if name not in RESERVED}
    return [
        *found,
        *_wrong_names(parameters, arguments, key),
        *(_missing_names(parameters, {*arguments, *given}, key) if not {"_args_", "_partial_"} & set(values) else []),
        *_wrong_values(target, arguments, key),
    ]


def _nodes(place: str, value: Any) -> list[tuple[str, Mapping[str, Any]]]:
    if isinstance(value, Mapping):
        if "_target_" in value:
            return [(place, value)]
        return [found for name, inner in value.items() for found in _nodes(f"{place}.{name}", inner)]
    if isinstance(value, list | tuple):
        return [found for number, inner in enumerate(value) for found in _nodes(f"{place}.{number}", inner)]
    return []


def _wrong_names(parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any], key: str) -> list[str]:
    if any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        return []
    valid = [name for name, one in parameters.items() if one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}]
    return [
        f"{key}.{name}: there is no such argument.{nearest(name, valid)} Valid here: {', '.join(valid) or 'none'}"
        for name in arguments
        if name not in valid
    ]


def _missing_names(parameters: Mapping[str, inspect.Parameter], names: Collection[str], key: str) -> list[str]:
    needed = [
        name
        for name, one in parameters.items()
        if one.default is one.empty and one.kind in {one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY}
    ]
    return [f"{key}.{name}: a value is needed" for name in needed if name not in names]


def _wrong_values(target: Any, arguments: Mapping[str, Any], key: str) -> list[str]:
    try:
        hints = get_type_hints(target.__init__ if inspect.isclass(target) else target)
    except Exception:  # annotations may name what is imported for a type checker alone
        return []
    found = []
    for name, value in arguments.items():
        if isinstance(value, float) and math.isnan(value):
            found.append(f"{key}.{name} = nan: allowed is a number")
        elif name in hints and not _nodes("", value) and (allowed := _allowed_instead(hints[name], value)):
            found.append(f"{key}.{name} = {value!r}: allowed is {allowed}")
    return found


def _allowed_instead(hint: Any, value: Any) -> str | None:
    """Say what `hint` allows where `value` is none of it; None where it fits, or where the annotation is not plain."""
    members = _members(hint)
    plain = [member for member in members if member in _WORDS or get_origin(member) is Literal]
    others = [member for member in members if member not in plain]
    is_container = isinstance(value, Mapping | list | tuple)
    if others if is_container else not plain or not all(map(_is_never_scalar, others)):
        return None
    kind: Any = Union[tuple(plain)]  # noqa: UP007
    try:
        TypeAdapter(kind).validate_python(value, strict=True)
    except ValidationError:
        pass
    else:
        return None
    options = [option for member in plain for option in get_args(member)]
    words = [_WORDS[member] for member in plain if member in _WORDS]
    return " or ".join([*map(repr, options), *words]) + nearest(str(value), list(map(str, options)))


def _members(hint: Any) -> list[Any]:
    if get_origin(hint) in {Union, types.UnionType}:
        return [member for part in get_args(hint) for member in _members(part)]
    return [hint]


def _is_never_scalar(member: Any) -> bool:
    """Say whether no number, text or null is one: containers, and the tensors that torch's optimisers take as well."""
    kind = get_origin(member) or member
    return inspect.isclass(kind) and (issubclass(kind, list | tuple | dict | set) or kind.__name__ == "Tensor")
