"""The page in a real browser: it fits the screen, asks for nothing, complains of nothing."""

import json
import re
import shutil
import subprocess

import pytest

from onnxbin.report import write_report

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PHONE, DESKTOP = 390, 1280

pytestmark = pytest.mark.skipif(BROWSER is None, reason="needs Chromium (apt-get install chromium)")

FRAME = """<!doctype html><iframe src="index.html" width="%d" height="800" style="border: 0"></iframe>
<script>
addEventListener("load", () => {
  const page = document.querySelector("iframe").contentWindow
  const root = page.document.documentElement
  document.body.textContent = JSON.stringify({
    width: root.clientWidth,
    needed: root.scrollWidth,
    loaded: page.performance.getEntriesByType("resource").map((entry) => entry.name),
    broken: [...page.document.images].filter((image) => image.naturalWidth === 0).length,
    images: page.document.images.length,
    text: page.document.body.innerText,
  })
})
</script>
"""


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(finished.folder, folder, data=finished.labels)
    return folder


@pytest.fixture(scope="module", params=[PHONE, DESKTOP])
def seen(request, folder):
    """What the browser makes of the page at a width, and what it logs."""
    frame = folder / f"{request.param}.html"
    frame.write_text(FRAME % request.param)
    done = subprocess.run(
        [
            BROWSER,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--disable-dev-shm-usage",
            "--allow-file-access-from-files",
            f"--user-data-dir={folder / 'profile'}",
            f"--window-size={request.param + 50},900",
            "--enable-logging=stderr",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    body = re.search(r"<body>(.*)</body>", done.stdout, re.DOTALL)[1]
    found = json.loads(body.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    return request.param, found, done.stderr


def test_fits_the_screen(seen):
    width, found, _ = seen
    assert found["width"] == width
    assert found["needed"] == width


def test_loads_nothing(seen):
    _, found, _ = seen
    assert [name for name in found["loaded"] if not name.startswith("data:")] == []


def test_shows_every_image(seen):
    _, found, _ = seen
    assert found["images"] > 0
    assert found["broken"] == 0


def test_shows_what_matters(seen, finished):
    _, found, _ = seen
    assert finished.model.name in found["text"]
    assert f"{finished.result.ratio:.1f} times smaller" in found["text"]
    assert all(step.title in found["text"] for step in finished.result.steps)


def test_complains_of_nothing(seen):
    _, _, log = seen
    assert "CONSOLE" not in log
