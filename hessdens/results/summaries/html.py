"""Summaries of results as a notebook shows them."""

from html import escape

STYLE = "text-align: left; vertical-align: top; padding: 0.1em 0.8em 0.1em 0"


def as_html(text: str) -> str:
    """Return a summary as a table: its title, then a row for each line "name: value", or the text if it is a table."""
    title, *lines = text.split("\n")
    if not all(line.startswith("  ") and ": " in line for line in lines):
        return f"<pre>{escape(text)}</pre>"
    rows = "".join(_row(*line.strip().split(": ", 1)) for line in lines)
    return f"<table><caption style='text-align: left'><b>{escape(title)}</b></caption><tbody>{rows}</tbody></table>"


def _row(name: str, value: str) -> str:
    return f"<tr><th style='{STYLE}'>{escape(name)}</th><td style='{STYLE}'>{escape(value)}</td></tr>"
