"""The audit's page at work in a browser: it loads, filters, sorts, fits a phone and prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest

import audits
from pages import Page
from rparity.report import html

pytestmark = pytest.mark.browser
PAGES = pytest.mark.parametrize("name", ["everything", "attacked", "real"])
PageOf = Callable[[str], str]
Work = Callable[..., Any]

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--enable-logging=stderr",
    "--virtual-time-budget=10000",
)
Browse = Callable[..., tuple[str, list[str]]]


@pytest.fixture
def browse(tmp_path: Path) -> Browse:
    """Open a page and return the browser's output and its console's messages."""
    program = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if program is None:
        pytest.fail("There is no chromium: apt-get install --no-install-recommends chromium")

    def open_(address: str, *flags: str) -> tuple[str, list[str]]:
        done = subprocess.run(
            [program, *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", *flags, address],
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        )
        return done.stdout, [text for text in done.stderr.splitlines() if ":CONSOLE" in text]

    return open_


def saved(path: Path, text: str) -> str:
    path.write_text(text, encoding="utf-8")
    return path.as_uri()


# A page that shows another page in a frame, operates it, and writes down the results.
BENCH = """<!doctype html><meta charset="utf-8"><style>body{{margin:0}}iframe{{border:0}}</style>
<iframe id="frame" width="{width}" height="800" src="{page}"></iframe><pre id="found"></pre>
<script>
const frame = document.getElementById("frame");
const wait = () => new Promise((done) => setTimeout(done, 50));
frame.addEventListener("load", async () => {{
  const page = frame.contentDocument, inside = frame.contentWindow;
  const one = (selector) => page.querySelector(selector);
  const every = (selector) => [...page.querySelectorAll(selector)];
  const go = async (hash) => {{ inside.location.hash = hash; await wait(); }};
  const choose = async (name, value) => {{
    one("#filter").elements[name].value = value;
    one("#filter").dispatchEvent(new inside.Event("change", {{ bubbles: true }}));
    await wait();
  }};
  const seen = (element) => element.checkVisibility();
  let found;
  try {{ found = await (async () => {{ {work} }})(); }} catch (error) {{ found = String(error); }}
  document.getElementById("found").textContent = JSON.stringify(found);
}}, {{ once: true }});
</script>"""


@pytest.fixture
def worked(browse: Browse, tmp_path: Path) -> Work:
    """Operate a page by script as a reader would, and require that its console stays empty."""

    def work(page: str, script: str, width: int = 1200) -> Any:
        bench = BENCH.format(page=saved(tmp_path / "page.html", page), work=script, width=width)
        address = saved(tmp_path / "bench.html", bench)
        printed, said = browse(address, "--dump-dom", "--allow-file-access-from-files")
        assert said == []
        match = re.search(r'<pre id="found">(.*?)</pre>', printed, re.DOTALL)
        assert match
        return json.loads(unescape(match[1]))

    return work


@PAGES
def test_the_page_loads_without_errors(
    name: str, page_of: PageOf, browse: Browse, tmp_path: Path
) -> None:
    text = page_of(name)
    printed, said = browse(saved(tmp_path / "page.html", text), "--dump-dom")
    assert said == []
    page = Page(printed)
    (form,) = [a for a in page.all("form") if a["id"] == "filter"]
    assert "hidden" not in form  # the script ran
    assert not [a for a in page.all("img") if a.get("src") == "x"]


def test_an_error_on_the_page_is_detected(page_of: PageOf, browse: Browse, tmp_path: Path) -> None:
    everything = page_of("everything")
    broken = everything.replace('id="matrix"', 'id="other"')
    assert browse(saved(tmp_path / "page.html", broken), "--dump-dom")[1]
    foreign = everything.replace("</main>", '<img src="https://example.org/x.png"></main>')
    assert browse(saved(tmp_path / "page.html", foreign), "--dump-dom")[1]
    injected = everything.replace("</main>", "<script>document.title = 'mine'</script></main>")
    printed, said = browse(saved(tmp_path / "page.html", injected), "--dump-dom")
    assert said
    assert "<title>mine" not in printed


SHOWN = """
  const matrix = () => ({
    columns: every("#matrix thead th").filter(seen).map((head) => head.textContent.trim()),
    cells: every("#matrix td:not(.off)").filter(seen).map((cell) =>
      [cell.dataset.engine, cell.dataset.case]),
    rows: every("#matrix tbody tr").filter(seen).map((row) => row.cells[0].textContent.trim()),
    details: every("details.cell").filter(seen).map((cell) => cell.id),
    says: one("#filter").elements.shown.value,
    hash: inside.location.hash,
  });
