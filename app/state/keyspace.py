"""Every name Atelier uses in Redis, in one place."""

from __future__ import annotations

from dataclasses import dataclass

PREFIX = "atelier:"


@dataclass(frozen=True, slots=True)
class Keyspace:
    """Key names under one prefix, so that several installations (or tests) can share a server."""

    prefix: str = PREFIX

    def adapter(self, version: str) -> str:
        return f"{self.prefix}adapter:{version}"

    @property
    def versions(self) -> str:
        return f"{self.prefix}versions"

    @property
    def aliases(self) -> str:
        return f"{self.prefix}aliases"

    @property
    def generation(self) -> str:
        return f"{self.prefix}generation"

    @property
    def changed(self) -> str:
        """Channel: a hint that the generation moved."""
        return f"{self.prefix}changed"

    def engine(self, engine_id: str) -> str:
        return f"{self.prefix}engine:{engine_id}"

    def gateway(self, gateway_id: str) -> str:
        return f"{self.prefix}gateway:{gateway_id}"

    def idempotency(self, token: str) -> str:
        return f"{self.prefix}idempotency:{token}"

    def key(self, digest: str) -> str:
        """`digest`: sha256 of the full API key, hex."""
        return f"{self.prefix}key:{digest}"

    @property
    def keys(self) -> str:
        """Hash: key id to digest."""
        return f"{self.prefix}keys"

    @property
    def keys_changed(self) -> str:
        """Channel: the digest of a key whose record changed."""
        return f"{self.prefix}keys:changed"

    def limit_window(self, key_id: str) -> str:
        return f"{self.prefix}limit:{key_id}:window"

    def limit_live(self, key_id: str) -> str:
        """Sorted set: lease of a running request to its deadline (unix milliseconds)."""
        return f"{self.prefix}limit:{key_id}:live"

    def usage(self, day: str) -> str:
        """`day`: yyyymmdd, UTC."""
        return f"{self.prefix}usage:{day}"

    @property
    def audit(self) -> str:
        return f"{self.prefix}audit"

    @property
    def audit_head(self) -> str:
        return f"{self.prefix}audit:head"

    @property
    def audit_spools(self) -> str:
        """Hash: spool segment to the byte offset already in the chain."""
        return f"{self.prefix}audit:spools"

    @property
    def audit_lock(self) -> str:
        return f"{self.prefix}audit:archiving"

    def session(self, digest: str) -> str:
        """Hash: counts of one conversation."""
        return f"{self.prefix}session:{digest}"

    @property
    def tickets(self) -> str:
        """Hash: id of a ticket to its JSON."""
        return f"{self.prefix}tickets"

    @property
    def ticket_queue(self) -> str:
        """Sorted set: id of a ticket to the unix time of its next delivery."""
        return f"{self.prefix}tickets:queue"

    @property
    def ticket_tries(self) -> str:
        """Hash: id of a ticket to how often its delivery was tried."""
        return f"{self.prefix}tickets:tries"

    @property
    def durable(self) -> str:
        """Counter written to ask the server how far its append-only file is synced."""
        return f"{self.prefix}durable"
