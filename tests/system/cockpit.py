# SPDX-License-Identifier: MIT
"""The page for Cockpit in a real browser: a cockpit-ws of its own with the page out of the tree, and Chromium without a
screen. What is missing here is said by `lacks()`."""

import base64
import glob
import importlib.util
import json
import os
import shutil
import subprocess
import time

import ports
import station as station_module
import users
import waiting

PAGE = os.path.join(station_module.ROOT, "ctl", "cockpit")
SHOTS = os.path.join(station_module.ROOT, "build", "cockpit")
AXE = os.path.join(SHOTS, "node_modules", "axe-core", "axe.min.js")
DRIVER = "/usr/bin/chromedriver"
BRIDGE = "/usr/bin/cockpit-bridge"
PATIENCE = 20 * station_module.PATIENCE
WIDE, NARROW = (1920, 1080), (360, 800)


def server():
    """Debian's place for it, then others'."""
    return next((path for path in ("/usr/lib/cockpit/cockpit-ws", "/usr/libexec/cockpit-ws") if os.path.exists(path)), None)


def lacks():
    """Why there can be no test here, or ""."""
    if not users.IS_ROOT:
        return "needs root: the page shows root's rights and a reader's"
    if not server() or not os.path.exists(BRIDGE) or not os.path.exists("/usr/share/cockpit/systemd"):
        return "needs cockpit-ws, cockpit-bridge and cockpit-system (make deps-cockpit)"
    if not os.path.exists(DRIVER) or not importlib.util.find_spec("selenium"):
        return "needs chromium, chromium-driver and python3-selenium (make deps-cockpit)"
    return ""


