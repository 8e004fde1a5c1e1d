"""What damage and malice do to bytes, whatever they mean."""

from random import Random

MAGIC = (
    *(b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"PK\x06\x06", b"BZh9", b"\x1f\x8b\x08", b"\x93NUMPY\x01\x00"),
    *(b"\x89HDF\r\n\x1a\n", b"TREE", b"SNOD", b"HEAP", b"OHDR", b"FRHP", b"GCOL", b"OCHK"),
    *(b"\x00" * 8, b"\xff" * 8, b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff\xff\xff\xff\xff\xff\xff\x7f"),
    *(b"\x1b[2J", b"\n", b"../", b"'descr': '|O'", b"nan", b"{" * 40, b"[" * 40, b"9" * 40, "Ω\u202e".encode()),
)


def damaged(rng: Random, raw: bytes, most: int = 6) -> bytes:
    """Return ``raw`` after one to ``most`` accidents."""
    content = bytearray(raw)
    for _ in range(rng.randint(1, most)):
        rng.choice(ACCIDENTS)(rng, content)
    return bytes(content)


def _place(rng: Random, content: bytearray) -> int:
    # Headers, and the directory at the end of a zip, are short; half of all accidents happen there.
    length = len(content)
    region = rng.choice(((0, length), (0, length), (0, min(length, 512)), (max(0, length - 512), length)))
    return rng.randrange(*region) if length else 0


def _bit(rng: Random, content: bytearray) -> None:
    if content:
        content[_place(rng, content)] ^= 1 << rng.randrange(8)


def _byte(rng: Random, content: bytearray) -> None:
    if content:
        content[_place(rng, content)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _magic(rng: Random, content: bytearray) -> None:
    at, word = _place(rng, content), rng.choice(MAGIC)
    content[at : at + len(word) * rng.randrange(2)] = word


def _number(rng: Random, content: bytearray) -> None:
    width = rng.choice((2, 4, 8))
    value = rng.choice((0, 1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, len(content), rng.getrandbits(64)))
    at = _place(rng, content)
    content[at : at + width] = (value % 2 ** (8 * width)).to_bytes(width, "little")


def _cut(rng: Random, content: bytearray) -> None:
    del content[_place(rng, content) :]


def _drop(rng: Random, content: bytearray) -> None:
    at = _place(rng, content)
    del content[at : at + rng.randint(1, 64)]


def _repeat(rng: Random, content: bytearray) -> None:
    at = _place(rng, content)
    content[at:at] = content[at : at + rng.randint(1, 256)] * rng.choice((1, 2, 16))


def _splice(rng: Random, content: bytearray) -> None:
    here, there, length = _place(rng, content), _place(rng, content), rng.randint(1, 64)
    content[here : here + length] = content[there : there + length]


ACCIDENTS = (_bit, _bit, _byte, _byte, _number, _magic, _cut, _drop, _repeat, _splice)