"""


def test_the_filter_shows_only_matching_cells(page_of: PageOf, worked: Work) -> None:
    found = worked(
        page_of("everything"),
        SHOWN
        + """
  const found = { before: matrix() };
  await choose("engine", "nlme"); found.engine = matrix();
  await choose("engine", ""); await choose("case", "two"); found.case = matrix();
  await choose("case", ""); await choose("verdict", "known"); found.verdict = matrix();
  await choose("verdict", ""); await choose("cause", "other [units]"); found.cause = matrix();
  await choose("engine", "nlme"); found.none = matrix();
  one("#filter").reset(); await wait(); found.after = matrix();
  return found;""",
    )
    assert len(found["before"]["cells"]) == 12
    assert found["before"]["says"] == "12 of 12 cells"
    assert len(found["before"]["details"]) == 8
    assert found["engine"]["columns"] == ["case", "nlme"]
    assert found["engine"]["cells"] == [["nlme", "one"], ["nlme", "two"]]
    assert found["engine"]["details"] == ["one--nlme", "two--nlme"]
    assert found["engine"]["hash"] == "#?engine=nlme"
    assert found["case"]["rows"] == ["two"]
    assert found["verdict"]["cells"] == [["nlme", "one"]]
    assert found["verdict"]["rows"] == ["one"]
    assert found["verdict"]["details"] == ["one--nlme"]
    assert found["cause"]["cells"] == [["lme4", "two"]]
    assert found["none"]["rows"] == found["none"]["details"] == []
    assert found["after"] == {**found["before"], "hash": "#?"}


def test_the_matrix_sorts_by_any_engine(worked: Work) -> None:
    digits = {"b": 9.5, "a": 10.25, "d": 2.0, "c": None}
    rows = [audits.row(c, "nlme", digits=d) for c, d in digits.items() if d is not None]
    rows.append(audits.row("c", "lme4"))
    audit = audits.audit(audits.comparisons(*rows), ("nlme", "lme4"), list(digits))
    found = worked(
        html.page(audit),
        SHOWN
        + """
  const found = [];
  for (const column of [1, 1, 1, 0]) {
    one("#matrix thead").rows[0].cells[column].querySelector("button").click();
    found.push([matrix().rows, one("#matrix thead").rows[0].cells[column].ariaSort, matrix().hash]);
  }
  return found;""",
    )
    # Cells are sorted by number, not by text. Cells without a number come last.
    assert found == [
        [["d", "b", "a", "c"], "ascending", "#?sort=nlme"],
        [["a", "b", "d", "c"], "descending", "#?sort=nlme&down=1"],
        [["b", "a", "d", "c"], None, "#?"],
        [["a", "b", "c", "d"], "ascending", "#?sort="],
    ]


def test_an_address_restores_a_view(page_of: PageOf, worked: Work) -> None:
    found = worked(
        page_of("everything"),
        SHOWN
        + """
  await go("#?verdict=rounding&sort=rparity&down=1"); const view = matrix();
  await go("#two--lme4"); const there = one("#two--lme4");
  return { view, open: there.open, seen: seen(there), cells: matrix().cells.length };""",
    )
    assert found["view"]["cells"] == [["rparity", "one"]]
    # A link shows its target, also if the filter hides it or it is closed.
    assert (found["open"], found["seen"], found["cells"]) == (True, True, 12)


@PAGES
def test_on_a_phone_it_scrolls_vertically(name: str, page_of: PageOf, worked: Work) -> None:
    found = worked(
        page_of(name),
        """
  for (const closed of every("details")) closed.open = true;
  await wait();
  const wide = every("body *").filter((element) => element.getBoundingClientRect().right > 391);
  const loose = wide.filter((element) => !element.closest(".box, #matrix-box, .panels, pre"));
  return [page.documentElement.scrollWidth, loose.map((element) => element.outerHTML)];""",
        width=390,
    )
    assert found == [390, []]


def test_headers_stay_visible(worked: Work) -> None:
    found = worked(
        html.page(audits.large(engines=14, cases=38, values=1, replicates=1)),
        """
  const box = one("#matrix-box"), head = one("#matrix thead").rows[0];
  const row = one("#matrix tbody").rows[30];
  box.scrollTop = 500; box.scrollLeft = 300; await wait();
  const edge = box.getBoundingClientRect();
  return [head.cells[9].getBoundingClientRect().top - edge.top,
          row.cells[0].getBoundingClientRect().left - edge.left, box.scrollTop, box.scrollLeft];""",
        width=600,
    )
    assert found[0] == pytest.approx(1, abs=1.5)
    assert found[1] == pytest.approx(1, abs=1.5)
    assert min(found[2:]) > 100


def test_without_scripts_only_figures_and_details_are_missing(
    page_of: PageOf, browse: Browse, tmp_path: Path
) -> None:
    bare = re.sub(r"<script>.*?</script>", "", page_of("everything"), flags=re.DOTALL)
    printed, said = browse(saved(tmp_path / "page.html", bare), "--dump-dom")
    assert said == []
    page = Page(printed)
    assert [a for a in page.all("form") if "hidden" in a]
    assert len([a for a in page.all("td") if "data-engine" in a]) == 12
    assert page.text().count("a browser must run the page's script") == 2


def test_details_are_unpacked_when_opened_and_each_value_has_an_address(
    page_of: PageOf, worked: Work
) -> None:
    found = worked(
        page_of("real"),
        """
  const rows = () => every("details.cell[open] table.values tbody tr").filter(seen);
  const before = every("table.values").length;
  one("#sleepstudy--lme4").open = true; await wait(); await wait();
  const link = rows()[1].querySelector("a").hash;
  one("#sleepstudy--lme4").open = false;
  await go("#"); await go(link); await wait();
  return [before, rows().length > 1, seen(page.getElementById(link.slice(1))),
    every("#figures svg").length > 0];""",
    )
    assert found == [0, True, True, True]


def test_the_page_prints(page_of: PageOf, browse: Browse, tmp_path: Path) -> None:
    target = tmp_path / "page.pdf"
    browse(saved(tmp_path / "page.html", page_of("everything")), f"--print-to-pdf={target}")
    assert target.read_bytes().startswith(b"%PDF")
