"""Damaged files for all readers: each must give a right result, or ValueError or OSError that names the file.

    python tests/fuzzer.py 10000 --seed 0

prints what became of so many inputs, how much memory the process took at most beyond what it had before, and how long
the slowest took of the processor; its exit status is 1 if one input had another outcome or broke a limit.
"""

import argparse
import csv
import functools
import gzip
import io
import json
import os
import pickle
import signal
import sys
import tarfile
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest import mock

TESTS = Path(__file__).resolve().parent
sys.path += [str(TESTS), str(TESTS.parents[0] / "examples")]

import damage  # noqa: E402
import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402
from samples import MATRIX, make_results  # noqa: E402
from skip_paper.data import cifar_files, other_images  # noqa: E402
from skip_paper.data import images as data  # noqa: E402
from skip_paper.networks.specification import NetworkSpec  # noqa: E402
from skip_paper.runs.specification import RunSpec  # noqa: E402
from skip_paper.runs.store import RunStore  # noqa: E402

from hessdens import lanczos_density, load_result, spectral_moments  # noqa: E402
from hessdens.estimators import chebyshev_moments  # noqa: E402
from hessdens.loading import CLASSES  # noqa: E402
from hessdens.monitor.loggers import csv_logger  # noqa: E402

# Of one input: files here have a megabyte at most, so the readers' own limits are those of any small file. Seconds are
# of the processor; a reader that waits for something has longer, since the machine may be busy.
MOST_SECONDS = 10
MOST_WAIT = 120
MOST_MEMORY = 2**29
# Kinds of damage after which a file is whole again, so that another result may be right.
REMADE = {"other_members", "other_arrays", "other_values", "other_json", "other_csv", "other_headers"}


@dataclass(frozen=True)
class Case:
    """A whole folder, one file of which is damaged, and what reads it."""

    format: str
    files: dict[str, bytes]
    damaged: str
    read: Callable[[Path], object]  # what was read, as arrays and text by name
    is_checked: bool = True  # whether any other content is seen, where it is not remade
    computes: bool = False  # with what it has read, whose values alone no file can tell from others


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def arrays_of(result):
    return {"kind": type(result).__name__, **{name: np.asarray(array) for name, array in result.to_arrays().items()}}


def shown(result):
    """Return the arrays of a result; one of usual size also prints and gives its numbers."""
    arrays = arrays_of(result)
    if all(np.size(array) < 10**5 for array in arrays.values()):
        with np.errstate(all="ignore"):
            json.dumps(result.numbers(), allow_nan=False)
            str(result)
    return arrays


def result_cases(folder):
    for name, result in make_results().items():
        result.save(folder / "r.npz")
        files = contents(folder)
        kind = CLASSES[name.split("-")[0]]
        yield f"{name} by load_result", Case("npz", files, "r.npz", lambda folder: shown(load_result(folder / "r.npz")))
        yield (
            f"{name} by load",
            Case("npz", files, "r.npz", lambda folder, kind=kind: shown(kind.load(folder / "r.npz"))),
        )


def checkpoint_cases(folder):
    estimators = {
        "moments": lambda folder: spectral_moments(MATRIX, max_products=20, method="skilling", checkpoint=folder / "c"),
        "chebyshev": lambda folder: chebyshev_moments(
            MATRIX, 4, num_probes=3, support=(-2, 4), checkpoint=folder / "c"
        ),
        "lanczos": lambda folder: lanczos_density(MATRIX, num_probes=2, num_steps=3, checkpoint=folder / "c"),
    }
    for name, estimate in estimators.items():
        (folder / name).mkdir()
        estimate(folder / name)
        files = contents(folder / name)
        blocks = [file for file in files if file.endswith(".npz")]

        def read(folder, estimate=estimate):
            found = arrays_of(estimate(folder))
            return {key: value for key, value in found.items() if "seconds" not in key}

        yield f"checkpoint of {name}, header", Case("json", files, "c/run.json", read, computes=True)
        for block in (blocks[0], blocks[-1]):
            yield f"checkpoint of {name}, {block}", Case("npz", files, block, read, computes=True)


