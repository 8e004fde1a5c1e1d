"""YAML and JSON that is short to write and long to read."""

from random import Random

from tests.fuzz.flips import damaged

VALUES = (
    *("null", "true", "[]", "{}", "''", "-1", "0", "1e999", ".nan", "-.inf", "9" * 400, "9" * 5000, "0x" + "f" * 99),
    *("1:1:1:1:1:1:1", "1_000", "2026-99-99", "2001-12-14t21:59:43.10-05:00", "!!binary aGk=", "!!binary '%'"),
    *("!!python/object/apply:os.system ['touch ran']", "!!python/name:os.system", "!!set {a, b}", "!!omap [a: 1]"),
    *("!!int 'x'", "!!float ''", "!!timestamp 'x'", "!!null x", "!!pairs [a]", "!<tag:yaml.org,2002:int> '1:99:x'"),
    *(
        "&a [*a]",
        "*nobody",
        "{<<: 1}",
        "{<<: [[1]]}",
        "? [a, b]\n: c",
        '"\\x1b[2J"',
        '"\\ud800"',
        "'\u202e'",
        "|\n  " + "x" * 9999,
    ),
    *(
        "<script>alert(1)</script>",
        "../../outside",
        "/etc/passwd",
        "~",
        "@",
        "%",
        "`",
        "- - - -",
        "{" * 900,
        "[" * 9000,
    ),
)


def odd_yaml(rng: Random, raw: bytes) -> bytes:
    """Return a configuration with values, names or structure that nobody writes by hand."""
    lines = raw.decode().splitlines()
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(lines))
        name = lines[at].partition(":")[0]
        lines[at] = rng.choice(
            (f"{name}: {rng.choice(VALUES)}", name, f"{rng.choice(VALUES)}: 1", lines[at] + "\n" + lines[at])
        )
    text = "\n".join(lines)
    if rng.random() < 0.15:
        text = rng.choice((_laughs, _merges, _deep, _long, _documents))(rng, text)
    return text.encode("utf-8", "surrogatepass")


def _laughs(rng: Random, text: str) -> str:
    """Nine lists of nine lists ...: a thousand million words in a few lines."""
    key = rng.choice(("n_groups", "model", "learning_rate", "laugh"))
    lines = ["a0: &a0 [ha, ha, ha, ha, ha, ha, ha, ha, ha]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    return "\n".join((*lines, f"{key}: *a9"))


def _merges(rng: Random, text: str) -> str:
    lines = ["a0: &a0 {a: 1, b: 2, c: 3}"]
    lines += [f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}" for n in range(1, 8)]
    return "\n".join((*lines, "model: *a7"))


def _deep(rng: Random, text: str) -> str:
    depth = rng.choice((100, 1000, 20000))
    return rng.choice(
        (
            "[" * depth + "]" * depth,
            "{a: " * depth + "}" * depth,
            "- " * depth,
            "? " * depth,
            text + "\nx: " + "[" * depth,
        )
    )


def _long(rng: Random, text: str) -> str:
    return (
        text
        + rng.choice(("\n# ", "\nx: ", "\n"))
        + rng.choice(("x", "ab ", "- a\n", "\n")) * rng.choice((10**4, 10**6))
    )


def _documents(rng: Random, text: str) -> str:
    return rng.choice(
        (f"{text}\n---\n{text}", f"%YAML 9.9\n---\n{text}", f"%TAG ! tag:x,2000:\n---\n{text}", "\ufeff" + text)
    )


def odd_table(rng: Random, raw: bytes) -> bytes:
    """Return a table of numbers with cells that are none, or lines that are too long or too many."""
    lines = raw.decode("utf-8", "replace").splitlines() or [""]
    for _ in range(rng.choice((1, 1, 4))):
        at = rng.randrange(len(lines))
        cell = rng.choice(
            ("nan", "inf", "1e999", "", "x", "\x1b[2J", "0x1f", "1_0", "9" * 5000, "1,2,3,4", "\0", '"', "#")
        )
        lines[at] = rng.choice((cell, f"{lines[at]},{cell}", lines[at].replace(",", rng.choice((" ", ";", "\t")))))
    return ("\n".join(lines) * rng.choice((1, 1, 1, 3000))).encode("utf-8", "replace")


def odd_json(rng: Random, raw: bytes) -> bytes:
    """Return JSON that says something else, or nothing."""
    text = raw.decode()
    numbers = (
        "NaN",
        "-Infinity",
        "1e999",
        "9" * 5000,
        "-1",
        "0",
        "1e300",
        '"\\u001b[2J"',
        '"\\ud800"',
        "null",
        "{}",
        "[[]]",
    )
    kind = rng.randrange(4)
    if kind == 0:
        return rng.choice(("[" * 20000, '{"a":' * 20000, "", "null", "NaN", '"x"', "[]", "{}", "1" * 5000)).encode()
    if kind == 1:
        places = [at for at in range(len(text)) if text[at - 2 : at] == ": "]
        at = rng.choice(places or [0])
        stop = next((end for end in range(at, len(text)) if text[end] in ",\n}"), len(text))
        return (text[:at] + rng.choice(numbers) + text[stop:]).encode()
    if kind == 2:
        name = rng.choice(("version", "N", "x" * 999, "\\u001b[2J"))
        return text.replace("{", f'{{"{name}": {rng.choice(numbers)}, ', 1).encode()
    return damaged(rng, raw, 3)
