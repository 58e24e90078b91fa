"""Commands of charlm that a study runs, and a file that keeps what became of each, so that a study goes on."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from charlm.system import processors


def charlm(*arguments: object) -> dict:
    """Return what a subcommand prints with --json; of training that diverges, {"error": its message}."""
    command = [sys.executable, "-m", "charlm", *map(str, arguments), "--quiet", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode == 1 and "diverged" in done.stderr:
        return {"error": done.stderr.strip()}
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def kept(path: Path) -> list[dict]:
    """Return the entries of a file of JSON lines, none if there is no such file."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def keep(path: Path, entry: dict) -> None:
    """Add an entry to a file of JSON lines."""
    with path.open("a") as file:
        file.write(json.dumps(entry) + "\n")


def run_all(jobs: Sequence[Any], do: Callable[[Any], dict], results: Path, show: Callable[[dict], str]) -> list[dict]:
    """Return the entries {"job", "summary"} of all jobs (dataclasses), in their order; as many at once as processors.

    Those that `results` (JSON lines) already holds are not done again. show says in a few words what an entry came to.
    """
    done = {json.dumps(entry["job"]): entry for entry in kept(results)}
    begun, left = time.monotonic(), [job for job in jobs if json.dumps(asdict(job)) not in done]

    def work(numbered: tuple[int, Any]) -> None:
        number, job = numbered
        entry = {"job": asdict(job), "summary": do(job)}
        done[json.dumps(entry["job"])] = entry
        keep(results, entry)
        click.echo(f"{number + 1} of {len(left)}, {time.monotonic() - begun:.0f} s: {show(entry)}", err=True)

    with ThreadPoolExecutor(len(processors())) as pool:
        list(pool.map(work, enumerate(left)))
    return [done[json.dumps(asdict(job))] for job in jobs]
