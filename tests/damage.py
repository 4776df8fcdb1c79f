"""Damage that files may have, by format: each kind takes a random generator and the bytes of a whole file."""

import bz2
import functools
import gzip
import io
import json
import struct
import tarfile
import zipfile
import zlib

import numpy as np

NUMBERS = [np.nan, np.inf, -np.inf, 0.0, -0.0, -1.0, 1.0, 0.5, 1e308, -1e308, 5e-324]
COUNTS = [0, 1, -1, 2, 7, 2**31, 2**53, 2**53 + 1, 2**62, -(2**63)]
TEXTS = ["", "nonsense", "\x1b[2J", "\0", "λ" * 1000, "[" * 100_000, '{"size": 0}', '{"size": 1e999}', "{}", "3"]
DTYPES = ["f2", "f4", ">f8", "f8", "i1", "u1", ">i4", "i8", "u8", "c16", "b1", "U4", "S4", "O", "M8[s]", "V8"]
SHAPES = ["()", "(0,)", "(1,)", "(True,)", "(None,)", "(-1,)", "(10**9,)", "(99999999999999999999,)", "(1,1)", "(0, 9)",
          "(3, )", "[3]", "(3L,)", "(" * 300, "(1" + ", 1" * 70 + ")", "((((1,),),),)", "(2.0,)", "(0xf,)"]  # fmt: skip
DESCRS = [
    "'<f8'",
    "'|O'",
    "'>f4'",
    "'<U9'",
    "'<U0'",
    "'|b1'",
    "'|V8'",
    "[('a', '<f8')]",
    "'<f3'",
    "'<i99999999999'",
    "'?'",
]


def pick(rng, items):
    return items[rng.integers(len(items))]


# Of any file: what is left of it, or what a disk or a network make of it.


def flipped(rng, content):
    changed = bytearray(content)
    for _ in range(rng.integers(1, 9)):
        if changed:
            changed[rng.integers(len(changed))] ^= 1 << rng.integers(8)
    return bytes(changed)


def cut(rng, content):
    return content[: rng.integers(len(content) + 1)]


def overwritten(rng, content):
    start, size = rng.integers(len(content) + 1), int(rng.integers(1, 9))
    piece = pick(
        rng, [b"\0" * size, b"\xff" * size, b"\x7f" * size, rng.bytes(size), struct.pack("<Q", 2**63 - 1)[:size]]
    )
    return content[:start] + piece + content[start + size :]


def moved(rng, content):
    first, second, third = np.sort(rng.integers(len(content) + 1, size=3))
    piece = content[first:second]
    return pick(rng, [content[:first] + content[second:], content[:third] + piece + content[third:], content + piece])


def replaced(rng, content):
    return pick(
        rng, [b"", rng.bytes(200), b"PK\x05\x06" + bytes(18), b"\x93NUMPY", b"{}", b"\x1f\x8b\x08", bytes(10**6)]
    )


ANY = (flipped, flipped, cut, overwritten, moved, replaced)


# Of .npz files: members and arrays, with checksums that are right.


