from __future__ import annotations

import pytest

from app.identity.scopes import ALL_SCOPES, ROLES, has_scope, resolve_scopes


def test_roles() -> None:
    assert ROLES["user"] == {"chat", "feedback"}
    assert ROLES["trainer"] == {"adapters", "chat"}
    assert ROLES["operator"] == {"adapters", "releases", "chat"}
    assert ROLES["auditor"] == {"audit"}
    assert ROLES["admin"] == ALL_SCOPES


def test_union_of_scopes_and_roles() -> None:
    assert resolve_scopes(["audit"], ["user"]) == {"audit", "chat", "feedback"}


def test_every_unknown_word_is_named() -> None:
    with pytest.raises(ValueError, match="unknown scope 'root'; unknown role 'boss'"):
        resolve_scopes(["chat", "root"], ["boss"])


def test_admin_includes_the_others() -> None:
    assert has_scope(frozenset({"admin"}), "audit")
    assert not has_scope(frozenset({"chat"}), "audit")
