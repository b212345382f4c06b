"""Profiles: where they come from, what wins, and what is said of mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null
from pydantic import SecretStr

from console import config
from console.config import (
    AccessRules,
    GatewayLink,
    KubernetesLink,
    Profile,
    ProviderLink,
    RedisLink,
    SyncRules,
    load_profile,
    resolve_secret,
)
from console.outcome import Refusal, Unavailable

DOCS = (Path(__file__).parents[2] / "docs" / "configuration.md").read_text("utf-8")
GOOD = """
default_profile = "prod"
[profiles.prod]
database = "/tmp/x.db"
protected = true
[profiles.prod.redis]
url = "redis://valkey:6379/1"
password = "env:VALKEY_PASSWORD"
[profiles.dev]
read_only = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(GOOD)
    return path


def test_the_default_profile_and_a_named_one(file: Path) -> None:
    prod = load_profile(config=file)
    assert (prod.name, prod.protected, prod.redis.url) == ("prod", True, "redis://valkey:6379/1")
    assert load_profile(config=file, profile="dev").read_only


def test_flags_win_over_the_environment_which_wins_over_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDECK_CONFIG", str(file))
    monkeypatch.setenv("MODELDECK_PROFILE", "dev")
    monkeypatch.setenv("DATABASE_URL", "postgresql://db/x")
    assert load_profile().name == "dev"
    chosen = load_profile(profile="prod")
    assert (chosen.name, chosen.database_url) == ("prod", "postgresql://db/x")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[profiles.p.redis]\npasword = 'env:X'",
            r"profiles\.p\.redis\.pasword is not a setting \(did you mean 'password'",
        ),
        ("[profiles.p]\nread_onyl = true", r"read_onyl is not a setting \(did you mean 'read_only'"),
        ("[profils.p]", r"profils is not a setting \(did you mean 'profiles'"),
        ("[profiles.p]\nrole = 'king'", r"profiles\.p\.role"),
        ("[profiles.p.redis]\npassword = 'hunter2'", r"password: a secret does not belong in the file"),
        ("[profiles.p.redis]\npassword = 'keyring:x'", r"keyring:service/user"),
        ("[profiles.p", "is not TOML"),
        ("[profiles.a]\n[profiles.b]", "several profiles and no default_profile: a, b"),
        ("default_profile = 'x'\n[profiles.y]", "has no profile 'x'"),
    ],
)
def test_a_mistake_is_named_with_file_key_and_nearest_valid_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(Refusal, match=said) as refusal:
        load_profile(config=path)
    assert str(path) in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_nothing_at_all_is_a_refusal_that_says_what_to_do() -> None:
    with pytest.raises(Refusal, match="no configuration") as refusal:
        load_profile()
    assert "modeldeck up" in refusal.value.then


def test_the_local_stacks_profile_is_found_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MODELDECK_DATA", str(tmp_path))
    (tmp_path / "stack").mkdir()
    (tmp_path / "stack" / "profile.toml").write_text("[profiles.local]")
    assert load_profile().name == "local"


def test_secrets_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s1")
    (tmp_path / "secret").write_text("s2\n")
    assert resolve_secret("env:SECRET").get_secret_value() == "s1"
    assert resolve_secret(f"file:{tmp_path / 'secret'}").get_secret_value() == "s2"
    for missing in ("env:NOTHING", f"file:{tmp_path / 'nothing'}", f"file:{tmp_path}"):
        with pytest.raises(Unavailable):
            resolve_secret(missing)


class Ring(KeyringBackend):
    priority = 1  # type: ignore[assignment]
    slow = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.slow:
            import threading

            threading.Event().wait(0.5)
        return "s3" if (service, username) == ("modeldeck", "valkey") else None

    def set_password(self, service: str, username: str, password: str) -> None:
        raise NotImplementedError

    def delete_password(self, service: str, username: str) -> None:
        raise NotImplementedError


def test_secrets_from_a_keyring_that_may_be_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    ring = Ring()
    monkeypatch.setattr(keyring, "get_keyring", lambda: ring)
    monkeypatch.setattr(keyring, "get_password", ring.get_password)
    assert resolve_secret("keyring:modeldeck/valkey").get_secret_value() == "s3"
    with pytest.raises(Unavailable, match="has no modeldeck/other"):
        resolve_secret("keyring:modeldeck/other")
    ring.slow = True
    monkeypatch.setattr(config, "KEYRING_TIMEOUT_SECONDS", 0.05)
    with pytest.raises(Unavailable, match="did not answer"):
        resolve_secret("keyring:modeldeck/valkey")


@pytest.mark.parametrize("backend", [fail.Keyring, null.Keyring, type("PlaintextKeyring", (Ring,), {})])
def test_a_keyring_that_keeps_nothing_or_keeps_it_in_the_clear_is_not_used(
    monkeypatch: pytest.MonkeyPatch, backend: type[KeyringBackend]
) -> None:
    monkeypatch.setattr(keyring, "get_keyring", backend)
    for ask in (lambda: resolve_secret("keyring:modeldeck/valkey"), lambda: config.read_keyring("modeldeck", "valkey")):
        with pytest.raises(Unavailable, match=r"Keyring, which keeps nothing or keeps it in the clear; it is not used"):
            ask()
    with pytest.raises(Unavailable, match="not used"):
        config.write_keyring("modeldeck", "valkey", SecretStr("s3"))
    asked: list[str] = []

    def prompt(question: str) -> str:
        asked.append(question)
        return "typed" if len(asked) == 1 else ""

    assert resolve_secret("keyring:modeldeck/valkey", prompt).get_secret_value() == "typed"
    assert asked[0].endswith("modeldeck/valkey")
    with pytest.raises(Unavailable, match="not used"):
        resolve_secret("keyring:modeldeck/valkey", prompt)


def test_every_setting_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", DOCS))
    for section in (Profile, RedisLink, KubernetesLink, GatewayLink, AccessRules, ProviderLink, SyncRules):
        missing = (
            set(section.model_fields)
            - documented
            - {"name"}
            - {"redis", "kubernetes", "gateway", "access", "providers", "sync"}
        )
        assert not missing, f"{section.__name__}: {missing}"
