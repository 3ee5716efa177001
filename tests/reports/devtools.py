"""A headless Chromium driven over its DevTools protocol: open a page, press keys, read it, take a picture."""

import asyncio
import base64
import contextlib
import itertools
import os
import shutil
import subprocess
from pathlib import Path

import aiohttp

KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Enter": 13, "Escape": 27}


def binary():
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One tab. `async with Browser(profile) as tab:`"""

    def __init__(self, profile: Path):
        self.profile = profile
        self.logged = []
        self._ids = itertools.count(1)
        self._waiting = {}

    async def __aenter__(self):
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
                 "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
                 f"--user-data-dir={self.profile}"]  # fmt: skip
        self.process = subprocess.Popen(
            [binary(), *flags, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env={**os.environ, "HOME": str(self.profile)},
        )  # fmt: skip
        self.session = aiohttp.ClientSession()
        found = self.profile / "DevToolsActivePort"
        for _ in range(300):
            if found.exists() and found.read_text().count("\n"):
                break
            await asyncio.sleep(0.1)
        port = found.read_text().split()[0]
        async with self.session.get(f"http://127.0.0.1:{port}/json") as reply:
            tab = next(t for t in await reply.json() if t["type"] == "page")
        self.socket = await self.session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0)
        self.reader = asyncio.create_task(self._read())
        for domain in ("Page", "Runtime", "Log"):
            await self.call(f"{domain}.enable")
        return self

    async def __aexit__(self, *_):
        self.reader.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.reader
        await self.socket.close()
        await self.session.close()
        self.process.terminate()
        self.process.wait(20)

    async def _read(self):
        async for message in self.socket:
            said = message.json()
            if "id" in said:
                self._waiting.pop(said["id"]).set_result(said)
            elif said["method"] in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.logged.append(said["params"])

    async def call(self, method, **params):
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({"id": number, "method": method, "params": params})
        said = await asyncio.wait_for(self._waiting[number], 120)
        assert "error" not in said, said["error"]
        return said["result"]

    async def open(self, url):
        await self.call("Page.navigate", url=url)
        for _ in range(1000):  # half a minute and more: the machine may be busy
            if await self.js(f"location.href === {url!r} && document.readyState === 'complete'"):
                return
            await asyncio.sleep(0.03)
        raise AssertionError(f"{url} did not load; logged: {self.logged}")

    async def js(self, expression):
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression):
        for _ in range(1000):  # half a minute and more: the machine may be busy
            if await self.js(f"Boolean({expression})"):
                return
            await asyncio.sleep(0.03)
        raise AssertionError(f"never true: {expression}; logged: {self.logged}")

    async def press(self, key):
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        common = {"key": key, "windowsVirtualKeyCode": KEYS.get(key, ord(key[0].upper()))}
        await self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        await self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    async def type(self, text):
        await self.call("Input.insertText", text=text)

    async def click(self, selector):
        at = await self.js(
            f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'nearest'}});"
            "const r = e.getBoundingClientRect(); return {x: r.x + r.width / 2, y: r.y + r.height / 2}; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    async def size(self, width, height, mobile=False):
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile
        )

    async def picture(self, path):
        found = await self.call("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(found["data"]))
