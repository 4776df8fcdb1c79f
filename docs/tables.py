"""Writes the pages' tables from the committed results, so that no number is typed by hand."""

import json
import statistics
from collections.abc import Callable
from pathlib import Path

from agreement_tables import agreement, agreement_by_case
from answers_tables import answers
from eigenpairs_tables import eigenpairs
from example_sections import cards, write_gallery
from multilevel_tables import multilevel, multilevel_traces
from notebook_page import notebook_page
from reproduction_tables import write as write_reproduction
from structure_tables import accuracy_of_traces, gpt2_blocks, gram, structure
from suite_tables import write as write_suite
from what_works_tables import what_works

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS.parent / "benchmarks" / "results"
OUT = DOCS / "_generated"


def write_tables() -> None:
    """Write all tables as Markdown files for the pages to include."""
    OUT.mkdir(exist_ok=True)
    (OUT / "grid_search.md").write_text(_grid_search(_read(RESULTS / "grid_search.json")))
    (OUT / "hvp.md").write_text(_hvp(_read(RESULTS / "hvp.json")))
    (OUT / "eigenpairs.md").write_text(
        _if_measured(RESULTS / "eigenpairs.json", eigenpairs, "benchmarks/eigenpairs.py")
    )
    (OUT / "answers.md").write_text(
        _if_measured(RESULTS / "time_to_answer.json", answers, "benchmarks/time_to_answer.py")
    )
    (OUT / "structure.md").write_text(structure(_read(RESULTS / "structure.json")))
    (OUT / "accuracy_of_traces.md").write_text(accuracy_of_traces(_read(RESULTS / "accuracy_of_traces.json")))
    (OUT / "gpt2_blocks.md").write_text(gpt2_blocks(_read(RESULTS / "gpt2_blocks.json")))
    (OUT / "gram.md").write_text(gram(_read(RESULTS / "gram.json")))
    (OUT / "multilevel.md").write_text(multilevel(_read(RESULTS / "multilevel_small.json")))
    (OUT / "multilevel_traces.md").write_text(multilevel_traces(_read(RESULTS / "multilevel_traces.json")))
    (OUT / "plans.md").write_text(_plans(_read(RESULTS / "plans.json")))
    (OUT / "exact.md").write_text(_exact(_read(RESULTS / "exact.json")))
    (OUT / "construction.md").write_text(
        _if_measured(RESULTS / "construction.json", _construction, "benchmarks/construction.py --before PATH")
    )
    (OUT / "reorthogonalisation.md").write_text(_reorthogonalisation(_read(RESULTS / "reorthogonalisation.json")))
    (OUT / "large_model.md").write_text(_large_model(_read(RESULTS / "large_model.json")))
    write_suite(OUT)
    (OUT / "peers_agreement.md").write_text(agreement())
    (OUT / "curvlinops_cases.md").write_text(agreement_by_case())
    (OUT / "what_works.md").write_text(what_works())
    (OUT / "examples.md").write_text(cards())
    write_gallery()
    (OUT / "notebook.md").write_text(notebook_page(OUT))
    (OUT / "overhead.md").write_text(_overhead(_read(RESULTS / "overhead.json")))
    (OUT / "moments.md").write_text(_moments(_read(RESULTS / "moments.json")))
    (OUT / "training.md").write_text(_if_measured(RESULTS / "training.json", _training, "benchmarks/training.py"))
    (OUT / "training_agreement.md").write_text(
        _if_measured(RESULTS / "training_agreement.json", _training_agreement, "benchmarks/training_agreement.py")
    )
    (OUT / "killed_runs.md").write_text(
        _if_measured(RESULTS / "killed_runs.json", _killed_runs, "benchmarks/killed_runs.py")
    )
    (OUT / "certificate.md").write_text(
        _if_measured(RESULTS / "certificate.json", _certificate, "benchmarks/certificate.py")
    )
    (OUT / "monitor.md").write_text(_if_measured(RESULTS / "monitor.json", _monitor, "benchmarks/monitor.py"))
    (OUT / "distributed.md").write_text(
        _if_measured(RESULTS / "distributed.json", _distributed, "benchmarks/distributed.py")
    )
    write_reproduction(OUT, _read(RESULTS / "verdict_rules.json"))


