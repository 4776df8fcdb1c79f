"""Counts the words of sentences, and finds turns that make a reader stop: python scripts/sentences.py [PAGE ..].

Prints the median and the longest sentence of each page, and where a turn of ``TURNS`` stands in pages, docstrings and
messages. Without pages: those of ``HELD``, which a test holds to ``MEDIAN`` and ``LONGEST``.
"""

import ast
import re
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Words of the median sentence, and of the longest.
MEDIAN, LONGEST = 18, 40
HELD = (
    "README.md",
    "docs/start/install.md",
    "docs/start/five_minutes.md",
    "docs/guide/tutorial.md",
    "docs/guide/own_model.md",
    "docs/guide/choosing.md",
    "docs/guide/reading.md",
    "docs/guide/large_models.md",
    "docs/guide/gpu.md",
    "docs/guide/training_runs.md",
    "docs/guide/command_line.md",
    "docs/guide/questions.md",
)
# What to write in their place: except; almost; silently; per probe; automatically; off-diagonal; atomically.
TURNS = {
    r"\bbut for\b": "except",
    r"\bas good as\b": "almost",
    r"\bwithout a word\b": "silently",
    r"\bbeside the diagonal\b": "off-diagonal",
    r"\b(?:whole or not at all)\b": "atomically",
    r"\bby (?:itself|themselves)\b": "automatically",
    r"\bsays so anew\b": "rerun with",
    r"\bhow sure\b": "how certain",
    r"\bdoes for a first look\b": "is enough for a first look",
    r"\bin place of a number\b": "instead of a number",
    r"\btimes as much\)": "the ratio in words",
    r"\b(?:four|two|one|dots|points|numbers|products|vectors|ms|µs|\d+) an? "
    r"(?:axis|column|epoch|example|file|fit|inch|layer|probe|product|row|second|step|vector)\b": "per",
    r"\bbeside\b": "next to, besides, or outside of",
    r"\b[Ww]here pip takes\b": "pip's default",
    r"\bno blocks beside\b": "no off-diagonal blocks",
    r"\bpaid for by\b": "costs",
}


def prose(text: str) -> str:
    """Return what is read of a Markdown page: no code, tables, formulas, directives, comments or link targets."""
    text = re.sub(r"<!--.*?-->", " ", text, flags=re.DOTALL)
    text = re.sub(r"^(`{3,}|:{3,}).*?^\1 *$", "\n\n", text, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\$\$.*?\$\$", " formula ", text, flags=re.DOTALL)
    text = re.sub(r"\{doc\}`[^`]*`|`[^`]+`|\$[^$]+\$", "code", text)
    text = re.sub(r"!\[[^\]]*\]\([^)]*\)", " ", text)
    text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    lines = [line for line in text.splitlines() if not line.startswith(("|", "#", "    ", ":"))]
    # Items of lists are sentences of their own.
    return "\n".join("\n" + line if re.match(r" *(?:[-*]|\d+\.) ", line) else line for line in lines)


def sentences(text: str) -> list[list[str]]:
    """Return the words of each sentence of a page."""
    found = []
    for paragraph in re.split(r"\n\s*\n", prose(text)):
        flat = re.sub(r"^ *(?:[-*]|\d+\.) ", "", " ".join(paragraph.split()))
        for sentence in re.split(r"(?<=[.!?:])[\"”)*]* +(?=[A-Z(*`c\d])", flat):
            words = re.findall(r"[^\s]*\w[^\s]*", sentence)
            if len(words) > 1:
                found.append(words)
    return found


def turns() -> Iterator[str]:
    """Yield the places in pages, docstrings and messages where a turn stands."""
    paths = [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "hessdens").rglob("*.py"),
    ]
    for path in sorted(paths):
        if {"_build", "_generated", "examples"} & set(path.parts):
            continue
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for turn, better in TURNS.items():
                if re.search(turn, line):
                    yield f"{path.relative_to(ROOT)}:{number}: {line.strip()[:90]} -> {better}"


def pages() -> list[str]:
    """Return the pages that are written by hand, those of `HELD` among them."""
    made = {"_build", "_generated", "examples"}
    found = (path.relative_to(ROOT) for path in (ROOT / "docs").rglob("*.md"))
    return sorted({*HELD, *(path.as_posix() for path in found if not made & set(path.parts))})


def docstrings() -> Iterator[tuple[str, str]]:
    """Yield the places of public docstrings, and their prose: without examples, headings and names of arguments."""
    for path in sorted((ROOT / "hessdens").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                continue
            name, text = getattr(node, "name", ""), ast.get_docstring(node)
            if text and not name.startswith("_"):
                text = re.split(r"\nExamples\n-+\n", text)[0].replace("``", "`")
                text = re.sub(r"\n[\w, ]+\n-{3,}\n", "\n\n", text)
                text = re.sub(r"(?m)^[\w, ]+\n(?= )", "\n", text)
                yield f"{path.relative_to(ROOT)} {name}".strip(), re.sub(r"(?m)^ +", "", text)


def main() -> None:
    """Print both."""
    for name in sys.argv[1:] or HELD:
        lengths = {" ".join(words): len(words) for words in sentences((ROOT / name).read_text())}
        longest = max(lengths, key=lambda sentence: lengths[sentence])
        print(f"{name}: median {statistics.median(lengths.values()):g}, longest {lengths[longest]}: {longest[:100]}")
    print(*turns(), sep="\n")


if __name__ == "__main__":
    main()