class Web:
    """cockpit-ws with a session of the user it runs as; the page is told of the station by the file by which an
    administrator would tell it."""

    def __init__(self, folder, station, uid=0, groups=()):
        self.folder = os.path.join(folder, f"cockpit-{uid}")
        os.makedirs(os.path.join(self.folder, "data", "cockpit"))
        os.makedirs(os.path.join(self.folder, "etc", "cockpit"))
        os.makedirs(os.path.join(self.folder, "bin"))
        self.package = shutil.copytree(PAGE, os.path.join(self.folder, "data", "cockpit", "emailsec"))
        self.journal = os.path.join(self.folder, "journal")
        with open(os.path.join(self.folder, "etc", "cockpit", "emailsec.override.json"), "w") as out:
            json.dump({"socket": station.socket, "tool": station.programs["emailsecctl"]}, out)
        self._journalctl()
        if uid:
            for at, _, _ in os.walk(self.folder):
                os.chown(at, uid, uid)
        self.port = ports.take()
        who = {"user": uid, "group": uid, "extra_groups": list(groups)} if uid else {}
        env = station_module.clean_environment(
            XDG_DATA_DIRS=os.path.join(self.folder, "data") + ":/usr/share", XDG_DATA_HOME=os.path.join(self.folder, "none"),
            XDG_CONFIG_DIRS=os.path.join(self.folder, "etc"), XDG_CONFIG_HOME=os.path.join(self.folder, "etc"), HOME=self.folder)
        env["PATH"] = os.path.join(self.folder, "bin") + ":" + env["PATH"]
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(
            users.MORTAL + [server(), "--address", "127.0.0.1", "--port", str(self.port), "--local-session", BRIDGE],
            env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, **who)
        waiting.until(lambda: waiting.accepts("127.0.0.1", self.port), PATIENCE, "cockpit-ws does not listen")

    def _journalctl(self):
        """Here is no journal: a journalctl that follows a file in its place."""
        path = os.path.join(self.folder, "bin", "journalctl")
        with open(path, "w") as out:
            out.write(f"#!/bin/sh\nexec tail -n 200 -F '{self.journal}' 2>/dev/null\n")
        os.chmod(path, 0o755)
        open(self.journal, "w").close()

    def write_journal(self, text, priority=6):
        with open(self.journal, "a") as out:
            out.write(json.dumps({"MESSAGE": text, "PRIORITY": str(priority), "__REALTIME_TIMESTAMP": str(time.time_ns() // 1000)}) + "\n")

    @property
    def address(self):
        return f"http://127.0.0.1:{self.port}/cockpit/@localhost/emailsec/index.html"

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.log.close()


class Browser:
    """Chromium at the page. What is asked for is waited for; nothing here sleeps but waiting does."""

    def __init__(self, web, size=WIDE, style="light", language=None):
        from selenium import webdriver
        from selenium.webdriver.chrome.options import Options
        from selenium.webdriver.chrome.service import Service

        self.web, self.size, self.style = web, size, style
        options = Options()
        for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server",
                     f"--window-size={max(size[0], 500)},{size[1]}"):
            options.add_argument(word)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        self.driver = webdriver.Chrome(options=options, service=Service(DRIVER))
        self.resize(size)
        self.driver.get(web.address)
        if language:
            self.driver.add_cookie({"name": "CockpitLang", "value": language})
        self.script("localStorage.setItem('shell:style', arguments[0])", style)
        self.driver.refresh()

    def stop(self):
        self.driver.quit()

    def resize(self, size):
        self.size = size
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {"width": size[0], "height": size[1],
                                                                          "deviceScaleFactor": 1, "mobile": False})

    def script(self, text, *words):
        return self.driver.execute_script(text, *words)

    def use_style(self, style):
        """As Cockpit's menu does it."""
        self.style = style
        self.script("localStorage.setItem('shell:style', arguments[0]);"
                    "dispatchEvent(new CustomEvent('cockpit-style', {detail: {style: arguments[0]}}))", style)

    def go(self, *path):
        self.script("cockpit.location.go(arguments[0])", list(path))

    # ---- looking

    def all(self, css):
        return self.driver.find_elements("css selector", css)

    def text(self, css="#page"):
        return self.script("const one = document.querySelector(arguments[0]); return one ? one.innerText : ''", css)

    def see(self, *texts, css="body", timeout=PATIENCE):
        """Waits until all of them are shown."""
        def there():
            shown = self.text(css)
            return all(text in shown for text in texts)
        waiting.until(there, timeout, lambda: f"not seen: {[t for t in texts if t not in self.text(css)]} in:\n{self.text(css)[:3000]}\n{self.trouble()}")

    def not_see(self, text, css="body"):
        waiting.until(lambda: text not in self.text(css), PATIENCE, lambda: f"still seen: {text!r} in:\n{self.text(css)[:3000]}")

    def named(self, name, css="button, a, summary", within=""):
        """The element with that text or label; in the dialog, where one is open."""
        def find():
            return self.script("""
                const root = [...document.querySelectorAll('dialog[open]')].pop() || document;
                const part = arguments[2] ? root.querySelector(arguments[2]) : root;
                return part && [...part.querySelectorAll(arguments[1])].find(one => one.offsetParent !== null && !one.disabled &&
                    (one.getAttribute('aria-label') || one.textContent.trim()) === arguments[0])""", name, css, within)
        return waiting.until(find, PATIENCE, lambda: f"no {name!r} to be clicked in:\n{self.text()[:3000]}\n{self.trouble()}")

    def labelled(self, label):
        """The control with that label."""
        def find():
            return self.script("""
                const root = [...document.querySelectorAll('dialog[open]')].pop() || document;
                const one = [...root.querySelectorAll('label')].find(label => (label.querySelector('span') || label).textContent.trim() === arguments[0]);
                return one && one.control""", label)
        return waiting.until(find, PATIENCE, lambda: f"no control {label!r} in:\n{self.text()[:3000]}\n{self.trouble()}")

    # ---- doing

    def press(self, one):
        self.script("arguments[0].scrollIntoView({block: 'center'})", one)
        one.click()

    def click(self, name, css="button, a, summary", within=""):
        self.press(self.named(name, css, within))

    def fill(self, label, text):
        """As a person does it: what stands there is marked and typed over."""
        control = self.labelled(label)
        self.press(control)
        self.script("arguments[0].select()", control)
        self.keys(text)

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.driver, duration=0).send_keys(*keys).perform()

    def dialog_closed(self):
        waiting.until(lambda: not self.all("dialog[open]"), PATIENCE, lambda: f"the dialog stays: {self.text('dialog[open]')}")

    # ---- judging

    def trouble(self):
        """What the browser has complained of, such as what the page's policy forbids."""
        return [one["message"] for one in self.driver.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]

    def shot(self, name):
        """A picture of the whole page, kept under build/."""
        os.makedirs(SHOTS, exist_ok=True)
        size = self.driver.execute_cdp_cmd("Page.getLayoutMetrics", {})["cssContentSize"]
        dialog = bool(self.all("dialog[open]"))
        wanted = {} if dialog else {"captureBeyondViewport": True, "clip": {
            "x": 0, "y": 0, "width": self.size[0], "height": min(max(size["height"], self.size[1]), 6000), "scale": 1}}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", **wanted})["data"]
        with open(os.path.join(SHOTS, f"{name}-{self.size[0]}-{self.style}.png"), "wb") as out:
            out.write(base64.b64decode(data))

    def overflow(self):
        """Elements that are wider than the screen."""
        return self.script("""
            return [...document.querySelectorAll('body *')].filter(one => one.getBoundingClientRect().right > innerWidth + 1 &&
                    !one.closest('.es-hidden, pre, svg, .es-table thead') && one.offsetParent !== null)
                .slice(0, 5).map(one => one.tagName + '.' + one.className + ': ' + one.textContent.slice(0, 60))""")

    def axe(self):
        """What axe-core finds; [] where all is well."""
        with open(AXE, encoding="utf-8") as source:
            self.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": source.read()})
        found = self.driver.execute_async_script(
            "const done = arguments[0]; axe.run(document, {resultTypes: ['violations']}).then(one => done(one.violations.map("
            "v => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map(n => n.html.slice(0, 200) + ' ' + n.failureSummary).join(' | '))))")
        return found


def installed_axe():
    return bool(glob.glob(AXE))