def members_of(content):
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zipped(members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(zipfile.ZipInfo(name), content, method, compresslevel=1)
    return buffer.getvalue()


def arrays_of(content):
    with np.load(io.BytesIO(content)) as archive:
        return dict(archive)


def saved(arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def other_members(rng, content):
    """Members removed, renamed, swapped, doubled or added; with the list of names or without."""
    arrays = arrays_of(content)
    names = [name for name in arrays if rng.random() < 0.8 or not name.startswith("hessdens_")]
    first, second = pick(rng, names), pick(rng, names)
    kind = rng.integers(5)
    if kind == 0:
        del arrays[first]
    elif kind == 1:
        arrays[pick(rng, ["other", f"{first}_0", "spaces_9_rounding", "hessdens_new", "../x", ""])] = arrays.pop(first)
    elif kind == 2:
        arrays[first], arrays[second] = arrays[second], arrays[first]
    elif kind == 3:
        arrays |= {f"more_{index}": np.zeros(3) for index in range(rng.integers(1, 40))}
    else:
        members = list(members_of(content).items())
        return zipped_twice(members, pick(rng, members))
    if rng.random() < 0.8 and "hessdens_names" in arrays:
        arrays["hessdens_names"] = np.array(
            sorted(name for name in arrays if not name.startswith("hessdens_")), np.str_
        )
    return saved(arrays)


def zipped_twice(members, again):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return zipped([*members, again])


def other_arrays(rng, content):
    """Another dtype, shape or length of one array."""
    arrays = arrays_of(content)
    name = pick(rng, list(arrays))
    array = arrays[name]
    kind = rng.integers(4)
    with np.errstate(all="ignore"):
        try:
            if kind == 0:
                array = array.astype(pick(rng, DTYPES))
            elif kind == 1:
                array = pick(
                    rng, [array[None], array.T, array.reshape(-1), array.reshape(-1)[:1], np.asfortranarray(array)]
                )
            elif kind == 2:
                array = np.repeat(array, rng.integers(3), axis=0)
            else:
                array = np.zeros(pick(rng, [(), 0, 1, (0, 5), 10**6, 8 * 10**6]), pick(rng, DTYPES[:12]))
        except (TypeError, ValueError):  # no such dtype for this array, or no axis
            array = np.zeros(3)
    arrays[name] = array
    return saved(arrays)


def other_values(rng, content):
    """Other entries of one array, of its own kind and shape."""
    arrays = arrays_of(content)
    name = pick(rng, list(arrays))
    array = np.array(arrays[name])
    if array.dtype.kind == "U":
        array = array.astype("U100000")
    values = {"f": NUMBERS, "U": TEXTS, "b": [True, False]}.get(array.dtype.kind, COUNTS)
    flat = array.reshape(-1)
    with np.errstate(all="ignore"):
        for place in rng.integers(max(1, flat.size), size=pick(rng, [1, 1, 3])):
            if flat.size:
                flat[place] = np.array(pick(rng, values)).astype(array.dtype)
    if rng.random() < 0.2 and flat.size:
        flat[:] = flat[0]
    if array.dtype.kind == "f" and rng.random() < 0.2:
        array = -array
    return saved(arrays | {name: array})


def other_headers(rng, content):
    """A header that NumPy would not write, or not for these bytes, of one member."""
    members = members_of(content)
    name = pick(rng, list(members))
    order = pick(rng, ["False", "True", "0", "None"])
    text = f"{{'descr': {pick(rng, DESCRS)}, 'fortran_order': {order}, 'shape': {pick(rng, SHAPES)}, }}"
    text = pick(rng, [text, text, text, "{" * 500, "__import__('os')", "{}", text.replace("'shape'", "'shapes'")])
    major = pick(rng, [1, 1, 1, 2, 3, 0, 9])
    length = len(text) if rng.random() < 0.8 else int(rng.integers(2**16))
    body = pick(rng, [members[name][128:], bytes(8), b"", bytes(72)])
    prefix = b"\x93NUMPY" + bytes([major, 0]) + length.to_bytes(4 if major in (2, 3) else 2, "little")
    members[name] = pick(rng, [prefix + text.encode() + body, members[name][: rng.integers(140)], body, b""])
    return zipped(members)


@functools.lru_cache
def bomb(kind):
    """Archives that take far more than they weigh."""
    header = b"\x93NUMPY\1\0v\0" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }"
    if kind == "directory":
        return zipped({f"{index}.npy": b"" for index in range(60_000)}, zipfile.ZIP_STORED)
    if kind == "members":
        return zipped({f"{index}.npy": (header % 1).ljust(127) + b"\n" + bytes(8) for index in range(3_000)})
    size = {"zeros": 40_000_000, "eight": 8_000_000}[kind]
    member = (header % size).ljust(127) + b"\n" + bytes(8 * size)
    return zipped({f"{index}.npy": member for index in range(8 if kind == "eight" else 1)})


def bombs(rng, content):
    return pick(rng, [bomb(kind) for kind in ("directory", "members", "zeros", "eight")])


def other_containers(rng, content):
    """The same members, packed as no file of NumPy is."""
    members = members_of(content)
    kind = rng.integers(6)
    if kind == 0:
        return zipped(members, pick(rng, [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]))
    if kind == 1:
        return zipped(members, zipfile.ZIP_STORED)
    if kind == 2:
        return content[:-2] + struct.pack("<H", 5) + b"notes"
    if kind == 3:
        return zipped({"inner.npz": content, **members})
    if kind == 4:  # the size or method of one member in the directory
        place = content.rindex(b"PK\1\2") + pick(rng, [8, 10, 16, 20, 24, 28, 42])
        return content[:place] + rng.bytes(4) + content[place + 4 :]
    end = struct.pack("<LQHHLLQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 9, 9, pick(rng, [50, 2**40, len(content)]), 0)
    return content[:-22] + end + struct.pack("<LLQL", 0x07064B50, 0, len(content) - 22, 1) + content[-22:]


NPZ = (other_members, other_arrays, other_values, other_headers, other_headers, other_containers, bombs)


# Of JSON


def other_json(rng, content):
    value = json.loads(content)
    names = list(value)
    name = pick(rng, names) if names else "x"
    kind = rng.integers(5)
    if kind == 0:
        value.pop(name, None)
    elif kind == 1:
        value[name] = pick(rng, [None, [], {}, [[1]], True, 0, -1, 2**70, 1e308, "", "λ", "x" * 10_000, 0.5])
    elif kind == 2 and isinstance(value.get(name), dict):
        inner = pick(rng, list(value[name]))
        value[name][inner] = pick(rng, [None, [], {}, 0, -1, 10**9, 2**70, "", 1.5, True])
    elif kind == 3 and isinstance(value.get(name), list) and value[name]:
        value[name][rng.integers(len(value[name]))] = pick(rng, [None, [], -1, 99, 2**70, "x", 1.5, {}])
    else:
        deep = pick(rng, [("[", "]"), ('{"a":', "}")])
        depth = pick(rng, [500, 50_000])
        texts = [
            "[]",
            "null",
            "NaN",
            "1" * 5000,
            f"{deep[0] * depth}1{deep[1] * depth}",
            deep[0] * depth,
            " " * 10**7,
            '"',
        ]
        return pick(
            rng, [*texts, f'{{"{name}": {texts[3]}}}', f'{{"{name}": {texts[4]}}}', f'{{"{name}": 1e999}}']
        ).encode()
    return json.dumps(value).encode()


# Of archives, with checksums that are right.


def other_tar(rng, content):
    tar = bytearray(gzip.decompress(content))
    blocks = [place for place in range(0, len(tar), 512) if tar[place + 257 : place + 262] == b"ustar"]
    place, kind = pick(rng, blocks), rng.integers(6)
    header = tarfile.TarInfo.frombuf(bytes(tar[place : place + 512]), "utf-8", "surrogateescape")
    if kind == 0:
        header.type = pick(rng, [b"0", b"1", b"2", b"3", b"5", b"6", b"7", b"x", b"g", b"L", b"K", b"S", b"\0", b"Z"])
        header.linkname = pick(rng, [header.name, "nowhere", "/etc/passwd", "../../x"])
    elif kind == 1:
        header.name = pick(rng, ["/" + header.name, "../" + header.name, "other", header.name + "/", "x" * 99])
    elif kind == 2:
        header.size = pick(rng, [0, 1, header.size - 1, header.size + 1, -512, 8**11 - 1, 2**40])
    elif kind == 3:
        tar[place:place] = (
            header.tobuf(tarfile.GNU_FORMAT) + tar[place + 512 : place + 512 + -(-header.size // 512) * 512]
        )
    elif kind == 4:
        link = tarfile.TarInfo(header.name)
        link.type = pick(rng, [b"x", b"L", b"2"])
        tar[place:place] = link.tobuf(tarfile.GNU_FORMAT) * pick(rng, [1, 3, 5_000])
    else:
        tar += bytes(pick(rng, [512, 10**6, 2**28]))
    if kind < 3:
        tar[place : place + 512] = header.tobuf(tarfile.GNU_FORMAT)
    return gzipped(rng, bytes(tar))


def other_gzip(rng, content):
    inner = gzip.decompress(content)
    kind = rng.integers(5)
    if kind == 0:
        return gzipped(rng, pick(rng, ANY)(rng, inner))
    if kind == 1:
        return content + pick(rng, [b"\0", b"x", bytes(5000), content, rng.bytes(9)])
    if kind == 2:
        return pick(rng, [bz2.compress(inner), zlib.compress(inner), inner])
    if kind == 3:
        return content[:-8] + rng.bytes(8)
    return content[:3] + b"\x08" + content[4:10] + b"a" * pick(rng, [1, 10**6]) + pick(rng, [b"", b"\0"]) + content[10:]


def gzipped(rng, content):
    return gzip.compress(content, compresslevel=1 if len(content) > 10**7 else 9, mtime=0)


# Of pickles: opcodes that grow, name or copy things, put where one begins.

SNIPPETS = [
    *(bytes([opcode]) for opcode in b"20(tRb]}.\x85\x86"), b"h\0", b"r\xff\xff\xff\xff", b"p99999999\n",
    b"cos\nsystem\n", b"cnumpy\nndarray\n", b"cbuiltins\neval\n", b"\x80\x05", b"\x95" + b"\xff" * 8,
    b"\x8e" + b"\xff" * 8, b"\x8b\xff\xff\xff\x7f", b"J\xff\xff\xff\x7f", b"I" + b"9" * 5000 + b"\n",
    b"(" * 5000, b"]" * 5000, b")" + b"\x85" * 5000,
]  # fmt: skip


def other_pickle(rng, content):
    place = pick(rng, [2, int(rng.integers(len(content))), len(content) - 1, int(rng.integers(min(200, len(content))))])
    return content[:place] + b"".join(pick(rng, SNIPPETS) for _ in range(rng.integers(1, 4))) + content[place:]


def other_csv(rng, content):
    added = [b"x,y\n", b'"' + b"1" * 200_000, b"9" * 5000 + b",1,1\n", b"\n1\n", b"\xff,1,1\n"]
    return pick(rng, [*(content + rows for rows in added), content.replace(b",", b"\0", 1), b"\n" * 9])


DAMAGE = {
    "npz": (*ANY, *NPZ),
    "json": (*ANY, other_json, other_json, other_json),
    "tar": (*ANY, other_tar, other_tar, other_tar, other_gzip),
    "gzip": (*ANY, other_gzip, other_gzip),
    "pickle": (*ANY, other_pickle, other_pickle),
    "csv": (*ANY, other_csv),
    "bytes": ANY,
}