SPEC = RunSpec("digits", 100, None, "centred", NetworkSpec("residual", 3, 6), 0, (0, 2, 5))


def store_cases(folder):
    store = RunStore(folder)
    store.save(SPEC, {"diverged": np.zeros(3, bool), "loss": np.arange(3.0)})
    store.save_partial(SPEC, {"next": np.array(1), "result diverged": np.zeros(3, bool)})
    files = contents(folder)
    for name, find in (("find", RunStore.find), ("find_partial", RunStore.find_partial)):
        path = (store._path if name == "find" else store._partial)(SPEC).name

        def read(folder, find=find):
            with mock.patch("sys.stderr", io.StringIO()):
                return find(RunStore(folder), SPEC)

        yield f"run by {name}", Case("npz", files, path, read)
        yield f"format of runs, {name}", Case("json", files, "format.json", read)


def log_cases(folder):
    log = csv_logger(folder / "log.csv")
    for step in range(5):
        log(step, {"loss": 0.5, "m_1": 1.0})

    def read(folder):
        csv_logger(folder / "log.csv")(5, {"loss": 0.5, "m_1": 1.0})
        with (folder / "log.csv").open() as file:
            return {"rows": np.array(list(csv.reader(file)))}

    yield "log", Case("csv", contents(folder), "log.csv", read, is_checked=False)


RNG = np.random.default_rng(0)
COUNT = 6
IMAGES = RNG.integers(0, 256, (COUNT, 3072), dtype=np.uint8)
COARSE, FINE = np.arange(COUNT) % 20, np.arange(COUNT) % 100
RECORDS = np.column_stack([COARSE, FINE, IMAGES]).astype(np.uint8).tobytes()


def small_layouts():
    layouts = cifar_files.LAYOUTS["cifar100"]
    return tuple(
        replace(each, files={split: tuple((name, COUNT) for name, _ in files) for split, files in each.files.items()})
        for each in layouts
    )


def tarred(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def tile(form):
    buffer = io.BytesIO()
    pixels = IMAGES.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    Image.fromarray(pixels.reshape(-1, 32, 3)).save(buffer, form, lossless=True)
    return np.frombuffer(buffer.getvalue(), np.uint8)


def cifar_cases(folder):
    def read(folder):
        images = data.load_images("cifar100", folder)
        return {"title": images.title, "images": images.train[0], "labels": images.train[1], "test": images.test[0]}

    binary = {f"{split}.bin": RECORDS for split in ("train", "test")}
    yield "CIFAR, binary", Case("bytes", binary, "train.bin", read)
    inside = {f"cifar-100-binary/{name}": content for name, content in binary.items()}
    archive = tarred({"cifar-100-binary/fine_label_names.txt": b"apple\n", **inside})
    yield "CIFAR, archive", Case("tar", {"cifar-100-binary.tar.gz": archive}, "cifar-100-binary.tar.gz", read)
    batch = {
        b"filenames": ["a.png"] * COUNT,
        b"data": IMAGES,
        b"coarse_labels": COARSE.tolist(),
        b"fine_labels": FINE.tolist(),
    }
    for protocol in (0, 2, 4):
        content = pickle.dumps(batch if protocol else {key.decode(): value for key, value in batch.items()}, protocol)
        yield f"CIFAR, pickle {protocol}", Case("pickle", {"train": content, "test": content}, "train", read)
    pickles = tarred({f"cifar-100-python/{split}": content for split in ("train", "test")})
    yield "CIFAR, pickles", Case("tar", {"cifar-100-python.tar.gz": pickles}, "cifar-100-python.tar.gz", read)
    entry = {"shards": 1, "sha256_of_uint8_rows": cifar_files.hashlib.sha256(IMAGES).hexdigest()}
    manifest = {
        "cifar100-fine-to-coarse": [label % 20 for label in range(100)],
        "cifar100-train": entry,
        "cifar100-test": entry,
    }
    for form in ("PNG", "WEBP"):
        shard = npz(labels=FINE, tile0=tile(form))
        files = {f"cifar100-{split}-0.npz": shard for split in ("train", "test")} | {
            "manifest.json": json.dumps(manifest).encode()
        }
        yield f"CIFAR, tiles as {form}", Case("npz", files, "cifar100-train-0.npz", read)
    yield "CIFAR, manifest", Case("json", files, "manifest.json", read)


def other_cases(folder):
    def reader(name):
        def read(folder):
            images = other_images.load_substitute(name, folder)
            return {"title": images.title, "images": images.train[0], "labels": images.train[1]}

        return read

    labels = np.arange(3, dtype=np.uint8)
    idx = {3: bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (3, 28, 28)) + RNG.bytes(3 * 784)}
    idx[1] = bytes((0, 0, 8, 1)) + (3).to_bytes(4, "big") + labels.tobytes()
    fashion = {
        f"{split}-{kind}-idx{axes}-ubyte.gz": gzip.compress(idx[axes], mtime=0)
        for split in ("train", "t10k") for kind, axes in (("images", 3), ("labels", 1))
    }  # fmt: skip
    for name in list(fashion)[:2]:
        yield f"Fashion-MNIST, {name}", Case("gzip", fashion, name, reader("fashion-mnist"), is_checked=False)
    stl10 = {f"stl10_binary/{split}_X.bin": RNG.bytes(3 * 27648) for split in ("train", "test")}
    stl10 |= {f"stl10_binary/{split}_y.bin": (labels + 1).tobytes() for split in ("train", "test")}
    yield (
        "STL-10",
        Case("tar", {other_images.STL10: tarred(stl10)}, other_images.STL10, reader("stl10"), is_checked=False),
    )
    svhn = {f"{split}_32x32.mat": RNG.bytes(3000) for split in ("train", "test")}
    yield "SVHN", Case("bytes", svhn, "train_32x32.mat", reader("svhn"), is_checked=False)


