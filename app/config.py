"""Settings of every Atelier process: `ATELIER_*` environment variables, then `atelier.yaml`, then these defaults."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)


class Settings(BaseSettings):
    """One flat namespace, so that a setting has one name everywhere. Times in seconds, sizes in bytes."""

    model_config = SettingsConfigDict(env_prefix="ATELIER_", extra="forbid", frozen=True)

    # Where things live
    var_dir: Path = Field(Path("var"), description="Runtime data: keys, adapters, audit log, models, logs.")
    assistants_dir: Path = Field(
        Path("examples/bank/assistants"), description="Folder of assistant YAML files."
    )
    state_url: str = Field(
        "", description="redis:// or unix:// URL. Empty: the bundled Valkey of `atelier serve`."
    )
    state_prefix: str = Field("atelier:", description="Prefix of every key in the state server.")
    store: str = Field("", description="Folder, or s3://bucket/prefix. Empty: <var_dir>/adapters.")
    s3_endpoint: str = Field("", description="S3 endpoint URL, for stores other than AWS.")
    s3_access_key_id: SecretStr = SecretStr("")
    s3_secret_access_key: SecretStr = SecretStr("")
    s3_region: str = "us-east-1"

    # The gateway's own socket
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    gateway_id: str = Field("", description="Unique among live gateways. Empty: drawn at start.")
    drain_seconds: float = Field(30.0, ge=0, description="How long running answers may finish after SIGTERM.")
    drain_lead_seconds: float = Field(
        0.5, ge=0, description="How long /readyz says no before the listening socket closes."
    )
    admin_key_file: Path | None = Field(
        None, description="File of the first admin key. Empty: <var_dir>/admin.key, made at the first start."
    )
    log_level: str = "INFO"

    # Engines
    model: str = Field(
        "", description="Base model: a local folder or a hub id. Empty: the default chat model."
    )
    model_variant: Literal["int8", "bf16"] = Field(
        "int8", description="Which form of the default chat model."
    )
    engine_python: Path = Field(Path(".venv-engine/bin/python"), description="Interpreter that has vLLM.")
    engine_count: int = Field(1, ge=1, le=16, description="Engines that `atelier serve` starts.")
    engine_token: SecretStr = Field(SecretStr(""), description="Bearer token the engines ask for.")
    engine_args: str = Field("", description="More arguments for vLLM, split as a shell splits words.")
    max_model_len: int = Field(4096, ge=128)
    max_loras: int = Field(4, ge=1, description="Adapters that can take part in one batch.")
    max_cpu_loras: int = Field(32, ge=1, description="Adapters an engine keeps in memory.")
    max_lora_rank: int = Field(64, ge=8)
    engine_timeout: float = Field(300.0, gt=0, description="Longest silence of an engine within one answer.")
    engine_queue: int = Field(
        256, ge=1, description="Requests an engine may have in flight from one gateway."
    )

    # One agent and its engine
    engine_id: str = "engine-0"
    engine_url: str = Field(
        "", description="http://host:port or unix:///path of the engine beside this agent."
    )
    engine_advertised_url: str = Field("", description="How gateways reach that engine. Empty: engine_url.")
    collect_grace_seconds: float = Field(
        60.0, ge=0, description="Files stay this long after a version retired."
    )

    # What a request may ask for
    max_body_bytes: int = Field(4 * 1024 * 1024, ge=1024)
    max_adapter_bytes: int = Field(2 * 1024**3, ge=1024)
    max_choices: int = Field(16, ge=1)
    default_max_tokens: int = Field(512, ge=1)

    # People who take over
    handoff_webhook: str = Field(
        "", description="URL that takes tickets by POST. Empty: they wait, see `atelier guardrails tickets`."
    )
    handoff_token: SecretStr = Field(SecretStr(""), description="Bearer token for that URL.")

    # What is written down
    audit_text: bool = Field(
        False, description="Write the text itself into the audit log, not its digest only."
    )
    audit_secret: SecretStr = Field(
        SecretStr(""),
        description="Makes the audit chain an HMAC chain: writing to the state server forges nothing.",
    )
    require_signature: bool = False
    signature_keys: tuple[Path, ...] = Field((), description="Public keys (PEM) that may sign adapters.")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment, the environment over the file."""
        file = YamlConfigSettingsSource(
            settings_cls, yaml_file=os.environ.get("ATELIER_CONFIG", "atelier.yaml")
        )
        return init_settings, env_settings, file

    @property
    def admin_key_path(self) -> Path:
        """Where the first admin key is kept, mode 0600."""
        return self.admin_key_file or self.var_dir / "admin.key"

    @property
    def store_dir(self) -> Path | None:
        """The file store's folder, or None when the store is S3."""
        if self.store.startswith("s3://"):
            return None
        return Path(self.store) if self.store else self.var_dir / "adapters"

    @property
    def adapter_root(self) -> Path:
        """The folder engines load adapters from: the file store itself, or a local copy of the S3 store."""
        return self.store_dir or self.var_dir / "adapter-cache"
