"""Changes of an input that know its structure: JSON values, archives, headers, lines, bytes."""

import io
import json
import random
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any

import google_crc32c

__all__ = [
    "mutate_bytes",
    "mutate_chunk",
    "mutate_json",
    "mutate_npy",
    "mutate_png",
    "mutate_safetensors",
    "mutate_text",
    "mutate_zip",
]

NUMBERS: tuple[Any, ...] = (
    *(0, 1, -1, 2, 3, 7, 255, 256, 65535, 65536, 10**5, 10**6, 10**7, 2**31 - 1, 2**31, 2**32),
    *(2**63 - 1, 2**63, 2**64, 10**15, 10**18, 10**30, 0.5, -0.0, 1e308, 1e-320),
    *(float("inf"), float("-inf"), float("nan")),
)
WORDS: tuple[str, ...] = (
    *(
        "",
        " ",
        ".",
        "..",
        "../x",
        "../../../../tmp/x",
        "/",
        "/etc/passwd",
        "~",
        "a/b",
        "a\\b",
        "C:",
    ),
    *("\0", "\n", "a\nb", "\x1b[2J\x1b[31mred", "\r", "\u202e", "\ufeff", "e\u0301", "\u00e9"),
    *("\ud800", "n" * 300, "é" * 200, "%s", "{0}", "'", '"', "nan", "true", "-1", "1e999"),
    *("org/name", "org/name@main", "https://example.org/x", "os:system", "builtins.eval"),
    *("float32", "uint8", "string", "gzip", "UNet2DModel", "linear", "cosine", "own"),
)
_INTERESTING = (
    b"\0",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
)


def mutate_bytes(rng: random.Random, data: bytes) -> bytes:
    """Change, insert, remove, repeat or cut some bytes."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        at = rng.randrange(len(changed) + 1)
        kind = rng.randrange(7)
        if kind == 0 and changed:
            changed[at - 1] ^= 1 << rng.randrange(8)
        elif kind == 1:
            changed[at:at] = rng.choice(_INTERESTING)
        elif kind == 2:
            new = rng.choice(_INTERESTING)
            changed[at : at + len(new)] = new
        elif kind == 3:
            del changed[at : at + rng.choice((1, 2, 4, 64))]
        elif kind == 4:
            changed[at:at] = changed[at : at + rng.choice((1, 4, 64, 512))] * rng.choice((1, 2, 50))
        elif kind == 5 and rng.random() < 0.3:
            del changed[at:]
        else:
            changed[at : at + 4] = struct.pack(rng.choice("<>") + "I", rng.getrandbits(32))
    return bytes(changed)


def _value(rng: random.Random) -> Any:
    kind = rng.randrange(12)
    if kind < 5:
        return rng.choice(NUMBERS)
    if kind < 8:
        return rng.choice(WORDS)
    simple: tuple[Any, ...] = (None, True, False, [], {}, [[]], [None], {"": None}, [0] * 4)
    if kind < 11:
        return rng.choice(simple)
    value: Any = rng.choice(simple)
    for _ in range(rng.choice((3, 99, 101, 400))):
        value = [value] if rng.random() < 0.7 else {"a": value}
    return value


def _places(plain: Any) -> list[tuple[Any, Any]]:
    """Return each container with each of its keys, at any depth."""
    found, within = [], [plain]
    while within and len(found) < 5000:
        one = within.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one))
        for key in keys:
            found.append((one, key))
            if isinstance(one[key], dict | list):
                within.append(one[key])
    return found


def mutate_json(rng: random.Random, data: bytes) -> bytes:
    """Change some values of a JSON text; now and then its bytes."""
    if rng.random() < 0.1:
        return mutate_bytes(rng, data)
    try:
        plain = json.loads(data)
    except (ValueError, RecursionError):
        return mutate_bytes(rng, data)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        places = _places(plain) if isinstance(plain, dict | list) else []
        if not places or rng.random() < 0.01:
            plain = _value(rng)
            continue
        parent, key = rng.choice(places)
        kind, old = rng.randrange(6), parent[key]
        if kind == 0:
            del parent[key]
        elif kind == 1 and isinstance(old, int | float):
            parent[key] = rng.choice((old + 1, old - 1, -old, old * 2, str(old), [old], bool(old)))
        elif kind == 2 and isinstance(old, list):
            parent[key] = rng.choice((old * 2, old[::-1], old[:-1], [*old, _value(rng)], old * 500))
        elif kind == 3 and isinstance(parent, dict):
            parent[rng.choice(WORDS)] = parent.pop(key)
        elif kind == 4:
            other, name = rng.choice(places)
            if isinstance(other, dict) and name in other:
                parent[key] = json.loads(json.dumps(other[name]))  # a copy: no loops
        else:
            parent[key] = _value(rng)
    return json.dumps(plain, allow_nan=True, ensure_ascii=rng.random() < 0.5).encode(
        errors="surrogatepass"
    )


def mutate_text(rng: random.Random, data: bytes) -> bytes:
    """Change lines of a text: order, number, length, signs between words."""
    lines = data.decode(errors="replace").split("\n")
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        at = rng.randrange(len(lines) + 1)
        kind = rng.randrange(8)
        if kind == 0:
            lines.insert(at, rng.choice(WORDS))
        elif kind == 1 and lines:
            lines.insert(at, rng.choice(lines))
        elif kind == 2 and len(lines) > 1:
            del lines[at - 1]
        elif kind == 3 and lines:
            line = lines[at - 1]
            cut = rng.randrange(len(line) + 1)
            sign = rng.choice((*WORDS, ":", ",", ";", "\t", "=", "#", "[", "]", "0", " 1", "= 0x"))
            lines[at - 1] = line[:cut] + sign + line[cut:]
        elif kind == 4 and lines:
            lines[at - 1] *= rng.choice((0, 2, 3, 300))
        elif kind == 5:
            rng.shuffle(lines)
        elif kind == 6:
            lines.insert(at, str(rng.choice(NUMBERS)))
        else:
            return mutate_bytes(rng, "\n".join(lines).encode(errors="surrogatepass"))
    encoding = rng.choice(("utf-8",) * 9 + ("utf-16",))
    return "\n".join(lines).encode(encoding, errors="surrogatepass")


def mutate_zip(rng: random.Random, data: bytes) -> bytes:
    """Change a member of an archive, its name, how it is packed, or the archive's bytes."""
    if rng.random() < 0.2:
        return mutate_bytes(rng, data)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = [(one.filename, archive.read(one)) for one in archive.infolist()]
    except Exception:  # of an archive that is damaged already
        return mutate_bytes(rng, data)
    packed = zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED
    at = rng.randrange(len(members))
    if rng.random() < 0.6:  # most of what can go wrong is in the pickle
        at = next((n for n, (name, _) in enumerate(members) if name.endswith(".pkl")), at)
    name, content = members[at]
    kind = rng.randrange(10)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members[at] = (rng.choice(WORDS).replace("\0", "") or "x", content)
    elif kind == 2:
        members.append(members[at])
    elif kind == 3:
        members[at] = (name, bytes(rng.choice((0, 10**3, 10**6))))
    else:
        members[at] = (name, mutate_bytes(rng, content))
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as archive:
        for name, content in members:
            archive.writestr(name.encode(errors="replace").decode(), content)
    return file.getvalue()


