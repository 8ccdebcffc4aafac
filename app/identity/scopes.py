"""What a key may do."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from types import MappingProxyType


class Scope(StrEnum):
    CHAT = "chat"
    ADAPTERS = "adapters"
    RELEASES = "releases"
    FEEDBACK = "feedback"
    AUDIT = "audit"
    ADMIN = "admin"


ALL_SCOPES: frozenset[str] = frozenset(Scope)

ROLES: MappingProxyType[str, frozenset[str]] = MappingProxyType(
    {
        "user": frozenset({Scope.CHAT, Scope.FEEDBACK}),
        "trainer": frozenset({Scope.ADAPTERS, Scope.CHAT}),
        "operator": frozenset({Scope.ADAPTERS, Scope.RELEASES, Scope.CHAT}),
        "auditor": frozenset({Scope.AUDIT}),
        "admin": ALL_SCOPES,
    }
)


def resolve_scopes(scopes: Iterable[str] = (), roles: Iterable[str] = ()) -> frozenset[str]:
    """The union of scopes and of the roles' scopes. Raises ValueError naming every unknown word."""
    scopes, roles = frozenset(scopes), frozenset(roles)
    problems = [f"unknown scope {word!r}" for word in sorted(scopes - ALL_SCOPES)]
    problems += [f"unknown role {word!r}" for word in sorted(roles - ROLES.keys())]
    if problems:
        known = f"scopes are {', '.join(Scope)}; roles are {', '.join(ROLES)}"
        raise ValueError(f"{'; '.join(problems)}: {known}")
    return scopes.union(*(ROLES[role] for role in roles))


def has_scope(granted: frozenset[str], needed: str) -> bool:
    """`admin` includes every other scope."""
    return needed in granted or Scope.ADMIN in granted
