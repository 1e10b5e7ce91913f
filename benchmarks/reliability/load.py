"""The worklist's server and predict_pict.py held under mixed load, with what clients do wrong.

    python benchmarks/reliability/load.py --minutes 30

Eight clients at once load pages, films and heat maps, upload films, upload what is none, hang up half-way,
send a byte now and then, and ask for what isn't there; each request must be answered or refused. Beside them
predict_pict.py reads a list of films that doesn't end, damaged and missing ones among them. Memory of both
processes is taken every five seconds; after a fifth of the time it must stay within 5 %. Figures go to
results/load.json. Needs the extra `serve`.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import kills
import numpy as np
import psutil

from pneumo_tf.storage import write_json

RESULTS = kills.HERE / "results/load.json"
CLIENTS, PATIENCE, FLAT = 8, 60, 0.05
_BOUNDARY = "film-boundary"


@dataclass
class Ledger:
    """What became of the requests."""

    seconds: list[float] = field(default_factory=list)
    answers: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


@dataclass
class Client:
    """One of those at once."""

    port: int
    films: list[Path]
    folder: Path
    ledger: Ledger
    chance: random.Random
    keys: list[str] = field(default_factory=list)

    def go_on(self, over: threading.Event) -> None:
        """Ask for one thing after the other."""
        asks: list[tuple[Callable[[], int], int]] = [
            (self.page, 2), (self.moment, 8), (self.film, 8), (self.overlay, 1), (self.upload, 2),
            (self.no_film, 2), (self.foreign, 1), (self.nothing, 2), (self.too_large, 1), (self.hang_up, 2),
            (self.slow, 1)]
        while not over.is_set():
            ask = self.chance.choices([ask for ask, _ in asks], [weight for _, weight in asks])[0]
            began = time.monotonic()
            try:
                status = ask()
            except (OSError, http.client.HTTPException) as failure:
                if not over.is_set():
                    self.ledger.faults[f"{ask.__name__}: {type(failure).__name__}: {failure}"] += 1
                continue
            if status:
                self.ledger.seconds.append(time.monotonic() - began)
                self.ledger.answers[f"{ask.__name__} {status}"] += 1
            if status >= 500:
                self.ledger.faults[f"{ask.__name__}: {status}"] += 1

    def _ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value
                                                    for name, value in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def page(self) -> int:
        status, html = self._ask("GET", "/")
        self.keys = re.findall(r'data-key="(\w+)"', html.decode("utf-8", "replace")) or self.keys
        return status

    def moment(self) -> int:
        return self._ask("GET", "/moment")[0]

    def film(self) -> int:
        return self._ask("GET", f"/film/{self.chance.choice(self.keys or ['none'])}")[0]

    def overlay(self) -> int:
        return self._ask("GET", f"/overlay/{self.chance.choice(self.keys or ['none'])}")[0]

    def upload(self) -> int:
        name = f"up-{self.chance.getrandbits(32):08x}.jpeg"
        status = self._send(name, self.chance.choice(self.films).read_bytes())
        (self.folder / name).unlink(missing_ok=True)  # so that the worklist stays as long as it was
        return status

    def no_film(self) -> int:
        name = f"no-{self.chance.getrandbits(32):08x}.png"
        status = self._send(name, self.chance.randbytes(2000))
        (self.folder / name).unlink(missing_ok=True)
        return status

    def _send(self, name: str, content: bytes) -> int:
        head = f'--{_BOUNDARY}\r\nContent-Disposition: form-data; name="film"; filename="{name}"\r\n\r\n'
        body = head.encode() + content + f"\r\n--{_BOUNDARY}--\r\n".encode()
        return self._ask("POST", "/films", body, X_Worklist="1",
                         Content_Type=f"multipart/form-data; boundary={_BOUNDARY}")[0]

    def foreign(self) -> int:
        return self._ask("GET", "/", Host="evil.example")[0]

    def nothing(self) -> int:
        return self._ask("GET", "/film/../../etc/passwd")[0]

    def too_large(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as peer:
            peer.sendall(b"POST /films HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Worklist: 1\r\n"
                         b"Content-Length: 99999999999\r\n\r\n")
            return int((peer.recv(100).split() or [b"", b"0"])[1])

    def hang_up(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as peer:
            peer.sendall(b"POST /films HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Worklist: 1\r\n"
                         b"Content-Length: 5000\r\n"
                         b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")
        return 0

    def slow(self) -> int:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE) as peer:
            for sign in b"GET /moment HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n":
                peer.sendall(bytes([sign]))
                time.sleep(0.02)
            return int((peer.recv(100).split() or [b"", b"0"])[1])


def feed(process: subprocess.Popen[str], films: list[Path], place: Path, over: threading.Event) -> None:
    """Type a list of films that doesn't end: links, some of them to nothing or to what is no film."""
    (place / "none.png").write_bytes(b"no film")
    assert process.stdin is not None
    number = 0
    while not over.is_set():
        number += 1
        target = place / "none.png" if number % 7 == 0 else place / "gone" if number % 11 == 0 \
            else films[number % len(films)]
        link = place / f"{number}{target.suffix or '.png'}"
        link.symlink_to(target)
        try:
            process.stdin.write(f"{link}\n")
            process.stdin.flush()
        except OSError:
            return
        if number > 200:
            (place / f"{number - 200}.jpeg").unlink(missing_ok=True)
            (place / f"{number - 200}.png").unlink(missing_ok=True)
        time.sleep(0.002)