def _if_measured(path: Path, table: Callable[[dict], str], command: str) -> str:
    """Return a table of results, or that they are still to be measured."""
    return table(_read(path)) if path.exists() else f"Not measured for this version; `python {command}` does.\n"


def _read(path: Path) -> dict:
    return json.loads(path.read_text())


def _table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _versions(content: dict) -> str:
    return ", ".join(f"{name} {version}" for name, version in content["versions"].items())


def _grid_search(content: dict) -> str:
    rows = [
        [
            f"`{name}`",
            f"{b['median_ms']:.2f}",
            f"{b['max_ms']:.1f}",
            f"{b['points_per_second']:.2e}",
            f"{b['times_slower']:.0f}",
            b["same_index_and_objective"],
        ]
        for name, b in content["backends"].items()
    ]
    header = [
        "backend",
        "median ms per fit",
        "slowest ms",
        "points per second",
        "times slower",
        "same index and objective",
    ]
    fresh = content["fresh_process"]
    return (
        f"{_origin(content)}\n\n"
        + _table(header, rows)
        + f"\n1,000 fits in one call: {content['thousand_fits_in_one_call_s']:.2f} s. First fit of a process: "
        f"{fresh['compiling']['first_fit_s']:.1f} s when it compiles, {fresh['from_cache']['first_fit_s']:.1f} s from the cache; "
        f"peak memory beyond the import: {fresh['compiling']['peak_mib']:.0f} and {fresh['from_cache']['peak_mib']:.0f} MiB.\n"
    )


def _origin(content: dict) -> str:
    return f"{content['date']}, {content['machine']}, {content['threads']} threads; {_versions(content)}."


def _certificate(content: dict) -> str:
    rows = [
        [
            row["network"],
            f"{row['exact']:,}",
            str(row["products"]),
            "{:,} to {:,}".format(*row["outside_of_first_seed"]),
            f"{statistics.median(row['widths']):,.0f}",
            f"{statistics.median(row['widths']) / row['size']:.2%}",
        ]
        for row in content["widths"]
    ]
    header = ["network", "outside", "products", "certified", "median width", "of all"]
    size, seeds = content["widths"][0]["size"], content["arguments"]["seeds"]
    sentences = [
        f"At level {entry['level']:.0%}, {entry['failed']} of {entry['pairs']:,} pairs failed, and at most {entry['most']} may."
        for entry in content["failures"]
    ]
    return (
        f"`python benchmarks/certificate.py`, {_origin(content)}\n\nNetworks of ten layers of 16 units on CIFAR-100, with "
        f"{size:,} parameters and exact Hessians: how many eigenvalues lie outside a window of {content['window']:g}, at level "
        f"99%. Of the first of {seeds} seeds, and median width:\n\n{_table(header, rows)}\nPairs of a spectrum and a seed, of "
        "these networks and of small spectra with eigenvalues on, just inside and just outside the edges, without gaps, of "
        f"low rank, and all equal, in float64 and float32: {' '.join(sentences)}\n"
    )


