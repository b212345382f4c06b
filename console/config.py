"""Settings and profiles: where things are, and how we log in to them.

Flags win over the environment, which wins over the file. The file is TOML, by default
``$XDG_CONFIG_HOME/modeldeck/config.toml``:

    default_profile = "prod"

    [profiles.prod]
    protected = true
    database = "postgresql://modeldeck@db.internal/modeldeck"
    [profiles.prod.redis]
    url = "redis://valkey.internal:6379/0"
    username = "modeldeck"
    password = "keyring:modeldeck/valkey"
    [profiles.prod.kubernetes]
    context = "prod-eu"
    [profiles.prod.gateway]
    name = "ai"
    namespace = "gateway-system"
    url = "https://llm.example.com"

A secret is never in the file: ``env:NAME``, ``file:/path`` or ``keyring:service/user`` say where it is.
What is unknown, missing or misspelt is refused with the file, the key and the nearest valid key.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import platformdirs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from console.guard import Policy, Role
from console.outcome import Refusal, Unavailable

_REFERENCE_KINDS = ("env", "file", "keyring")
KEYRING_TIMEOUT_SECONDS = 5.0
_UNSAFE_KEYRINGS = ("keyring.backends.fail", "keyring.backends.null", "keyrings.alt.file")


def _checked_reference(text: str) -> str:
    kind, separator, rest = text.partition(":")
    if kind not in _REFERENCE_KINDS or not separator or not rest:
        # The text itself is not repeated: it may be the secret.
        raise ValueError("a secret does not belong in the file: write env:NAME, file:/path or keyring:service/user")
    if kind == "keyring" and "/" not in rest:
        raise ValueError("write keyring:service/user")
    return text


SecretReference = Annotated[str, AfterValidator(_checked_reference)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RedisLink(_Section):
    """Redis or Valkey. ``url`` holds host, port and database (``redis://host:6379/0``), never a password."""

    url: str = "redis://127.0.0.1:6379/0"
    username: str | None = None
    password: SecretReference | None = None


class KubernetesLink(_Section):
    """The cluster. Without ``kubeconfig``: ``$KUBECONFIG``, ``~/.kube/config``, or the pod's own account.

    reaches_services  whether this machine is in the cluster's network, and may ask Services themselves; by default it
                      is where it is a pod
    """

    kubeconfig: Path | None = None
    context: str | None = None
    reaches_services: bool | None = None


class GatewayLink(_Section):
    """The Gateway that publications attach to, and how clients reach it.

    url                  scheme and authority as clients write it
    authorizer           Service of the ext_authz workers: ``namespace/name:port``
    authorizer_reads     ``header`` where the gateway extracts the model before it asks (the local Envoy), ``body``
                         where the authorizer gets the request's body (Envoy Gateway's ``bodyToExtAuth``)
    global_limiter       whether Envoy Gateway was started with a Redis rate-limit backend
    native_access        whether the gateway reads the table of digests that an ext_authz worker beside it writes, and
                         so can check keys itself (the local Envoy)
    """

    name: str = "modeldeck"
    namespace: str = "modeldeck-system"
    section: str | None = None
    url: str = "http://127.0.0.1:8080"
    authorizer: str = "modeldeck-system/modeldeck-authz:9001"
    authorizer_reads: Literal["header", "body"] = "body"
    global_limiter: bool = False
    native_access: bool = False


class AccessRules(_Section):
    """What the gateway's view of Redis is built on.

    salt                 text before the key in the digest (budgateway's is ``bud-``)
    header_prefix        of the headers for upstreams (``x-tensorzero`` for budgateway's own)
    fail_static_seconds  how long the last view is served while Redis is out of reach; then everything is refused
    budgets_fail         what becomes of requests with a budget while Redis cannot say what is left of it
    """

    salt: str = "bud-"
    header_prefix: str = "x-modeldeck"
    fail_static_seconds: float = Field(default=300.0, ge=0)
    budgets_fail: Literal["open", "closed"] = "open"


class ProviderLink(_Section):
    """Overrides for one provider: where it lists its models (``url``), where it answers requests
    (``inference_url``), and where its credential comes from."""

    url: str | None = None
    inference_url: str | None = None
    credential: SecretReference | None = None


class SyncRules(_Section):
    """How the catalog is kept true.

    history_days    how long a change of a model is remembered, and a decided held change
    runs_days       how long runs, their rejected records and webhooks are; the last of each provider always is
    webhook_secret  what webhooks are signed with; by default ``MODEL_WEBHOOK_SECRET``, and without one there are none
    """

    history_days: int = Field(default=365, ge=1, le=36_500)
    runs_days: int = Field(default=90, ge=1, le=36_500)
    webhook_secret: SecretReference | None = None


class Profile(_Section):
    """One gateway with everything that belongs to it.

    stack   where the embedded stack writes how its parts are; None for anything else
    """

    name: str = "default"
    role: Literal["viewer", "publisher", "admin"] = "admin"
    tenants: frozenset[str] | None = None
    read_only: bool = False
    protected: bool = False
    database: str = ""
    redis: RedisLink = RedisLink()
    kubernetes: KubernetesLink = KubernetesLink()
    gateway: GatewayLink = GatewayLink()
    access: AccessRules = AccessRules()
    providers: dict[str, ProviderLink] = {}
    sync: SyncRules = SyncRules()
    stack: Path | None = None

    @property
    def policy(self) -> Policy:
        return Policy(self.name, read_only=self.read_only, protected=self.protected)

    @property
    def rank(self) -> Role:
        return Role.named(self.role)

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{data_home() / self.name / 'modeldeck.db'}"


class ConfigFile(_Section):
    """The whole file."""

    default_profile: str | None = None
    profiles: dict[str, Profile] = {}


class Environment(BaseSettings):
    """What the environment may say; flags override it."""

    model_config = SettingsConfigDict(env_prefix="MODELDECK_", extra="ignore")

    config: Path | None = None
    profile: str | None = None
    data: Path | None = None
    database_url: str | None = Field(default=None, validation_alias="DATABASE_URL")


def data_home() -> Path:
    """``$MODELDECK_DATA``, else modeldeck below the XDG data directory."""
    chosen = os.environ.get("MODELDECK_DATA")
    return Path(chosen).expanduser() if chosen else platformdirs.user_data_path("modeldeck")


def state_home() -> Path:
    """Where logs and crash reports go (XDG state directory)."""
    return platformdirs.user_state_path("modeldeck")


def default_config_path() -> Path:
    return platformdirs.user_config_path("modeldeck") / "config.toml"


def local_config_path(data: Path | None = None) -> Path:
    """The file that the embedded stack of ``data`` writes for its clients."""
    return (data or data_home() / "stack") / "profile.toml"


def load_profile(*, config: Path | None = None, profile: str | None = None) -> Profile:
    """The profile to work with.

    Without a configuration file the embedded stack's own profile is used, where `modeldeck up` has made one.

    Raises:
        Refusal: the file or the profile is missing or wrong; the sentence names file, key and nearest valid key.
    """
    environment = Environment()
    path = config or environment.config
    wanted = profile or environment.profile
    if path is None:
        path = default_config_path()
        if not path.exists() or (wanted == "local"):
            path = local_config_path()
        if not path.exists():
            raise Refusal(
                f"there is no configuration: neither {default_config_path()} nor a local stack",
                code="NO_PROFILE",
                then="modeldeck up   (a local stack), or write the file: see docs/configuration.md",
            )
    file = read_config(path)
    name = wanted or file.default_profile or (next(iter(file.profiles)) if len(file.profiles) == 1 else None)
    if name is None:
        raise Refusal(
            f"{path} has several profiles and no default_profile: {', '.join(sorted(file.profiles)) or 'none'}",
            code="NO_PROFILE",
            then="add --profile NAME",
        )
    if name not in file.profiles:
        raise Refusal(f"{path} has no profile {name!r}{_nearest(name, file.profiles)}", code="NO_PROFILE", status=404)
    chosen = file.profiles[name].model_copy(update={"name": name})
    if environment.database_url:
        chosen = chosen.model_copy(update={"database": environment.database_url})
    return chosen


def read_config(path: Path) -> ConfigFile:
    """The file, checked."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        raise Refusal(f"there is no file {path}", code="NO_PROFILE", status=404) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise Refusal(f"{path} cannot be read: {problem}", code="BAD_CONFIG") from None
    try:
        return ConfigFile.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as problem:
        raise Refusal(f"{path} is not TOML: {problem}", code="BAD_CONFIG") from None
    except ValidationError as problem:
        raise Refusal(f"{path}: {_explained(problem)}", code="BAD_CONFIG") from None


def _explained(problem: ValidationError) -> str:
    """One line per mistake: the dotted key, what is wrong, the nearest valid key. Values are not repeated."""
    lines = []
    for error in problem.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            lines.append(f"{where} is not a setting{_nearest(str(error['loc'][-1]), _keys_at(error['loc'][:-1]))}")
        else:
            lines.append(f"{where}: {error['msg'].removeprefix('Value error, ')}")
    return "; ".join(lines)


def _keys_at(path: tuple[Any, ...]) -> list[str]:
    """The valid keys of the section at a path such as ("profiles", "prod", "redis")."""
    sections: dict[int, type[BaseModel]] = {0: ConfigFile, 2: Profile}
    if len(path) in sections:
        return list(sections[len(path)].model_fields)
    names: dict[str, type[BaseModel]] = {
        "redis": RedisLink,
        "kubernetes": KubernetesLink,
        "gateway": GatewayLink,
        "access": AccessRules,
        "providers": ProviderLink,
        "sync": SyncRules,
    }
    section = names.get(str(path[2])) if len(path) > 2 else None
    return list(section.model_fields) if section else []


def _nearest(word: str, among: Any) -> str:
    close = difflib.get_close_matches(word, list(among), n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def resolve_secret(reference: str, prompt: Callable[[str], str] | None = None) -> SecretStr:
    """The secret that a reference names.

    Args:
        prompt: asks the operator, without an echo, where a keyring is of no use; takes the question

    Blocks for up to five seconds where a keyring is slow: call it in a thread (`asyncio.to_thread`).

    Raises:
        Unavailable: it is not there. The sentence names the place, never the value.
    """
    kind, _, rest = reference.partition(":")
    match kind:
        case "env":
            value = os.environ.get(rest)
            if not value:
                raise Unavailable(f"the environment has no {rest}", code="NO_SECRET", then=f"export {rest}=…")
            return SecretStr(value)
        case "file":
            path = Path(rest).expanduser()
            try:
                return SecretStr(path.read_text("utf-8").strip())
            except (OSError, UnicodeDecodeError) as problem:
                reason = getattr(problem, "strerror", None) or "not text"
                raise Unavailable(f"the secret in {path} cannot be read: {reason}", code="NO_SECRET") from None
        case _:
            try:
                return _from_keyring(rest)
            except Unavailable as problem:
                typed = prompt(f"{problem}\n{rest}") if prompt is not None else ""
                if not typed:
                    raise
                return SecretStr(typed)


def _from_keyring(name: str) -> SecretStr:
    service, _, user = name.partition("/")
    value = read_keyring(service, user)
    if not value:
        raise Unavailable(
            f"the keyring has no {service}/{user}", code="NO_SECRET", then=f"keyring set {service} {user}"
        )
    return SecretStr(value)


def read_keyring(service: str, user: str) -> str | None:
    """What the operator's keyring has under a name; None for nothing. Blocks for up to five seconds.

    Raises:
        Unavailable: there is no keyring that keeps a secret, or it does not answer.
    """
    check_keyring()
    import keyring

    value = _within_time(lambda: keyring.get_password(service, user))
    return value if isinstance(value, str) else None


def write_keyring(service: str, user: str, secret: SecretStr) -> None:
    """Put a secret into it; as `read_keyring`. One that did not answer in time may have it all the same."""
    check_keyring()
    import keyring

    _within_time(lambda: keyring.set_password(service, user, secret.get_secret_value()))


def check_keyring() -> None:
    """Refuse a backend that keeps nothing, or keeps it in the clear.

    Raises:
        Unavailable: the sentence names the backend.
    """
    import keyring  # 90 ms, and seldom needed

    backend = _within_time(keyring.get_keyring)
    for one in getattr(backend, "backends", None) or (backend,):
        kind = type(one)
        place = f"{kind.__module__}.{kind.__name__}"
        if kind.__module__.startswith(_UNSAFE_KEYRINGS) or "plaintext" in place.lower():
            raise Unavailable(
                f"the keyring here is {place}, which keeps nothing or keeps it in the clear; it is not used",
                code="NO_KEYRING",
                then="unlock the desktop's keyring, or write env:NAME or file:/path in the profile",
            )


def _within_time(ask: Callable[[], Any]) -> Any:
    """Ask the keyring in a thread of its own, which nobody waits for when it hangs: not even the end of the process."""
    from concurrent.futures import Future
    from threading import Thread

    answer: Future[Any] = Future()

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as problem:  # a backend raises what it likes
            answer.set_exception(problem)

    Thread(target=work, name="keyring", daemon=True).start()
    try:
        return answer.result(KEYRING_TIMEOUT_SECONDS)
    except TimeoutError:
        raise Unavailable(
            f"the keyring did not answer within {KEYRING_TIMEOUT_SECONDS:g} s", code="NO_SECRET"
        ) from None
    except Exception as problem:
        # The type alone: a backend's own words may repeat what it was given.
        raise Unavailable(f"the keyring cannot be used: {type(problem).__name__}", code="NO_SECRET") from None
