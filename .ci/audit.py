"""Look pinned packages up among known holes; exit with 1 for findings only, and say what could not be looked up."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

PINS = Path(__file__).parents[1] / "constraints.txt"


def verdict(dependencies: list[dict[str, Any]]) -> tuple[int, str]:
    """Return the exit status and the words for what pip-audit says of each package.

    It calls packages that the service does not know "skipped" and is content with them: a mirror without advisories
    would make everything look sound.
    """
    audited = [each for each in dependencies if "skip_reason" not in each]
    holes = [f"{each['name']} {each['version']}: {hole['id']}" for each in audited for hole in each["vulns"]]
    words = [f"{len(audited)} of {len(dependencies)} pinned packages were looked up, {len(holes)} known holes", *holes]
    if not audited:
        words = ["NOT AUDITED: the advisory service can't be reached, or knows none of these packages"]
    return int(bool(holes)), "\n".join(words)


def main() -> int:
    """Ask pip-audit about every line of constraints.txt as it is."""
    command = [
        sys.executable,
        "-m",
        "pip_audit",
        "--no-deps",
        "--disable-pip",
        "--format",
        "json",
        "--requirement",
        PINS,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    status, words = verdict(json.loads(done.stdout)["dependencies"] if done.stdout else [])
    sys.stdout.write(f"{words}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