def _hvp(content: dict) -> str:
    parts = [f"{content['machine']}, {content['threads']} threads; {_versions(content)}.\n"]
    for model, entry in content["models"].items():
        rows = entry["contenders"]
        own, found = rows["hessdens"], {k: r for k, r in rows.items() if "microseconds" in r}
        peers = {k: r for k, r in found.items() if not k.startswith(("hessdens", "torch.func"))}
        best = min(peers, key=lambda name: peers[name]["microseconds"])
        ratio = peers[best]["microseconds"] / own["microseconds"]
        plan = own["plan"]
        sentence = (
            f"{entry['date']}. {own['parameters']:,} parameters, {own['examples']:,} examples, {own['probes']} probes, {own['data']}. Time of the best "
            f"peer, {best}, over hessdens': **{ratio:.2f}**. Plan: {plan['mode']}, {plan['examples_per_block']} examples x "
            f"{plan['probes_per_block']} probes."
        )
        if "limit_microseconds" in entry:
            share = entry["limit_microseconds"] / own["microseconds"]
            sentence += f" Arithmetic limit: {entry['limit_microseconds']:.2f} µs; hessdens reaches {share:.0%} of it."
        table = [
            [
                name,
                f"{r['microseconds']:,.2f}",
                f"{r['gradients']:.2f}",
                f"{r['peak_mib']:,.0f}",
                f"{r['error']:.0e}",
                str(r["batch_size"]) if "plan" not in r else f"planned: {r['plan']['examples_per_block']}",
            ]
            for name, r in found.items()
        ]
        table += [[name, r["failed"], "", "", "", ""] for name, r in rows.items() if name not in found]
        header = ["", "µs per example and probe", "gradients", "peak MiB", "relative error", "batch"]
        parts.append(f"### {model}\n\n{sentence}\n\n{_table(header, table)}")
    return "\n".join(parts)


def _block(plan: dict) -> str:
    return f"{plan['mode']}, {plan['examples_per_block']} x {plan['probes_per_block']}"


def _plans(content: dict) -> str:
    counts = sorted({p for entry in content["models"].values() for p in entry["probes"]})
    times, blocks = [], []
    for model, entry in content["models"].items():
        by_count = dict(zip(entry["probes"], entry["microseconds"], strict=True))
        cells = [f"{by_count[p]:,.4g}" if p in by_count else "" for p in counts]
        times.append([f"{model} ({entry['examples']:,} examples)", *cells, f"{100 * (entry['rise'] - 1):.0f}%"])
        ratio = f"{entry['chosen_over_best']:.3f}"
        blocks.append([model, _block(entry["chosen"]), _block(entry["best"]), str(entry["blocks_tried"]), ratio])
    return (
        f"{_origin(content)}\n\n"
        + _table(["probes", *map(str, counts), "most above fewer probes"], times)
        + "\n"
        + _table(["", "chosen: examples x probes", "best of all", "blocks tried", "time of chosen over best"], blocks)
    )


def _exact(content: dict) -> str:
    return (
        f"{_origin(content)} {content['parameters']:,} parameters, {content['examples']:,} examples, {content['data']}, float64: Hessian "
        f"{content['hessian_seconds']:.0f} s, its eigenvalues {content['eigenvalue_seconds']:.0f} s; peak of the process "
        f"{content['peak_gib']:.1f} GiB.\n"
    )


def _construction(content: dict) -> str:
    rows, densities = [], []
    for name, seconds in content["seconds of the processor"].items():
        now, before = seconds["now"], seconds["before"]
        if "later" in now:
            gradients = next(value for what, value in now.items() if what.endswith("gradients"))
            cells = [f"{now['first'] / now['later']:.2f}", f"{now['first'] / gradients:.2f}"]
            past = [f"{before['first'] / before['later']:.2f}", f"{now['first'] / before['first']:.2f}"]
            densities.append([name.removesuffix(", density"), f"{now['first']:.2g}", *cells, *past])
            continue
        checks = f"{now['checks']:.2g}" if "checks" in now else "none"
        ratios = [f"{now['operator'] / before['operator']:.2f}", f"{_with_product(now) / _with_product(before):.2f}"]
        rows.append([name, f"{now['operator']:.2g}", *ratios, checks, f"{now['product']:.2g}"])
    over = "over that of the version before"
    header = ["model, matrix", "operator (s)", over, "with its first product, over", "checks (s)", "product (s)"]
    firsts = ["model", "first density (s)", "over a later one", "over 120 gradients", "before: over a later one", over]
    return f"{_origin(content)}\n\n{_table(header, rows)}\n\n{_table(firsts, densities)}"


