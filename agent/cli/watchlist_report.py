"""What `kiosk-agent watchlist` prints: the state of the lists, what an update did, and why a person is on a list."""

import json as jsonlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from agent.cli.console import format_time
from agent.cli.terminal import BOLD_RED, END, YELLOW, Terminal
from agent.control.protocol import understood

Json = Mapping[str, Any]

out = Terminal()


def show_references(result: Json) -> None:
    """Show references, without templates."""
    with understood():
        rows = [("reference", "category", "list", "agreement", "positions", "expires", "")]
        for one in result["references"]:
            positions = ", ".join(dict.fromkeys(one["positions"]))
            expires = format_time(one["expires_at"], "minutes")
            rows.append(
                (one["reference_id"], one["category"], one["list"], one["agreement"], positions, expires, one["hidden"])
            )
        age = result["age_s"]
        confirmed = "never confirmed" if age is None else f"confirmed {timedelta(seconds=int(age))} ago"
        out.print(f"revision {result['revision']}, {confirmed}, {result['total']} references")
        if result["references"]:
            out.print_table(*rows)
        if (more := result["total"] - len(result["references"])) > 0:
            out.print(f"and {more} more: use --limit, or `kiosk-agent watchlist explain ID`")


def show_state(result: Json, *, as_json: bool = False) -> None:
    """Show the state of each list."""
    if as_json:
        print(jsonlib.dumps(dict(result)))  # noqa: T201 - the machine-readable form of this command
        return
    with understood():
        out.print(f"revision {result['revision']}: {result['references']} references are searched")
        out.print(f"confirmed {_time(result['confirmed_at'])}; checked {_time(result['checked_at'])}")
        if result["valid_until"]:
            out.print(f"signatures valid until {_time(result['valid_until'])}{_expired(result)}")
        out.print(f"trusted time {_time(result['trusted_time'])}")
        if result["clock_doubt"]:
            out.print(f"{YELLOW}clock in doubt: {result['clock_doubt']}{END}")
        out.print(f"{_megabytes(result['disk_bytes'])} on disk, {_megabytes(result['memory_bytes'])} in memory")
        for one in result["lists"]:
            _show_list(one)
        for name in result["missing"]:
            out.print(f"{BOLD_RED}missing: {name}: nobody is cleared before it is here{END}")
        for name, problem in result["problems"].items():
            out.print(f"{BOLD_RED}{name or 'all lists'}: {problem}{END}")


def _show_list(one: Json) -> None:
    hidden = f", {one['hidden']} hidden" if one["hidden"] else ""
    overdue = f" ({one['not_reviewed']} not reviewed in time)" if one["not_reviewed"] else ""
    out.print(f"list {one['name']}: revision {one['revision']}, {one['references']} references{hidden}{overdue}")
    out.print("  " + ", ".join(f"{count} {category}" for category, count in one["categories"].items()))
    for agreement in one["agreements"]:
        review = f", review by {format_time(agreement['review_by'], 'minutes')}" if agreement["review_by"] else ""
        out.print(f"  agreement {agreement['agreement']}: {agreement['purpose']}; {agreement['legal_basis']}{review}")


def show_update(result: Json) -> bool:
    """Show what an update did. Whether a list was refused."""
    with understood():
        refused = bool(result["problems"])
        if not result["lists"]:
            out.print("no lists of providers are configured: see [watchlist] in the configuration")
        for name, text in result["lists"].items():
            out.print(f"{name or 'all lists'}: {text}")
    return refused


def show_verification(result: Json) -> None:
    """Show whether each list on disk is complete."""
    with understood():
        if not result["lists"]:
            out.print("there is no list on this kiosk")
        for name, text in result["lists"].items():
            out.print(f"{name}: {text}")


def show_explanation(result: Json) -> None:
    """Show why a reference is on a list, and whether it is searched."""
    with understood():
        for one in result["references"]:
            searched = f"not searched: {one['hidden']}" if one["hidden"] else "searched"
            out.print(f"reference {one['reference_id']} of {one['list']}, {searched}")
            for label, key in (("category", "category"), ("instruction", "instruction"), ("agreement", "agreement"),
                               ("provider", "provider"), ("purpose", "purpose"), ("legal basis", "legal_basis"),
                               ("necessity", "necessity")):  # fmt: skip
                if one[key]:
                    out.print(f"  {label}: {one[key]}")
            out.print(f"  may be told to: {', '.join(one['recipients'])}")
            out.print(f"  positions: {', '.join(dict.fromkeys(one['positions']))}")
            for label, key in (("valid from", "not_before"), ("expires", "expires_at"), ("review by", "review_by")):
                out.print(f"  {label}: {format_time(one[key], 'minutes')}")


def _time(text: str | None) -> str:
    return format_time(text, "minutes") if text else "never"


def _expired(result: Json) -> str:
    if not result["list_expired"]:
        return ""
    return f" {BOLD_RED}EXPIRED{END}: {'nobody is cleared' if result['list_unusable'] else 'every decision says so'}"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
