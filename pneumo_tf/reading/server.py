"""The worklist's page from a server of this machine: films dropped into it are answered in it.

Loopback unless told otherwise. A browser's other pages must not reach it: requests under a foreign name or
from a foreign page are refused. What is uploaded gets a name of its own in the watched folder.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from pneumo_tf.data.images import thumbnail
from pneumo_tf.errors import FilmError, PneumoError
from pneumo_tf.names import clean
from pneumo_tf.reading.page import SERVED, SIDE, call_in_words, key_of, worklist_page
from pneumo_tf.reading.triage import Triage
from pneumo_tf.reading.worklist import Waiting
from pneumo_tf.storage import replacing

LARGEST = 64 * 2**20  # bytes of an upload: a film of 16 bits and 25 million pixels has 50 MB
MOST = 1000  # uploads while the page is served
_LOCAL = ["127.0.0.1", "localhost", "[::1]", "testserver"]
_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
            "Cross-Origin-Resource-Policy": "same-origin"}
_FORBIDDEN = re.compile(r"[^\w.() -]+")
_LONGEST_NAME = 120  # bytes, so that a number and a temporary name still fit


@dataclass
class WorklistServer:
    """Answers the page's requests.

    Attributes:
        triage: Claimed, and refreshed from here alone.
        every: Seconds between two looks into the folder.
        settled: As of `Triage.refresh`.
        hosts: Names under which it is reached; None leaves the machine's own.
    """

    triage: Triage
    every: float = 5.0
    settled: float = 2.0
    hosts: list[str] | None = None
    uploads: int = 0

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [Route("/", self.page), Route("/moment", self.moment), Route("/film/{key}", self.film),
                  Route("/overlay/{key}", self.overlay), Route("/films", self.upload, methods=["POST"])]
        return Starlette(routes=routes, lifespan=self._watching, middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=self.hosts or _LOCAL, www_redirect=False)],
            exception_handlers={PneumoError: _told, HTTPException: _refused})

    async def page(self, _: Request) -> Response:
        """The worklist as it is now."""
        html = await run_in_threadpool(worklist_page, self.triage.shown(), self.triage.words, live=SERVED)
        return HTMLResponse(html, headers=_HEADERS)

    async def moment(self, _: Request) -> Response:
        """When the worklist was made, as the page has it."""
        return PlainTextResponse(self.triage.moment.isoformat(timespec="seconds"), headers=_HEADERS)

    async def film(self, request: Request) -> Response:
        """A film as it came, small enough for the page."""
        film = self._film(request)
        try:
            jpeg = await run_in_threadpool(thumbnail, film.file, (2 * SIDE, 2 * SIDE))
        except FilmError as failure:  # it went a moment ago, or never was one
            raise HTTPException(404) from failure
        return Response(jpeg, media_type="image/jpeg", headers=_HEADERS)

    async def overlay(self, request: Request) -> Response:
        """The heat map of a film, drawn when it is first asked for."""
        film = self._film(request)
        try:
            path = await run_in_threadpool(self.triage.overlay_of, film)
            png = b"" if path is None else await run_in_threadpool(path.read_bytes)
        except (FilmError, FileNotFoundError) as failure:  # film or picture went a moment ago
            raise HTTPException(404) from failure
        if not png:
            raise HTTPException(404)
        return Response(png, media_type="image/png", headers=_HEADERS)

    async def upload(self, request: Request) -> Response:
        """Take one film into the folder and answer it."""
        say = self.triage.words.say
        # A foreign page can send a form here, but no header of its own.
        if request.headers.get("X-Worklist") != "1":
            return JSONResponse({"text": say("worklist.upload.closed")}, 403, headers=_HEADERS)
        if self.uploads >= MOST:
            return JSONResponse({"text": say("worklist.upload.many", n=MOST)}, 429, headers=_HEADERS)
        if int(request.headers.get("Content-Length") or LARGEST + 2**20) >= LARGEST + 2**20:
            text = say("worklist.upload.large", size=self.triage.words.size(LARGEST))
            return JSONResponse({"text": text}, 413, headers=_HEADERS)
        async with request.form(max_files=1, max_fields=0) as form:
            film = form.get("film")
            if not isinstance(film, UploadFile):
                return JSONResponse({"text": say("worklist.upload.missing")}, 400, headers=_HEADERS)
            content = await film.read()
            self.uploads += 1
            path = self._free(film.filename or "")
            await run_in_threadpool(_write, path, content)
        await run_in_threadpool(self.triage.refresh)
        answered = next((one for one in self.triage.films if one.file == path), None)
        if answered is None:
            return JSONResponse({"text": say("worklist.upload.missing")}, 422, headers=_HEADERS)
        text = say("worklist.answered", name=answered.answer.id,
                   call=call_in_words(answered, self.triage.words))
        return JSONResponse({"id": answered.answer.id, "text": text}, headers=_HEADERS)

    def _film(self, request: Request) -> Waiting:
        key = request.path_params["key"]
        found = next((film for film in self.triage.films if key_of(film) == key), None)
        if found is None:
            raise HTTPException(404)
        return found

    def _free(self, name: str) -> Path:
        """A path in the folder that nothing has, near to the name that a browser gave."""
        wanted = PurePath(_FORBIDDEN.sub("_", clean(name.replace("\\", "/")).rpartition("/")[2]).lstrip("."))
        stem, suffix = wanted.stem.encode()[:_LONGEST_NAME].decode(errors="ignore"), wanted.suffix[:10]
        numbers = (f" ({number})" if number else "" for number in range(MOST + 1))
        return next(path for number in numbers
                    if not (path := self.triage.folder / f"{stem or 'film'}{number}{suffix}").exists())

    @asynccontextmanager
    async def _watching(self, _: Starlette) -> AsyncIterator[None]:
        """Look into the folder as long as the page is served."""
        over = threading.Event()
        watching = asyncio.create_task(run_in_threadpool(watch, self.triage, every=self.every,
                                                         settled=self.settled, over=over))
        try:
            yield
        finally:
            over.set()
            await watching


def watch(triage: Triage, *, every: float, settled: float = 2.0, over: threading.Event,
          tell: Callable[[int], None] = lambda _: None) -> None:
    """Refresh a worklist again and again; a disk or a folder that fails for a while is tried again.

    Args:
        triage: Claimed.
        every: Seconds between two looks.
        settled: As of `Triage.refresh`.
        over: Ends it.
        tell: Told how many films were answered, where any were.
    """
    told = ""
    while not over.is_set():
        try:
            answered = triage.refresh(settled=settled)
            told = ""
            if answered:
                tell(answered)
        except PneumoError as failure:
            if str(failure) != told:  # once, not at every look
                told = str(failure)
                print(told, file=sys.stderr, flush=True)
        over.wait(every)


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as temporary:
        temporary.write_bytes(content)


async def _told(_: Request, failure: Exception) -> Response:
    return JSONResponse({"text": str(failure)}, 500, headers=_HEADERS)


async def _refused(_: Request, failure: Exception) -> Response:
    assert isinstance(failure, HTTPException)
    return JSONResponse({"text": failure.detail}, failure.status_code, headers=_HEADERS)
