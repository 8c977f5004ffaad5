"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "bar",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("interval_ns", sa.BigInteger(), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("raw_symbol", sa.String(), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("open", sa.BigInteger(), nullable=False),
        sa.Column("high", sa.BigInteger(), nullable=False),
        sa.Column("low", sa.BigInteger(), nullable=False),
        sa.Column("close", sa.BigInteger(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("trades", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.Column("updated_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("instrument_id", "interval_ns", "start_ns", name="pk_bar"),
    )
    op.create_index("ix_bar_updated", "bar", ["updated_ns"])

    op.create_table(
        "baseline",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("metric", sa.String(32), nullable=False),
        sa.Column("bucket", sa.Integer(), nullable=False),
        sa.Column("params_fingerprint", sa.String(16), nullable=False),
        sa.Column("as_of", sa.String(10), nullable=False),
        sa.Column("sessions", sa.Integer(), nullable=False),
        sa.Column("samples", sa.BigInteger(), nullable=False),
        sa.Column("median", sa.Float(), nullable=False),
        sa.Column("mad", sa.Float(), nullable=False),
        sa.Column(
            "quantiles", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("computed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "key", "metric", "bucket", "params_fingerprint", name="pk_baseline"
        ),
    )
    op.create_table(
        "health_sample",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("ts_ns", sa.BigInteger(), nullable=False),
        sa.Column("component", sa.String(16), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column(
            "metrics", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name="pk_health_sample"),
    )
    op.create_index("ix_health_sample_component_ts", "health_sample", ["component", "ts_ns"])

    op.create_table(
        "instrument",
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("dataset", sa.String(), nullable=False),
        sa.Column("raw_symbol", sa.String(), nullable=False),
        sa.Column("asset", sa.String(), nullable=False),
        sa.Column("instrument_class", sa.String(1), nullable=False),
        sa.Column("underlying", sa.String(), nullable=False),
        sa.Column("underlying_id", sa.BigInteger(), nullable=False),
        sa.Column("expiration_ns", sa.BigInteger(), nullable=False),
        sa.Column("strike_price", sa.BigInteger(), nullable=True),
        sa.Column("right", sa.String(1), nullable=True),
        sa.Column("multiplier", sa.Float(), nullable=False),
        sa.Column("min_price_increment", sa.BigInteger(), nullable=False),
        sa.Column("user_defined", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("session_date", "instrument_id", name="pk_instrument"),
    )
    op.create_index("ix_instrument_raw_symbol", "instrument", ["raw_symbol"])

    op.create_table(
        "pressure_window",
        sa.Column("instrument_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("params_fingerprint", sa.String(16), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("raw_symbol", sa.String(), nullable=False),
        sa.Column("buy_volume", sa.BigInteger(), nullable=False),
        sa.Column("sell_volume", sa.BigInteger(), nullable=False),
        sa.Column("unsided_volume", sa.BigInteger(), nullable=False),
        sa.Column("buy_trades", sa.Integer(), nullable=False),
        sa.Column("sell_trades", sa.Integer(), nullable=False),
        sa.Column("largest_print", sa.Integer(), nullable=False),
        sa.Column("sweep_levels", sa.Integer(), nullable=False),
        sa.Column("messages", sa.Integer(), nullable=False),
        sa.Column("bid_adds", sa.BigInteger(), nullable=False),
        sa.Column("ask_adds", sa.BigInteger(), nullable=False),
        sa.Column("bid_pulls", sa.BigInteger(), nullable=False),
        sa.Column("ask_pulls", sa.BigInteger(), nullable=False),
        sa.Column("order_flow_imbalance", sa.BigInteger(), nullable=False),
        sa.Column("mid_open", sa.BigInteger(), nullable=True),
        sa.Column("mid_close", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint(
            "instrument_id",
            "window_start",
            "window_end",
            "params_fingerprint",
            name="pk_pressure_window",
        ),
    )
    op.create_index(
        "ix_pressure_window_session", "pressure_window", ["session_date", "window_start"]
    )

    op.create_table(
        "profile_version",
        sa.Column("fingerprint", sa.String(16), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column(
            "params", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_profile_version"),
    )
    op.create_table(
        "signal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("signal_id", sa.String(16), nullable=False),
        sa.Column("ts_event", sa.BigInteger(), nullable=False),
        sa.Column("ts_recv", sa.BigInteger(), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("instrument_id", sa.BigInteger(), nullable=False),
        sa.Column("raw_symbol", sa.String(), nullable=False),
        sa.Column("underlying", sa.String(), nullable=False),
        sa.Column("expiration", sa.String(10), nullable=False),
        sa.Column("strike", sa.Float(), nullable=False),
        sa.Column("right", sa.String(1), nullable=False),
        sa.Column("side", sa.String(4), nullable=False),
        sa.Column("pattern", sa.String(), nullable=False),
        sa.Column("confidence", sa.Float(), nullable=False),
        sa.Column("tier", sa.String(16), nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("pressure_ratio", sa.Float(), nullable=False),
        sa.Column("baseline_zscore", sa.Float(), nullable=True),
        sa.Column("percentile_rank", sa.Float(), nullable=True),
        sa.Column("market_making_probability", sa.Float(), nullable=False),
        sa.Column("coordination", sa.Float(), nullable=False),
        sa.Column("volume", sa.BigInteger(), nullable=False),
        sa.Column("price", sa.BigInteger(), nullable=False),
        sa.Column("underlying_price", sa.BigInteger(), nullable=True),
        sa.Column("window_start", sa.BigInteger(), nullable=False),
        sa.Column("window_end", sa.BigInteger(), nullable=False),
        sa.Column("risk_score", sa.Float(), nullable=False),
        sa.Column("position_size_multiplier", sa.Float(), nullable=False),
        sa.Column("why", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "factors", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False
        ),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("params_fingerprint", sa.String(16), nullable=False),
        sa.Column("group_id", sa.String(16), nullable=True),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), nullable=True),
        sa.Column("committed_ns", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_signal"),
        sa.UniqueConstraint("signal_id", name="uq_signal_signal_id"),
    )
    op.create_index("ix_signal_group_id", "signal", ["group_id"])
    op.create_index("ix_signal_run_id", "signal", ["run_id"])
    op.create_index("ix_signal_session_date", "signal", ["session_date"])
    op.create_index("ix_signal_ts_event", "signal", ["ts_event"])

    op.create_table(
        "stream_run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("shard", sa.String(64), nullable=False),
        sa.Column("active_shard", sa.String(64), nullable=True),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("params_fingerprint", sa.String(16), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=True),
        sa.Column("flow_run_id", sa.String(36), nullable=True),
        sa.Column("started_ns", sa.BigInteger(), nullable=False),
        sa.Column("heartbeat_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_record_ns", sa.BigInteger(), nullable=True),
        sa.Column("stop_requested_ns", sa.BigInteger(), nullable=True),
        sa.Column("stop_reason", sa.String(), nullable=True),
        sa.Column("ended_ns", sa.BigInteger(), nullable=True),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("windows", sa.BigInteger(), nullable=False),
        sa.Column("signals", sa.BigInteger(), nullable=False),
        sa.Column("gaps", sa.Integer(), nullable=False),
        sa.Column("queue_high_water", sa.Integer(), nullable=False),
        sa.Column("peak_rss_bytes", sa.BigInteger(), nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_stream_run"),
        sa.UniqueConstraint("active_shard", name="uq_stream_run_active_shard"),
    )
    op.create_table(
        "alert_outbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("signal_id", sa.String(16), nullable=False),
        sa.Column("channel", sa.String(80), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_try_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("sent_ns", sa.BigInteger(), nullable=True),
        sa.Column("message_ts", sa.String(32), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(
            ["signal_id"], ["signal.signal_id"], name="fk_alert_outbox_signal_id_signal"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alert_outbox"),
        sa.UniqueConstraint(
            "signal_id", "channel", "kind", name="uq_alert_outbox_signal_id_channel_kind"
        ),
    )
    op.create_index("ix_alert_outbox_due", "alert_outbox", ["state", "next_try_ns"])

    op.create_table(
        "archive_file",
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("shard", sa.String(64), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("first_ts", sa.BigInteger(), nullable=True),
        sa.Column("last_ts", sa.BigInteger(), nullable=True),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=True),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("closed_ns", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["run_id"], ["stream_run.id"], name="fk_archive_file_run_id_stream_run"
        ),
        sa.PrimaryKeyConstraint("path", name="pk_archive_file"),
    )
    op.create_index("ix_archive_file_session_date", "archive_file", ["session_date"])

    op.create_table(
        "coverage",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("shard", sa.String(64), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("dbn_schema", sa.String(16), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=False),
        sa.Column("records", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["run_id"], ["stream_run.id"], name="fk_coverage_run_id_stream_run"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_coverage"),
    )
    op.create_index("ix_coverage_run_id", "coverage", ["run_id"])
    op.create_index("ix_coverage_session_date", "coverage", ["session_date"])

    op.create_table(
        "gap",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=True),
        sa.Column("shard", sa.String(64), nullable=False),
        sa.Column("session_date", sa.String(10), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), nullable=True),
        sa.Column("cause", sa.String(32), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("detail", sa.String(), nullable=False),
        sa.Column("detected_ns", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["stream_run.id"], name="fk_gap_run_id_stream_run"),
        sa.PrimaryKeyConstraint("id", name="pk_gap"),
    )
    op.create_index("ix_gap_run_id", "gap", ["run_id"])
    op.create_index("ix_gap_session_date", "gap", ["session_date"])


def downgrade() -> None:
    op.drop_table("gap")
    op.drop_table("coverage")
    op.drop_table("archive_file")
    op.drop_table("alert_outbox")
    op.drop_table("stream_run")
    op.drop_table("signal")
    op.drop_table("profile_version")
    op.drop_table("pressure_window")
    op.drop_table("instrument")
    op.drop_table("health_sample")
    op.drop_table("baseline")
    op.drop_table("bar")