def _with_product(seconds: dict) -> float:
    return seconds["operator"] + seconds["first"]


def _reorthogonalisation(content: dict) -> str:
    rows = []
    for dtype, found in content["dtypes"].items():
        least, median, most = found["ratio"]
        seconds = [f"{min(found[what]):.2g}" for what in ("beyond products", "one reorthogonalisation")]
        rows.append([dtype, *seconds, f"{median:.2f} ({least:.2f} to {most:.2f})"])
    header = ["dtype", "beyond products (s)", "one reorthogonalisation (s)", "ratio"]
    return f"{_origin(content)}\n\n{_table(header, rows)}"


def _large_model(content: dict) -> str:
    moments = ", ".join(
        f"m_{k} = {m:.2e} ± {e:.0e}"
        for k, (m, e) in enumerate(zip(content["moments"], content["standard_errors"], strict=True), start=1)
    )
    return (
        f"{_origin(content)} {content['parameters']:,} parameters, "
        f"{content['sequences']} sequences of 128 random tokens, {content['mode']}: {content['seconds']:.0f} s, peak of the process "
        f"{content['peak_gib']:.1f} GiB. {moments}.\n"
    )


def _overhead(content: dict) -> str:
    rows = []
    for architecture, entry in content["networks"].items():
        for method, row in entry["methods"].items():
            errors = [f"{e:.2%}" for e in row["rms_errors"]]
            gains = [f" ({g:,.3g})" if method == "deflated" else "" for g in entry["gain"]]
            cells = [error + gain for error, gain in zip(errors, gains, strict=True)]
            rows.append([architecture, method, *cells, f"{row['overhead']:.1%}"])
    return (
        f"{_origin(content)} After {content['epochs']} epoch, {content['products']} products, {content['examples']:,} examples, "
        f"{content['seeds']} seeds; reference of {content['reference_products']:,} products. In brackets: Skilling's error over this one.\n\n"
        + _table(["network", "method", "m_1", "m_2", "m_3", "m_4", "time beyond products"], rows)
    )


def _moments(content: dict) -> str:
    rows = [
        [
            f"{part['steps']:,}",
            row["distribution"],
            str(row["products"]),
            *(
                f"{error:.3f} ({reported:.3f})"
                for error, reported in zip(row["rmse"], row["reported_error"], strict=True)
            ),
        ]
        for part in content["table"]
        for row in part["rows"]
    ]
    a = content["arguments"]
    return (
        f"{_origin(content)} {content['data']}, plain 10x{a['width']} network, "
        f"{a['examples']:,} examples, {a['seeds']} seeds. Each cell: relative root-mean-square error over seeds, in brackets "
        "the standard error that the estimates report.\n\n"
        + _table(["training steps", "probes", "products", "m_1", "m_2", "m_3", "m_4"], rows)
    )


def _training(content: dict) -> str:
    rows = [
        [
            name, str(case["networks"]), *(f"{case['networks_x_epochs_a_second'][k]:.3g}" for k in ("together", "one after another")),
            f"{case['ratio']:.2f}", f"{case['relative_difference']:.0e}",
        ]
        for name, case in content["cases"].items()
    ]  # fmt: skip
    data = next(iter(content["cases"].values()))["data"]
    return (
        f"{content['date']}, {content['machine']}, {content['threads']} threads; {_versions(content)}. {data}.\n\n"
        + _table(["network", "at once", "together", "one after another", "ratio", "difference of weights"], rows)
    )