@functools.cache
def make_cases():
    makers = (result_cases, checkpoint_cases, store_cases, log_cases, cifar_cases, other_cases)
    found = {}
    for make in makers:
        with tempfile.TemporaryDirectory() as folder:
            found |= make(Path(folder))
    return found


@contextmanager
def small_data():
    """Let the small images of the cases be the published ones, of which STL-10 and Fashion-MNIST are not checked."""
    digest = cifar_files.digest_of_records(IMAGES, COARSE)
    check = other_images.check_digest

    def of_svhn(file, path, name):
        if name == "svhn":
            check(file, path, name)

    with (
        mock.patch.dict(cifar_files.LAYOUTS, cifar100=small_layouts()),
        mock.patch.dict(data.RECORDS, {("cifar100", split): digest for split in ("train", "test")}),
        mock.patch.object(other_images, "check_digest", of_svhn),
        mock.patch.object(data, "usual_places", list),
        mock.patch.dict(os.environ, {"HESSDENS_OFFLINE": "1", "HESSDENS_DATA": ""}),
        mock.patch("sys.stderr", io.StringIO()),
    ):
        yield


def as_pipe(path):
    os.mkfifo(path)


def as_folder(path):
    path.mkdir()


def as_device(path):
    path.symlink_to("/dev/zero")


def as_loop(path):
    path.symlink_to(path)


def as_nothing(path):
    pass


PLACES = (as_pipe, as_folder, as_device, as_loop, as_nothing)


class TooLongError(BaseException):
    """A reader took longer than it may."""


def too_long(*_):
    raise TooLongError


def same(first, second):
    if first is None or second is None or first.keys() != second.keys():
        return first is second
    pairs = [(np.asarray(first[name]), np.asarray(second[name])) for name in first]
    return all(np.array_equal(one, other, equal_nan=one.dtype.kind == "f") for one, other in pairs)


def outcome_of(case, kind, path, folder, whole):
    """Return what became of an input: "refused", "right", or what is wrong with it."""
    try:
        signal.setitimer(signal.ITIMER_PROF, MOST_SECONDS)
        signal.alarm(MOST_WAIT)
        return _outcome_of(case, kind, path, folder, whole)
    except TooLongError:
        return f"longer than {MOST_SECONDS} s"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.alarm(0)