def start(folder: Path, *words: str, **options: Any) -> subprocess.Popen[str]:
    """A command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(kills.HERE.parents[1]), "PYTHONUNBUFFERED": "1",
                   "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen([sys.executable, "-m", "pneumo_tf", *words], cwd=folder, env=environment,
                            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)


@contextmanager
def programs(folder: Path, come_in: Path, place: Path) -> Iterator[tuple[subprocess.Popen[str], int,
                                                                         subprocess.Popen[str]]]:
    """The server, its port, and predict_pict.py; both are ended afterwards."""
    server = start(folder, "triage_pict", str(come_in), "--run", kills.RUN, "-o", str(place / "worklist"),
                   "--serve", "0", "--engine", "keras", "--threads", "1")
    predict = start(folder, "predict_pict", "-", "--run", kills.RUN, "-o", str(place / "answers.csv"),
                    "--engine", "keras", "--threads", "1", stdin=subprocess.PIPE)
    try:
        port = None
        while port is None:
            line = server.stdout.readline() if server.stdout else ""
            if not line:
                raise SystemExit("the server has ended")
            port = re.search(r"http://127\.0\.0\.1:(\d+)", line)
        threading.Thread(target=lambda: server.stdout and server.stdout.read(), daemon=True).start()
        yield server, int(port[1]), predict
    finally:
        server.kill()
        predict.kill()


def hold(folder: Path, place: Path, minutes: float) -> dict[str, Any]:
    """Hold both programs under load for so many minutes; the figures."""
    films, come_in = sorted((folder / "films").rglob("*.jpeg")), place / "come-in"
    for new in (come_in, place / "list"):
        new.mkdir()
    for film in films[:12]:
        shutil.copy(film, come_in)
    over, ledger = threading.Event(), Ledger()
    with programs(folder, come_in, place) as (server, port, predict):
        clients = [Client(port, films, come_in, ledger, random.Random(number)) for number in range(CLIENTS)]
        threads = [threading.Thread(target=feed, args=(predict, films, place / "list", over)),
                   *(threading.Thread(target=client.go_on, args=(over,)) for client in clients)]
        for thread in threads:
            thread.start()
        began = time.monotonic()
        memory = _watched({"server": server, "predict": predict}, ledger, until=began + minutes * 60)
        seconds = time.monotonic() - began
        over.set()
        for thread in threads:
            thread.join(PATIENCE)
        predict.communicate(timeout=600)  # which ends its list
    rows = len((place / "answers.csv").read_text(encoding="utf-8").splitlines()) - 1
    requests = ledger.answers.total()
    return {"minutes": round(seconds / 60, 1), "requests": requests,
            "requests_per_second": round(requests / seconds, 1),
            "median_ms": round(1000 * float(np.median(ledger.seconds))),
            "p99_ms": round(1000 * float(np.percentile(ledger.seconds, 99))),
            "films_predicted": rows, "answers": dict(sorted(ledger.answers.items())),
            "faults": dict(ledger.faults), "measured": date.today().isoformat(),
            "memory": {name: _growth(values) for name, values in memory.items()}}


def _watched(processes: Mapping[str, subprocess.Popen[str]], ledger: Ledger, *,
             until: float) -> dict[str, list[int]]:
    """Bytes of memory of each process, every five seconds."""
    memory: dict[str, list[int]] = {name: [] for name in processes}
    while time.monotonic() < until:
        time.sleep(5)
        for name, process in processes.items():
            if process.poll() is not None:
                ledger.faults[f"{name} ended with {process.returncode}"] += 1
                return memory
            memory[name].append(psutil.Process(process.pid).memory_info().rss)
    return memory


def _growth(values: list[int]) -> dict[str, float]:
    """Memory after a fifth of the time and at the end, medians over a tenth, in MiB, and the growth."""
    tenth = max(1, len(values) // 10)
    settled = values[len(values) // 5 :]
    first, last = float(np.median(settled[:tenth])), float(np.median(settled[-tenth:]))
    return {"settled_mib": round(first / 2**20), "end_mib": round(last / 2**20),
            "growth": round(last / first - 1, 4)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--ready", type=Path, help="a folder as kills.py makes it, to begin from")
    parser.add_argument("--results", type=Path, default=RESULTS)
    typed = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="load-"))
    if typed.ready is None:
        kills.import_the_slow()
    folder = place / "work"
    shutil.copytree(typed.ready or kills.make_ready(place, with_run=True), folder)
    figures = hold(folder, place, typed.minutes)
    write_json(typed.results, figures)
    print(figures)
    shutil.rmtree(place)
    return int(bool(figures["faults"]) or any(one["growth"] > FLAT for one in figures["memory"].values()))


if __name__ == "__main__":
    raise SystemExit(main())