def _training_agreement(content: dict) -> str:
    columns = ["float32", "float64", "float32_from_float64_alone", "float32_from_float64_together"]
    rows = [
        [name, *(f"{kind[c]['all_weights']:.0e} ({kind[c]['largest_of_a_tensor']:.0e})" for c in columns)]
        for name, kind in content["kinds"].items()
    ]
    header = ["network", "float32", "float64", "alone: float32 from float64", "together: float32 from float64 alone"]
    return f"{_origin(content)} {content['data']}, {content['steps']} steps.\n\n{_table(header, rows)}"


def _killed_runs(content: dict) -> str:
    same = "equal to" if content["results_equal"] else "**different from**"
    return (
        f"{_origin(content)} Killed {content['kills']} times (an uninterrupted run takes {content['seconds_uninterrupted']:.0f} "
        f"seconds), the final numbers are {same} those of the uninterrupted run, and {content['finished_runs_repeated']} finished "
        "runs were written again.\n"
    )


def _monitor(content: dict) -> str:
    rows = [
        [
            f"{row['budget']:.0%}", f"{row['overhead']:.2%}",
            f"{row['overhead_from_outside']:.2%} ± {row['error_from_outside']:.2%}", str(row["records"]),
            f"{min(row['seconds_of_records']):.1f} to {max(row['seconds_of_records']):.1f}",
            f"{row['plain_seconds']:.0f}", "equal" if row["weights_equal_to_the_last_bit"] else "**different**",
            ", ".join(f"{name} {gain:.1f}" for name, gain in row["median_gain_of_pairing"].items()) or "one record",
        ]
        for row in content["budgets"]
    ]  # fmt: skip
    header = [
        "budget",
        "by the monitor",
        "from outside",
        "records",
        "s each",
        "training, s",
        "weights",
        "gain of pairing",
    ]
    return (
        f"{_origin(content)} {content['steps']:,} steps; a measurement is {content['products']} products on {content['examples']} "
        f"examples.\n\n{_table(header, rows)}"
    )


def _distributed(content: dict) -> str:
    parts = []
    for name, part in content.items():
        found = part["found"]
        origin = f"{part['date']}, {part['machine']}, {part['cores']} cores; {_versions(part)}."
        if name == "scaling":
            rows = [[n, f"{1e3 * row['seconds']:.0f}", f"{row['efficiency']:.0%}"] for n, row in found.items()]
            text = _table(["processes", "ms per product", "efficiency"], rows)
        elif name == "traffic":
            rows = [
                [ranks, what, f"{row['planned']:,.0f}", f"{row['sent']:,}", f"{row['sent'] / row['planned'] - 1:.2%}"]
                for ranks, kinds in found.items()
                for what, row in kinds.items()
            ]
            text = _table(["processes", "shared out", "bytes planned", "bytes sent", "beyond"], rows)
        elif name == "memory":
            rows = [
                [f"`{allocator}`", f"{peak:.0f}", f"{peak - found['held_mib'] - found['layer_mib']:.0f}"]
                for allocator, peak in found["peaks_mib"].items()
            ]
            text = (
                f"{found['parameters']:,} parameters ({4 * found['parameters'] / 2**20:.0f} MiB), {found['vectors']} vectors, four "
                f"processes. Shares of each: {found['held_mib']:.0f} MiB; a layer: {found['layer_mib']:.0f} MiB. Error of the product: "
                f"{found['product_error']:.0e}.\n\n"
                + _table(["allocator", "largest peak of a process, MiB", "beyond shares and a layer, MiB"], rows)
            )
        else:
            waits = found["others_ended_after_s"]
            text = (
                f"One of four processes killed {found['kills']} times: the others ended after {max(waits):.1f} s at most (timeout "
                f"{found['timeout_s']:.0f} s), and the numbers in the end were "
                f"{'equal to' if found['results_equal'] else '**different from**'} those of an uninterrupted run.\n"
            )
        parts.append(f"### {name.capitalize()}\n\n{origin}\n\n{text}")
    return "\n".join(parts)