def _outcome_of(case, kind, path, folder, whole):
    try:
        found = case.read(folder)
    except (ValueError, OSError) as error:
        if any(isinstance(cause, MemoryError) for cause in (error, error.__cause__)):
            return "out of memory"
        names = {str(path), repr(str(path)), str(folder)} if folder in path.parents else {str(path)}
        if case.computes and kind == "other_values":
            return "refused"
        is_named = any(name in f"{error} {getattr(error, 'filename', '')}" for name in names)
        return "refused" if is_named else f"an error that does not name the file: {type(error).__name__}: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {traceback.format_exc()}"
    if found is None or kind in REMADE or not case.is_checked or same(found, whole):
        return "right"
    return "a wrong result"


@dataclass
class Report:
    """What became of all inputs, the slowest, and the memory that readers took in addition to what there was."""

    outcomes: Counter
    faults: list[str]
    log: list[str]
    slowest: tuple[float, str]
    memory: int

    def __str__(self):
        lines = [f"{count:7,} {name}" for name, count in self.outcomes.most_common()]
        lines += [f"slowest {self.slowest[0]:.2f} s of {MOST_SECONDS} s ({self.slowest[1]})"]
        lines += [f"memory {self.memory / 2**20:.0f} MiB of {MOST_MEMORY / 2**20:.0f} MiB in addition"]
        return "\n".join([*lines, *self.faults])


def run(count, seed=0, start=0):
    """Return what became of inputs ``start`` to ``start + count - 1`` of a seed: each depends on nothing else."""
    cases = make_cases()
    names = list(cases)
    report = Report(Counter(), [], [], (0.0, ""), 0)
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, too_long)
    for kind in ("directory", "members", "zeros", "eight"):
        damage.bomb(kind)
    whole = {}
    with small_data(), warnings.catch_warnings(), tempfile.TemporaryDirectory() as parent:
        warnings.simplefilter("ignore")
        for index in range(start, start + count):
            rng = np.random.default_rng([seed, index])
            name = names[index % len(names)]
            case = cases[name]
            folder = Path(parent) / str(index)
            write(folder, case.files)
            if name not in whole:
                whole[name] = None if name == "SVHN" else case.read(folder)
                remove(folder)
                write(folder, case.files)
            path = folder / case.damaged
            if rng.random() < 0.03:
                make = damage.pick(rng, PLACES)
                kind = make.__name__
                path.unlink()
                make(path)
            else:
                make = damage.pick(rng, damage.DAMAGE[case.format])
                kind = make.__name__
                path.write_bytes(make(rng, case.files[case.damaged]))
            Path("/proc/self/clear_refs").write_text("5")  # resets the most memory
            before, began = memory_of("VmRSS"), time.process_time()
            found = outcome_of(case, kind, path, folder, None if kind == "as_nothing" else whole[name])
            seconds, memory = time.process_time() - began, memory_of("VmHWM") - before
            if kind == "as_nothing" and found == "a wrong result":
                found = "right"  # what was not there is made anew
            place = f"input {index}: {name}, {kind}"
            report.memory = max(report.memory, memory)
            report.slowest = max(report.slowest, (seconds, place))
            if memory > MOST_MEMORY:
                found = f"{memory / 2**20:.0f} MiB in addition"
            report.outcomes[found if found in ("refused", "right") else found.split(":")[0]] += 1
            report.log.append(f"{place}: {found}")
            if found not in ("refused", "right"):
                report.faults.append(report.log[-1])
            remove(folder)
    return report


def write(folder, files):
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def remove(folder):
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    folder.rmdir()


def memory_of(name):
    """Return what Linux says of this process, in bytes: VmRSS, or VmHWM, the most since it was last reset."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("count", type=int, nargs="?", default=10_000, help="inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start", type=int, default=0, help="number of the first input")
    options = parser.parse_args()
    report = run(options.count, options.seed, options.start)
    print(report)
    return bool(report.faults)


if __name__ == "__main__":
    sys.exit(main())
