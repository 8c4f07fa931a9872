"""`faregate status`: is it running, and well."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from gateway.commands.common import (
    EXIT_FINDINGS,
    ConfigOption,
    JsonOption,
    SetOption,
    load_settings,
    print_fields,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from gateway.config import Config
    from gateway.observability.page import PageView


def register(app: typer.Typer) -> None:
    app.command("status", rich_help_panel="Run")(status)


def status(
    config: ConfigOption = None, replaced: SetOption = None, as_json: JsonOption = False
) -> None:
    """Show whether the gateway serves, what it holds and how fast it is. Exit 1 when not ready.

    Reads the shared page, so it answers also when the data plane does not.

    Example: `faregate status`
    """
    from gateway.clock import now_us
    from gateway.observability.health import check_readiness
    from gateway.observability.page import PageReader

    settings = load_settings(config, replaced).config
    view = PageReader(settings.page_path).read()
    checks = check_readiness(view, settings, now_us())
    ready = all(check.ok for check in checks)
    figures = (_figures(view) if view else {}) | _worker(settings)
    if as_json:
        details = {check.name: {"ok": check.ok, "detail": check.detail} for check in checks}
        print_json({"ready": ready, "checks": details, **figures})
    else:
        print_table(
            ("check", "", "detail"),
            [(check.name, "ok" if check.ok else "NOT OK", check.detail) for check in checks],
        )
        print_fields(figures)
    raise typer.Exit(0 if ready else EXIT_FINDINGS)


def _worker(settings: Config) -> dict[str, Any]:
    """Whether the worker lives, and which of its jobs wait to be started again."""
    from gateway.observability.worker_page import read_page

    view = read_page(settings.worker_page_path)
    if view is None or not view.writer_lives():
        return {"worker": "not running"}
    failed = sorted(name for name, job in view.jobs.items() if job.get("state") == "failed")
    return {"worker": "running", "jobs": len(view.jobs), "jobs_failed": failed}


def _figures(view: PageView) -> dict[str, Any]:
    from gateway.observability import page

    taps = view.histogram(page.LATENCY, page.LATENCY_SUM_US)
    commits = view.histogram(page.COMMIT, page.COMMIT_SUM_US)
    return {
        "pid": view[page.PID],
        "link_port": view[page.LINK_PORT],
        "sessions": view[page.SESSIONS],
        "accounts": view[page.ACCOUNTS],
        "media": view[page.MEDIA],
        "limits": f"{view.limits_key():016x}" if view.limits_key() else "none",
        "journal_position": view[page.JOURNAL_POSITION],
        "durable_seq": view[page.DURABLE_SEQ],
        "taps": taps.count,
        "tap_p50_us": taps.quantile_us(0.5),
        "tap_p99_us": taps.quantile_us(0.99),
        "commits": commits.count,
        "commit_p50_us": commits.quantile_us(0.5),
        "commit_p99_us": commits.quantile_us(0.99),
    }
