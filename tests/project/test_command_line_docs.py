"""The commands of docs/guide/command_line.md print what the page says, except last digits.

``PYTHONPATH=tests python tests/project/test_command_line_docs.py`` writes the page anew with what they print.
"""

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
from pathlib import Path

from printed import assert_same_except_last_digits

from hessdens.cli import main

PAGE = Path(__file__).resolve().parents[2] / "docs/guide/command_line.md"
CONSOLE = re.compile(r"```console\n(.*?)```", re.DOTALL)


def renewed(page, folder):
    """Return the page with what its commands print in ``folder`` now, one after the other."""
    code = re.search(r"```python\n(.*?)```", page, re.DOTALL)[1]
    Path(folder, "digits.py").write_text(code)

    def block(match):
        commands = [line for line in match[1].splitlines() if line.startswith("$ ")]
        return "```console\n" + "".join(f"{line}\n{printed(line)}" for line in commands) + "```"

    with contextlib.chdir(folder):
        try:
            return CONSOLE.sub(block, page)
        finally:
            sys.modules.pop("digits", None)
            sys.path[:] = [path for path in sys.path if path != os.getcwd()]


def printed(line):
    program, *arguments = shlex.split(line.removeprefix("$ "))
    assert program == "hessdens"
    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        main(arguments)
    return output.getvalue()


def test_commands_print_what_the_page_says(tmp_path):
    page = PAGE.read_text()
    output, expected = ("\n".join(CONSOLE.findall(text)) for text in (renewed(page, tmp_path), page))
    assert_same_except_last_digits(output, expected)
    assert (tmp_path / "density.png").stat().st_size > 1000


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        PAGE.write_text(renewed(PAGE.read_text(), temporary))