def mutate_safetensors(rng: random.Random, data: bytes) -> bytes:
    """Change the header of safetensors, its length stated right or wrong."""
    length = int.from_bytes(data[:8], "little")
    if rng.random() < 0.15 or length > len(data):
        return mutate_bytes(rng, data)
    header = mutate_json(rng, data[8 : 8 + length])
    stated = len(header) if rng.random() < 0.9 else rng.getrandbits(rng.choice((8, 32, 63)))
    return stated.to_bytes(8, "little") + header + data[8 + length :]


def mutate_npy(rng: random.Random, data: bytes) -> bytes:
    """Change the header of a .npy file, which is a Python literal."""
    end = data.find(b"\n")
    if rng.random() < 0.3 or end < 10:
        return mutate_bytes(rng, data)
    shape = ", ".join(str(rng.choice(NUMBERS)) for _ in range(rng.choice((0, 1, 2, 2, 2, 3))))
    kinds = (
        "|u1",
        "<i8",
        "<f4",
        "|O",
        "|b1",
        "<U9",
        "<M8[s]",
        "|V8",
        "<c16",
        "[('a', '<i4')]",
        "x",
    )
    kind = rng.choice(kinds)
    described = kind if kind.startswith("[") else f"'{kind}'"
    order = rng.choice(("True", "False", "1", "None"))
    header = f"{{'descr': {described}, 'fortran_order': {order}, 'shape': ({shape},), }}\n".encode()
    return data[:8] + struct.pack("<H", len(header)) + header + data[end + 1 :]


def mutate_png(rng: random.Random, data: bytes) -> bytes:
    """Change chunks of a PNG, their checksums right."""
    if rng.random() < 0.3 or not data.startswith(b"\x89PNG"):
        return mutate_bytes(rng, data)
    chunks, at = [], 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += length + 12
    for _ in range(rng.choice((1, 1, 2))):
        n = rng.randrange(max(1, len(chunks)))
        kind, body = chunks[n] if chunks else (b"IHDR", b"")
        what = rng.randrange(6)
        if what == 0 and len(body) >= 13:  # a header: its sides, depth, kind of colour
            sides = struct.pack(
                ">II", *(rng.choice((0, 1, 7, 4096, 2**17, 2**31 - 1)) for _ in "hw")
            )
            chunks[n] = (
                kind,
                sides + bytes(rng.choice((0, 1, 2, 3, 4, 6, 8, 16)) for _ in range(5)),
            )
        elif what == 1:
            names = (
                b"tEXt",
                b"zTXt",
                b"iTXt",
                b"iCCP",
                b"eXIf",
                b"tRNS",
                b"PLTE",
                b"sBIT",
                b"acTL",
            )
            chunks.insert(n, (rng.choice(names), b"a\0\0" + zlib.compress(bytes(10**6))))
        elif what == 2 and len(chunks) > 1:
            del chunks[n]
        elif what == 3:
            chunks.insert(n, (kind, body))
        elif kind == b"IDAT" and rng.random() < 0.5:
            chunks[n] = (kind, zlib.compress(bytes(rng.choice((0, 10, 10**6)))))
        elif chunks:
            chunks[n] = (kind, mutate_bytes(rng, body))
    parts = (
        struct.pack(">I", len(b)) + k + b + struct.pack(">I", zlib.crc32(k + b)) for k, b in chunks
    )
    return data[:8] + b"".join(parts)


def mutate_chunk(rng: random.Random, data: bytes) -> bytes:
    """Change a chunk of a store, its checksum right."""
    if rng.random() < 0.2:
        return mutate_bytes(rng, data)
    inner = mutate_bytes(rng, data[:-4])
    return inner + google_crc32c.value(inner).to_bytes(4, "little")


Mutation = Callable[[random.Random, bytes], bytes]
