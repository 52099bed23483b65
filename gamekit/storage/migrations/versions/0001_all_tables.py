"""all tables."""

from __future__ import annotations

import sqlalchemy as sa
import sqlmodel  # noqa: F401  # generated column types may name it
from alembic import op

from gamekit.storage.types import BigId, Instant, Json, key_text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", key_text(16), nullable=False),
        sa.Column("name", key_text(100), nullable=False),
        sa.Column("digest", key_text(64), nullable=False),
        sa.Column("scopes", key_text(64), nullable=False),
        sa.Column("rate_per_minute", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("revoked_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_table(
        "bound_links",
        sa.Column("token_id", key_text(64), nullable=False),
        sa.Column("browser", key_text(64), nullable=False),
        sa.Column("player_id", sa.BigInteger(), nullable=False),
        sa.Column("bound_at", Instant, nullable=False),
        sa.Column("expires_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("token_id"),
    )
    op.create_index(op.f("ix_bound_links_expires_at"), "bound_links", ["expires_at"], unique=False)
    op.create_table(
        "campaigns",
        sa.Column("id", BigId, nullable=False),
        sa.Column("slug", key_text(64), nullable=False),
        sa.Column("state", key_text(16), nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("updated_at", Instant, nullable=False),
        sa.Column("ended_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("slug"),
    )
    op.create_table(
        "channels",
        sa.Column("key", key_text(64), nullable=False),
        sa.Column("platform", key_text(16), nullable=False),
        sa.Column("account_id", key_text(64), nullable=False),
        sa.Column("credentials", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("key"),
        sa.UniqueConstraint("account_id"),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", BigId, nullable=False),
        sa.Column("channel", key_text(64), nullable=False),
        sa.Column("player_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", key_text(16), nullable=False),
        sa.Column("body", Json, nullable=False),
        sa.Column("state", key_text(16), server_default="pending", nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reason", key_text(500), nullable=True),
        sa.Column("platform_id", key_text(200), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("ended_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "deliveries_due",
        "deliveries",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'sending')"),
        sqlite_where=sa.text("state IN ('pending', 'sending')"),
    )
    op.create_table(
        "draws",
        sa.Column("run_id", key_text(16), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("nonce", key_text(16), nullable=False),
        sa.Column("void", sa.Boolean(), nullable=False),
        sa.Column("source", key_text(64), nullable=False),
        sa.Column("key", key_text(200), nullable=False),
        sa.Column("draw_index", sa.SmallInteger(), nullable=False),
        sa.Column("body_hash", key_text(32), nullable=False),
        sa.Column("player_id", sa.BigInteger(), nullable=False),
        sa.Column("chance", sa.BigInteger(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("day", sa.Integer(), nullable=True),
        sa.Column("day_number", sa.Integer(), nullable=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("picked", key_text(64), nullable=False),
        sa.Column("prize", key_text(64), nullable=False),
        sa.Column("unit", sa.BigInteger(), nullable=True),
        sa.Column("reason", key_text(16), nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "epoch", "seq"),
    )
    op.create_index(
        "one_draw_per_chance",
        "draws",
        ["run_id", "player_id", "chance"],
        unique=True,
        postgresql_where=sa.text("NOT void"),
        sqlite_where=sa.text("NOT void"),
    )
    op.create_index(
        "one_draw_per_day_number",
        "draws",
        ["run_id", "player_id", "day", "day_number"],
        unique=True,
        postgresql_where=sa.text("NOT void AND day_number IS NOT NULL"),
        sqlite_where=sa.text("NOT void AND day_number IS NOT NULL"),
    )
    op.create_index(
        "one_draw_per_unit",
        "draws",
        ["run_id", "prize", "unit"],
        unique=True,
        postgresql_where=sa.text("NOT void AND unit IS NOT NULL"),
        sqlite_where=sa.text("NOT void AND unit IS NOT NULL"),
    )
    op.create_index(
        "one_outcome_per_request",
        "draws",
        ["run_id", "source", "key", "draw_index"],
        unique=True,
        postgresql_where=sa.text("NOT void"),
        sqlite_where=sa.text("NOT void"),
    )
    op.create_table(
        "inbound_events",
        sa.Column("id", BigId, nullable=False),
        sa.Column("channel", key_text(64), nullable=False),
        sa.Column("dedupe_key", key_text(128), nullable=False),
        sa.Column("event", Json, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failure", key_text(500), nullable=True),
        sa.Column("received_at", Instant, nullable=False),
        sa.Column("due_at", Instant, nullable=False),
        sa.Column("handled_at", Instant, nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("inbound_once", "inbound_events", ["channel", "dedupe_key"], unique=True)
    op.create_index(
        "inbound_waiting",
        "inbound_events",
        ["id"],
        unique=False,
        postgresql_where=sa.text("handled_at IS NULL"),
        sqlite_where=sa.text("handled_at IS NULL"),
    )
    op.create_table(
        "players",
        sa.Column("id", BigId, nullable=False),
        sa.Column("channel", key_text(64), nullable=False),
        sa.Column("external_id", key_text(200), nullable=False),
        sa.Column("locale", key_text(16), nullable=True),
        sa.Column("window_expires_at", Instant, nullable=True),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("player_identity", "players", ["channel", "external_id"], unique=True)
    op.create_table(
        "unit_marks",
        sa.Column("run_id", key_text(16), nullable=False),
        sa.Column("prize", key_text(64), nullable=False),
        sa.Column("upto", sa.BigInteger(), nullable=False),
        sa.Column("missing", Json, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "prize"),
    )
    op.create_table(
        "users",
        sa.Column("id", BigId, nullable=False),
        sa.Column("email", key_text(254), nullable=False),
        sa.Column("password_hash", key_text(255), nullable=False),
        sa.Column("role", key_text(16), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_table(
        "coupons",
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("prize", key_text(64), nullable=False),
        sa.Column("unit", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("code", key_text(100), nullable=False),
        sa.Column("imported_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
        ),
        sa.PrimaryKeyConstraint("campaign_id", "prize", "unit"),
        sa.UniqueConstraint("code"),
    )
    op.create_table(
        "player_tags",
        sa.Column("player_id", sa.BigInteger(), nullable=False),
        sa.Column("tag", key_text(64), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["player_id"], ["players.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("player_id", "tag"),
    )
    op.create_table(
        "runs",
        sa.Column("id", key_text(16), nullable=False),
        sa.Column("campaign_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", key_text(8), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("seed", sa.LargeBinary(), nullable=False),
        sa.Column("commitment", key_text(64), nullable=False),
        sa.Column("alias_key", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(
            ["campaign_id"],
            ["campaigns.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("runs_of_campaign", "runs", ["campaign_id", "kind"], unique=True)
    op.create_table(
        "grants",
        sa.Column("run_id", key_text(16), nullable=False),
        sa.Column("player_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reason_key", key_text(200), nullable=False),
        sa.Column("chances", sa.Integer(), nullable=False),
        sa.Column("created_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "player_id", "reason_key"),
    )
    op.create_table(
        "odds_versions",
        sa.Column("run_id", key_text(16), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", Json, nullable=False),
        sa.Column("fallback", key_text(64), nullable=False),
        sa.Column("odds_hash", key_text(64), nullable=False),
        sa.Column("starts_at", Instant, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("published_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "number"),
    )
    op.create_table(
        "stock_levels",
        sa.Column("run_id", key_text(16), nullable=False),
        sa.Column("prize", key_text(64), nullable=False),
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("stock", sa.BigInteger(), nullable=True),
        sa.Column("changed_at", Instant, nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("run_id", "prize", "epoch"),
    )


def downgrade() -> None:
    op.drop_table("stock_levels")
    op.drop_table("odds_versions")
    op.drop_table("grants")
    op.drop_index("runs_of_campaign", table_name="runs")
    op.drop_table("runs")
    op.drop_table("player_tags")
    op.drop_table("coupons")
    op.drop_table("users")
    op.drop_table("unit_marks")
    op.drop_index("player_identity", table_name="players")
    op.drop_table("players")
    op.drop_index(
        "inbound_waiting",
        table_name="inbound_events",
        postgresql_where=sa.text("handled_at IS NULL"),
        sqlite_where=sa.text("handled_at IS NULL"),
    )
    op.drop_index("inbound_once", table_name="inbound_events")
    op.drop_table("inbound_events")
    op.drop_index(
        "one_outcome_per_request",
        table_name="draws",
        postgresql_where=sa.text("NOT void"),
        sqlite_where=sa.text("NOT void"),
    )
    op.drop_index(
        "one_draw_per_unit",
        table_name="draws",
        postgresql_where=sa.text("NOT void AND unit IS NOT NULL"),
        sqlite_where=sa.text("NOT void AND unit IS NOT NULL"),
    )
    op.drop_index(
        "one_draw_per_day_number",
        table_name="draws",
        postgresql_where=sa.text("NOT void AND day_number IS NOT NULL"),
        sqlite_where=sa.text("NOT void AND day_number IS NOT NULL"),
    )
    op.drop_index(
        "one_draw_per_chance",
        table_name="draws",
        postgresql_where=sa.text("NOT void"),
        sqlite_where=sa.text("NOT void"),
    )
    op.drop_table("draws")
    op.drop_index(
        "deliveries_due",
        table_name="deliveries",
        postgresql_where=sa.text("state IN ('pending', 'sending')"),
        sqlite_where=sa.text("state IN ('pending', 'sending')"),
    )
    op.drop_table("deliveries")
    op.drop_table("channels")
    op.drop_table("campaigns")
    op.drop_index(op.f("ix_bound_links_expires_at"), table_name="bound_links")
    op.drop_table("bound_links")
    op.drop_table("api_keys")
