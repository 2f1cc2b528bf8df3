# SPDX-License-Identifier: Apache-2.0
"""LuCI's own pages, styles and C code of the OpenWrt that tools/openwrt built, served with ubus played.

What tests/openwrt does with the whole machine is done here with LuCI alone, in seconds: each answer of ubus is the
test's, so that it may fail, be empty or be hostile.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import threading
import urllib.parse
from typing import TYPE_CHECKING, Any

from host_sim.openwrt.machine import BUILT
from tests.support.interpreters import PROJECT
from tools.openwrt import packages
from tools.package import lmo

if TYPE_CHECKING:
    from pathlib import Path

NEEDS = ("openwrt", "unsquashfs")
OURS = PROJECT / "boards/common/www"
KINDS = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml", "png": "image/png"}
# What LuCI's theme and its template of a view write (header.ut, view.ut), without the menu.
PAGE = """<!DOCTYPE html>
<html lang="%(language)s" data-darkmode="%(dark)s"><head><meta charset="utf-8"><title>oubli</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/luci-static/bootstrap/cascade.css">
<link rel="stylesheet" media="only screen and (max-device-width: 854px)" href="/luci-static/bootstrap/mobile.css">
<script src="/translations/%(language)s"></script><script src="/luci-static/resources/cbi.js"></script></head>
<body class="lang_%(language)s" data-page="admin-services-oubli"><header><div id="indicators"></div></header>
<div id="maincontent" class="container"><script src="/luci-static/resources/luci.js"></script>
<script>L = new LuCI({"media":"/luci-static/bootstrap","resource":"/luci-static/resources","scriptname":"/cgi-bin/luci",
"requestpath":["admin","services","oubli"],"dispatchpath":["admin","services","oubli"],"pollinterval":1,
"ubuspath":"/ubus/","sessionid":"0","token":"0","nodespec":{"readonly":false,"satisfied":true},"apply_rollback":90,
"apply_holdoff":1,"apply_timeout":5,"apply_display":1})</script><div id="view"><script>
L.require("ui").then(function(ui) { ui.instantiateView("oubli/%(view)s") })</script></div></div></body></html>"""
# What LuCI asks for itself.
LUCIS: dict[str, Any] = {
    "session access": {"access": True},
    "luci getFeatures": {},
    "uci changes": {"changes": {}},
    "uci set": {},
    "uci add": {},
    "uci delete": {},
    "file list": {"entries": []},
}
READ = """let core = require('luci.core'), found = {};
core.load_catalog(ARGV[0], ARGV[1]);
core.get_translations((key, word) => { found[sprintf('%08x', key)] = word; });
print(found);
"""


class Luci:
    """LuCI below `folder`, on a port of loopback.

    `answers` is "object method" -> what ubus answers, a number for its status alone, or a function of the arguments;
    `asked` is what was asked.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.answers: dict[str, Any] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        package = next((BUILT / "feed").glob("luci-base-*.apk"))
        words: list[str | Path] = ["extract", "--allow-untrusted", "--no-chown", "--destination", folder, package]
        packages.apk(BUILT / "host/apk", *words, libraries=BUILT / "host/lib")
        image: list[str | Path] = [
            "unsquashfs",
            "-quiet",
            "-no-progress",
            "-dest",
            folder / "image",
            BUILT / "root.squashfs",
        ]
        subprocess.run([*image, "lib", "usr/lib", "usr/bin"], check=True, capture_output=True)
        for name, octets in lmo.files().items():
            path = folder / name[1:]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(octets)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """End."""
        self._server.shutdown()
        self._server.server_close()

    def ucode(self, program: str, *words: str) -> str:
        """Run a program by OpenWrt's ucode, with LuCI's C library; return what it prints."""
        root, path = self._folder / "image", self._folder / "program.uc"
        path.write_text(program)
        places = [f"-L{self._folder}/usr/lib/ucode/*.so", f"-L{root}/usr/lib/ucode/*.so"]
        variables = {"LD_LIBRARY_PATH": f"{root}/lib:{root}/usr/lib"}
        command: list[str | Path] = [root / "usr/bin/ucode", *places, path, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=variables)
        return done.stdout

    @property
    def catalogues(self) -> str:
        """Return the folder of the compiled words."""
        return str(self._folder / lmo.FOLDER[1:])

    def spoken(self, language: str) -> dict[str, str]:
        """Return the words of a language as LuCI's own C code reads them, by their hashes."""
        found: dict[str, str] = json.loads(self.ucode(READ, language, self.catalogues))
        return found

    def page(self, view: str, language: str = "en", *, dark: bool = False) -> str:
        """Return the address of a view."""
        return f"{self.address}/view/{view}?{urllib.parse.urlencode({'language': language, 'dark': str(dark).lower()})}"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Answer one call of ubus as uhttpd does."""
        if request["method"] != "call":  # which objects are there? LuCI needs none of them
            return {"jsonrpc": "2.0", "id": request["id"], "result": {}}
        thing, method, given = request["params"][1:4]
        name = f"{thing} {method}"
        self.asked.append((name, given))
        said = self.answers.get(name, LUCIS.get(name, 4))  # 4: no such object or method
        said = said(given) if callable(said) else said
        if isinstance(said, Exception):
            return {"jsonrpc": "2.0", "id": request["id"], "error": {"code": -32002, "message": str(said)}}
        return {"jsonrpc": "2.0", "id": request["id"], "result": [said] if isinstance(said, int) else [0, said]}

    def _found(self, path: str, query: dict[str, list[str]]) -> bytes | None:
        name = path.rpartition("/")[2]
        if path.startswith("/view/"):
            return (PAGE % {"view": name, "language": query["language"][0], "dark": query["dark"][0]}).encode()
        if path.startswith("/translations/"):
            return f"window.TR={json.dumps(self.spoken(name))};".encode()
        for root in (OURS, self._folder / "www"):
            if path.startswith("/luci-static/") and (root / path[1:]).is_file():
                return (root / path[1:]).read_bytes()
        return None

    def _handler(luci: Luci) -> type[http.server.BaseHTTPRequestHandler]:  # noqa: N805 (the handler has a self of its own)
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                where = urllib.parse.urlsplit(self.path)
                found = luci._found(where.path, urllib.parse.parse_qs(where.query))
                kind = KINDS.get(where.path.rpartition(".")[2], "text/html")
                self.send(404 if found is None else 200, found or b"", kind)

            def do_POST(self) -> None:
                asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"null")
                told = [luci.answer(one) for one in asked] if isinstance(asked, list) else luci.answer(asked)
                self.send(200, json.dumps(told).encode(), "application/json")

            def send(self, status: int, octets: bytes, kind: str) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind + "; charset=utf-8")
                self.send_header("Content-Length", str(len(octets)))
                self.end_headers()
                self.wfile.write(octets)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
