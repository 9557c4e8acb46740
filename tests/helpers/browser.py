"""A headless Chromium, spoken to by its DevTools protocol over a pair of pipes."""

import base64
import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--remote-debugging-pipe", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
)

# Chromium reads commands from descriptor 3 and writes answers to 4.
_LAUNCH = """import os, sys
ends = [os.dup(int(end)) for end in sys.argv[1:3]]
ends = [os.dup(end) if end in (3, 4) else end for end in ends]
os.dup2(ends[0], 3), os.dup2(ends[1], 4)
os.execv(sys.argv[3], sys.argv[3:])"""


def chromium():
    """Where a Chromium is: the variable DSEG_CHROMIUM names one, or it is on the path."""
    named = os.environ.get("DSEG_CHROMIUM")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


class Browser:
    """Commands go down one pipe, answers and events come up another, each closed by NUL."""

    def __init__(self, commands, answers):
        self._commands, self._answers, self._count, self._rest = commands, answers, 0, b""
        self.events = []
        (target,) = self._targets()
        attached = self("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Log", "Runtime", "Accessibility"):
            self(f"{domain}.enable")
        self("Page.setLifecycleEventsEnabled", enabled=True)

    _session = None

    def _targets(self):
        found = self("Target.getTargets")["targetInfos"]
        pages = [one["targetId"] for one in found if one["type"] == "page"]
        return pages[:1] or [self("Target.createTarget", url="about:blank")["targetId"]]

    def __call__(self, method, **params):
        """Send a command; return its result. What comes meanwhile is kept in `events`."""
        self._count += 1
        command = {"id": self._count, "method": method, "params": params}
        if self._session is not None:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") == self._count:
                assert "error" not in told, told
                return told["result"]
            self.events.append(told)

    def _next(self):
        while b"\0" not in self._rest:
            part = os.read(self._answers, 2**20)
            assert part, "the browser has ended"
            self._rest += part
        whole, _, self._rest = self._rest.partition(b"\0")
        return json.loads(whole)

    def open(self, path: Path, width: int, height: int = 800, dark: bool = False):
        """Open a file at a width, in a light or dark scheme, and wait until it is loaded."""
        phone = width < 600
        self(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self("Emulation.setEmulatedMedia", features=[scheme])
        self.events.clear()
        loading = self("Page.navigate", url=path.resolve().as_uri())["loaderId"]
        while not any(self._is_load(event, loading) for event in self.events):
            self.events.append(self._next())

    @staticmethod
    def _is_load(event, loading):
        about = event.get("params", {})
        return about.get("name") == "load" and about.get("loaderId") == loading

    def value(self, expression: str):
        """Return what an expression of JavaScript is."""
        return self("Runtime.evaluate", expression=expression, returnByValue=True)["result"][
            "value"
        ]

    def press_tab(self):
        """Press the tab key."""
        key = {"key": "Tab", "code": "Tab", "windowsVirtualKeyCode": 9}
        self("Input.dispatchKeyEvent", type="keyDown", **key)
        self("Input.dispatchKeyEvent", type="keyUp", **key)

    def picture(self, path: Path):
        """Write a picture of the whole page."""
        data = self("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def told(self, *methods: str):
        """The events of some kinds since the page was opened."""
        return [e["params"] for e in self.events if e.get("method") in methods]


@contextmanager
def browser(program: str, profile: Path):
    """Run a Chromium with a profile of its own."""
    down, up = os.pipe(), os.pipe()
    ends = (str(down[0]), str(up[1]))
    words = [sys.executable, "-ISc", _LAUNCH, *ends, program, *FLAGS]
    words += [f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(words, pass_fds=(down[0], up[1]), stderr=subprocess.DEVNULL)
    os.close(down[0])
    os.close(up[1])
    try:
        yield Browser(down[1], up[0])
    finally:
        os.close(down[1])  # it ends when its pipe does
        process.wait(20)
        os.close(up[0])
