"""Tables of diagonals, traces, norms and Gram matrices: errors, and what large models take, from the results."""

from typing import Any


def accuracy_of_traces(content: dict[str, Any]) -> str:
    """Return a table with a row for each matrix and accuracy."""
    header = ["matrix", "size", "rtol", "products", "kept", "held, least layer", "held, mean", "largest z"]
    lines = [header, ["---"] * len(header)]
    for row in content["rows"]:
        counts = f"{row['products']:.0f} ({row['fewest']} to {row['most']})"
        shares = (f"{row[name]:.0%}" for name in ("kept", "held", "held on average"))
        lines.append(
            [row["matrix"], f"{row['size']:,}", f"{row['rtol']:g}", counts, *shares, f"{row['largest_z_score']:.2f}"]
        )
    return _of_seeds(content, lines)


def structure(content: dict[str, Any]) -> str:
    """Return a table with a row for each matrix and number of products, and what became of the largest bias."""
    rows: dict[tuple[str, int, int], dict[str, Any]] = {}
    for row in content["rows"]:
        rows.setdefault((row["matrix"], row["size"], row["products"]), {})[row["estimate"]] = row
    header = ["matrix", "size", "products", "diagonal", "over XDiag", "traces", "over plain", "norms", "largest z"]
    lines = [header, ["---"] * len(header)]
    for (matrix, size, products), found in rows.items():
        diagonal, traces, norms = (found.get(name) for name in ("diagonal", "traces of layers", "norms of blocks"))
        numbers = [
            *(row[name] for row in (diagonal, traces) for name in ("reported_over_actual", "over_others")),
            *([norms["reported_over_actual"]] if norms else []),
        ]
        cells = [f"{number:.2f}" for number in numbers] + [""] * (norms is None)
        largest = max(row["largest_z_score"] for row in found.values())
        is_older = diagonal["date"] != content["date"]
        name = f"{matrix} ({diagonal['date']}, {diagonal['seeds']} seeds)" if is_older else matrix
        lines.append([name, f"{size:,}", str(products), *cells, f"{largest:.2f}"])
    bias = content.get("largest_bias")
    if bias is None:
        return _of_seeds(content, lines)
    again = (
        f"Of the diagonals of known kinds, the largest z is {bias['largest_z_score']:.2f}, of {bias['matrix']!r} with "
        f"{bias['products']} products. With {bias['other_seeds']:,} other seeds it is {bias['again']:.2f}.\n"
    )
    return f"{_of_seeds(content, lines)}\n{again}"


def gpt2_blocks(content: dict[str, Any]) -> str:
    """Return what traces of layers and norms of blocks of a large transformer took, and what they say."""
    products, spent = content["products"], content["spent"]
    steps = [
        ("making the operator", "making the operator", 0),
        (f"traces of {content['blocks']} blocks", "traces", products["traces"]),
        (f"norms of {content['blocks']}x{content['blocks']} blocks", "norms", products["norms"]),
    ]
    lines = ["| step | products | minutes |", "|---|---|---|"]
    lines += [f"| {title} | {count or ''} | {spent[step]['seconds'] / 60:.1f} |" for title, step, count in steps]
    total = sum(row["seconds"] for row in spent.values()) / 60
    lines.append(f"| all | {products['traces'] + products['norms']} | {total:.1f} |")
    share, low, high = (f"{part:.1%}" for part in content["share_outside"])
    cosine, least, most = (f"{part:.3f}" for part in content["cosine"])
    return (
        f"{_origin(content)} {content['parameters']:,} parameters, {content['sequences']} sequences of "
        f"{content['tokens']} random tokens; peak of the process {content['peak_gib']:.1f} GiB.\n\n"
        + "\n".join(lines)
        + f"\n\nOf |H|², {share} ({low} to {high}) is outside of the diagonal blocks. The cosine of H v and its "
        f"block-diagonal part is {cosine} ({least} to {most}).\n"
    )


def gram(content: dict[str, Any]) -> str:
    """Return what exact spectra of Gauss-Newton matrices of large classifiers took."""
    header = ["classifier", "parameters", "n C", "rank", "passes", "minutes", "peak (GiB)", "largest residual"]
    lines = [header, ["---"] * len(header)]
    lines += [
        [
            row["model"],
            *(f"{row[name]:,}" for name in ("parameters", "outputs", "rank", "passes")),
            f"{sum(row['seconds'].values()) / 60:.1f}",
            f"{row['peak_gib']:.1f}",
            f"{max(row['relative_residuals']):.0e}",
        ]
        for row in content["rows"]
    ]
    first = content["rows"][0]
    return f"{_origin(first)} {first['examples']} images of {first['data']}.\n\n{_table(lines)}"


def _of_seeds(content: dict[str, Any], lines: list[list[str]]) -> str:
    origin = f"{content['date']}, {content['machine']}; {_versions(content)}. {content['seeds']} seeds."
    return f"{origin}\n\n{_table(lines)}"


def _table(lines: list[list[str]]) -> str:
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def _origin(content: dict[str, Any]) -> str:
    return f"{content['date']}, {content['machine']}, threads: {content['threads']}; {_versions(content)}."


def _versions(content: dict[str, Any]) -> str:
    return ", ".join(f"{name} {version}" for name, version in content["versions"].items())
