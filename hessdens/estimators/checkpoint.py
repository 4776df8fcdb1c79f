"""Work that is kept on disk, block by block, so that a run that was killed goes on, and a finished one extends."""

import json
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import torch
from torch import Tensor

from hessdens.linalg.identity import Identity, differences, digest
from hessdens.linalg.operator import Operator, Wrapped
from hessdens.linalg.team import ALONE, Team
from hessdens.results.files import MOST_JSON, json_facts, reading, replacing
from hessdens.results.storage import load_npz, save_npz, take

FORMAT = 3
HEADER = "run.json"
BITS = " A function is known by the bits of its products, which the number of threads may change."


class Checkpoint:
    """A folder with one file for each finished block, and a header that says whose blocks these are.

    The folder is made if it does not exist; ValueError if it holds something else, or blocks of a run with another
    ``identity``: method, seed, model, data, version. One process of a team reads and writes for all, or where vectors
    are sharded, each its own.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Identity, team: Team = ALONE) -> None:
        self._folder = Path(path) / team.folder()
        self._team = team
        team.shared(lambda: self._open(identity))

    def _open(self, identity: Identity) -> None:
        """Make the folder and its header, or compare the header that is there."""
        header = self._folder / HEADER
        if self._folder.exists() and not self._folder.is_dir():
            raise ValueError(f"checkpoint must be a folder; got the file {self._folder}. Give another name.")
        self._folder.mkdir(parents=True, exist_ok=True)
        wanted = {"format": FORMAT, **identity}
        others = [entry.name for entry in self._folder.iterdir() if not entry.name.endswith(".tmp")]
        if not header.exists():  # looked for last: another process may have begun meanwhile
            if others:
                raise ValueError(
                    f"checkpoint must be a new or empty folder, or one of an earlier run; {self._folder} has no "
                    f"{HEADER} but {others[0]!r}. Give another folder."
                )
            _create(header, json.dumps(wanted, indent=1) + "\n")
        phrases = differences(_read(header), wanted)
        if phrases:
            advice = BITS if phrases[0].startswith("bits of a product") else ""
            raise ValueError(
                f"checkpoint must be of the same run; in {self._folder} {'; '.join(phrases)}. Give another folder, or "
                f"make the run the same.{advice}"
            )

    def load(self, key: str, layout: Mapping[str, str], **lengths: int) -> dict[str, Any] | None:
        """Return the arrays of a block that is finished, or None; ValueError if its file is damaged.

        ``layout`` and ``lengths`` say what it must hold, as `storage.take` reads them.
        """
        return self._team.shared(lambda: self._read(key, layout, lengths))

    def _read(self, key: str, layout: Mapping[str, str], lengths: Mapping[str, int]) -> dict[str, Any] | None:
        path = self._folder / f"{key}.npz"
        if not path.exists():
            return None
        try:
            return take(load_npz(path, f"checkpoint {key}"), layout, path, lengths=lengths)
        except ValueError as error:
            raise ValueError(f"{error} Delete that file to compute the block again.") from error

    def save(self, key: str, arrays: Mapping[str, Any]) -> None:
        """Keep a finished block, atomically."""
        self._team.shared(lambda: save_npz(self._folder / f"{key}.npz", f"checkpoint {key}", arrays))


def setting_in(path: str | os.PathLike[str], name: str, team: Team = ALONE) -> Any:
    """Return a setting of the run whose work is in a folder; None where there is none."""
    header = Path(path) / team.folder() / HEADER
    return team.shared(lambda: _read(header).get(name) if header.exists() else None)


def folder_within(path: str | os.PathLike[str] | None, name: str) -> Path | None:
    """Return the folder of one of several runs, whose name may have any letters, within that of all of them."""
    return None if path is None else Path(path) / f"run-{quote(name, safe='')}"


class Recorded(Wrapped):
    """An operator whose products are kept in a checkpoint: one that was made before is read, not made again."""

    def __init__(self, operator: Operator, checkpoint: Checkpoint) -> None:
        super().__init__(operator)
        self._checkpoint = checkpoint

    def _matmat(self, V: Tensor) -> Tensor:
        key = f"product-{digest(V.T.contiguous().cpu().numpy())}"
        arrays = self._checkpoint.load(key, {"products": "P N finite"}, P=V.shape[1], N=V.shape[0])
        if arrays is not None:
            return torch.tensor(arrays["products"], dtype=self.dtype, device=self.device).T
        # Laid out in memory as those that are read: what follows is then equal to the last bit, and so is its key.
        products = self._operator.matmat(V).T.contiguous()
        if self.team.least(int(torch.isfinite(products).all())):
            self._checkpoint.save(key, {"products": products.cpu().numpy()})
        return products.T


def _create(path: Path, content: str) -> None:
    """Write a file, whole, unless another process has made it first."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.new.tmp")
    with replacing(draft, text=True) as file:
        file.write(content)
    try:
        os.link(draft, path)  # which never replaces a file
    except FileExistsError:
        pass
    except OSError:  # a file system without links
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def _read(header: Path) -> dict[str, Any]:
    with reading(header, "The header of a checkpoint must be a JSON object") as file:
        return json_facts(file.read(MOST_JSON + 1))
