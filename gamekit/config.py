"""Settings, read once from the environment (`GAMEKIT_…`) by whoever starts a process.

Secrets have no default. Nothing else in gamekit reads the environment.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from gamekit.errors import ConfigError, Problem


class Settings(BaseSettings):
    """What an operator may set. Every field is the environment variable `GAMEKIT_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix="GAMEKIT_", frozen=True, extra="ignore")

    secret_key: SecretStr = Field(
        description="At least 32 characters; encrypts seeds and tokens, signs links and sessions."
    )
    data_dir: Path = Field(default=Path("var"), description="Where the embedded servers keep their files.")
    database_url: str = Field(default="", description="postgresql+asyncpg://… ; empty: SQLite in the data folder.")
    redis_url: str = Field(
        default="",
        description="redis://… or rediss://… ; redis+cluster://… for a Cluster; redis+sentinel://host:port/service for Sentinel; "
        "unix://… ; empty: an embedded Valkey in the data folder.",
    )
    public_url: str = Field(default="http://127.0.0.1:8000", description="The address players and platforms reach.")
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR.")
    log_format: str = Field(default="json", description="json or console.")
    graph_url: str = Field(default="https://graph.facebook.com", description="The Graph API's address.")
    graph_version: str = Field(default="v26.0", description="The Graph API's version.")
    sql_pool_size: int = Field(default=8, ge=2, le=100, description="SQL connections per process.")
    reservation_seconds: int = Field(default=8, ge=2, le=60, description="How long a reservation may stay undecided.")
    relay: bool = Field(default=True, description="Whether `gamekit serve` also delivers and recovers.")

    @field_validator("secret_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if len(value.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters; `openssl rand -hex 32` makes one")
        return value

    @field_validator("log_level", "log_format")
    @classmethod
    def _known(cls, value: str, info: ValidationInfo) -> str:
        known = {"log_level": ("DEBUG", "INFO", "WARNING", "ERROR"), "log_format": ("json", "console")}[
            str(info.field_name)
        ]
        found = next((one for one in known if one.lower() == value.lower()), None)
        if found is None:
            raise ValueError(f"must be one of {', '.join(known)}")
        return found

    @property
    def sql_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'gamekit.db'}"


def load_settings(**overrides: object) -> Settings:
    """The settings in the environment, with `overrides` on top.

    Raises `ConfigError` naming each environment variable that is missing or wrong.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        problems = tuple(
            Problem(
                f"GAMEKIT_{str(item['loc'][0]).upper()}",
                "is missing" if item["type"] == "missing" else item["msg"].removeprefix("Value error, "),
            )
            for item in error.errors()
        )
        sentence = "; ".join(f"{problem.field} {problem.message}" for problem in problems)
        raise ConfigError(sentence, problems=problems) from None
