"""The report of a backtest in a real browser: it loads by itself, complains of nothing, and fits any screen in both modes."""
import html.parser
import json
import os
import re
import shutil
import subprocess
import tempfile

import pytest

from chromium import Chromium
from rankd import ROOT, run, shop

SCENARIOS = ["better", "loses", "fades", "wild", "empty"]
VOID = {"meta", "br", "line", "path", "rect", "circle"}

# Contrast (WCAG 2.1) of every text against the nearest background behind it, the worst first.
CONTRAST = """(() => {
  const parse = c => (c.match(/[\\d.]+/g) || []).map(Number);
  const part = v => (v /= 255, v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  const light = c => 0.2126 * part(c[0]) + 0.7152 * part(c[1]) + 0.0722 * part(c[2]);
  const behind = e => { for (; e; e = e.parentElement) {
    const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] > 0.99) return c; }
    return [255, 255, 255]; };
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), seen = new Map();
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement, text = walk.currentNode.nodeValue.trim();
    if (!text || !e.getClientRects().length) continue;
    const svg = e.closest("svg"), c = parse(svg ? getComputedStyle(e).fill : getComputedStyle(e).color);
    const a = light(c), b = light(behind(svg ? svg.parentElement : e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const key = e.tagName + "." + (e.getAttribute("class") || "");
    if (!seen.has(key) || seen.get(key)[0] > ratio) seen.set(key, [ratio, text.slice(0, 40)]);
  }
  return [...seen].map(([k, v]) => [k, ...v]).sort((x, y) => x[1] - y[1]);
})()"""

# Elements that reach beyond the page and do not scroll inside a box of their own.
BEYOND = """[...document.body.querySelectorAll("*")].filter(e => !e.closest(".scroll, pre, svg svg")
  && e.getClientRects().length && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 100))"""


@pytest.fixture(scope="module")
def browser():
    with Chromium() as chromium:
        yield chromium


@pytest.fixture(scope="module")
def reports():
    """reports(scenario): the directory with its report.html and report.json."""
    tool = os.path.join(ROOT, "build", "system", "report_tool")
    made = subprocess.run(["make", "-s", "-C", ROOT, "BUILD=build", "build/system/report_tool"], capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    top, done = tempfile.mkdtemp(prefix="rankd-report-"), {}

    def make(scenario, again=False):
        if scenario not in done or again:
            path = os.path.join(top, scenario + ("-again" if again else ""))
            os.makedirs(path)
            subprocess.run([tool, scenario, path], check=True)
            if again:
                return path
            done[scenario] = path
        return done[scenario]

    yield make
    shutil.rmtree(top, ignore_errors=True)


def page(reports, scenario):
    with open(os.path.join(reports(scenario), "report.html"), encoding="utf-8") as f:
        return f.read()


def figures(reports, scenario):
    with open(os.path.join(reports(scenario), "report.json"), encoding="utf-8") as f:
        return json.load(f)


def look(browser, reports, scenario, width=1200, dark=False):
    browser.open(os.path.join(reports(scenario), "report.html"), width=width, dark=dark)


class Tags(html.parser.HTMLParser):
    """Every tag that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open, self.wrong, self.names = [], [], set()

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        if not self.open or self.open.pop() != tag:
            self.wrong.append((tag, self.getpos()))


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_it_stands_alone(reports, scenario):
    text, tags = page(reports, scenario), Tags()
    tags.feed(text)
    assert tags.wrong == [] and tags.open == []
    assert not tags.names & {"script", "img", "link", "iframe", "object", "embed", "form", "base"}
    assert not re.search(r"https?://|url\(|@import|\ssrc=|\shref=|\sstyle=\"[^\"]*url", re.sub(r"&lt;.*?&gt;", "", text))
    assert "nan" not in re.findall(r"=\"(-?nan|-?inf)", text)


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_it_loads_and_fits(browser, reports, scenario, width, dark):
    look(browser, reports, scenario, width, dark)
    assert browser.complaints() == []
    assert len(browser.requests()) == 1
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run(BEYOND) == []
    assert browser.run("document.images.length + document.scripts.length") == 0
    for key, contrast, text in browser.run(CONTRAST):
        assert contrast >= 4.5, f"{key} ({text}): contrast {contrast:.2f}"


def test_dark_is_dark(browser, reports):
    for dark in (False, True):
        look(browser, reports, "better", dark=dark)
        colour = browser.run("getComputedStyle(document.body).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", colour)[:3])) < 60) == dark


def test_plots_are_drawn(browser, reports):
    models = figures(reports, "better")["models"]
    n = {role: sum(m["role"] == role for m in models) for role in ("baseline", "ablation")}
    for width, shown, hidden in ((1200, "wide", "narrow"), (390, "narrow", "wide")):
        look(browser, reports, "better", width)
        lines = browser.run(f"[...document.querySelectorAll('svg.{shown}')].map(s => [...s.querySelectorAll('path:not(.lead)')]"
                            ".map(p => [p.getBoundingClientRect().width, p.getTotalLength(), getComputedStyle(p).stroke]))")
        assert [len(chart) for chart in lines] == [1 + n["baseline"], 1 + n["ablation"]]
        for chart in lines:
            assert all(drawn > 0.6 * width * (0.75 if width > 600 else 1) and length > 100 for drawn, length, _ in chart)
            assert len({stroke for _, _, stroke in chart}) == len(chart)
        assert browser.run(f"[...document.querySelectorAll('svg.{hidden}')].every(s => s.getClientRects().length === 0)")
        bars = browser.run("[...document.querySelectorAll('svg.bar rect')].map(r => r.getBoundingClientRect().width)")
        assert len(bars) > 20 and max(bars) > 40
        assert browser.run("document.querySelectorAll('svg.square circle').length") == \
            len(models[0]["calibration"]["bins"])
        assert browser.run("document.querySelectorAll('svg.interval').length") == n["baseline"] + n["ablation"]


def test_names_at_lines_do_not_overlap(browser, reports):
    look(browser, reports, "better")
    boxes = browser.run("[...document.querySelectorAll('svg.wide')].map(s => [...s.querySelectorAll('text[text-anchor=start]')]"
                        ".map(t => { const r = t.getBoundingClientRect(); return [r.top, r.bottom, r.right]; }))")
    edge = browser.run("[...document.querySelectorAll('svg.wide')].map(s => s.getBoundingClientRect().right)")
    for chart, right in zip(boxes, edge):
        chart.sort()
        assert len(chart) >= 7
        assert all(above[0] + 11 < below[0] for above, below in zip(chart, chart[1:]))
        assert all(box[2] <= right for box in chart)


@pytest.mark.parametrize("scenario,words,tone", [
    ("better", "rankd is better than every baseline.", "good"),
    ("loses", "rankd loses to vstan.", "bad"),
    ("fades", "but not in every part of the log", "careful"),
    ("empty", "There is nothing to judge", "bad")])
def test_the_verdict_comes_first(browser, reports, scenario, words, tone):
    look(browser, reports, scenario, 390)
    assert words in browser.run("document.querySelector('.lead').textContent")
    assert browser.run("document.querySelector('.verdict').className") == f"verdict {tone}"
    assert browser.run("document.querySelector('.lead').getBoundingClientRect().bottom") < 300
    assert words in figures(reports, scenario)["verdict"]


def test_names_are_text(browser, reports):
    """Whatever an id or a file name holds is shown, not obeyed."""
    look(browser, reports, "wild")
    hostile = "<script>alert('x')</script>&amp;\"><img src=x onerror=alert(1)>"
    assert browser.run("document.querySelector('h1').textContent") == hostile + "/logs"
    assert browser.run("document.title") == "Backtest: " + hostile + "/logs"
    assert browser.run("document.body.textContent.split(`<script>alert('x')</script>`).length") > 15
    assert figures(reports, "wild")["title"] == hostile + "/logs"


def test_page_and_json_say_the_same(browser, reports):
    look(browser, reports, "better")
    told = figures(reports, "better")
    rows = browser.run("[...document.querySelectorAll('[aria-label=models] tbody tr:not(.group):not(.aside)')].map(r =>"
                       " [...r.children].map(c => c.textContent))")
    by_name = {m["name"].removeprefix("rankd without"): m for m in told["models"] if m["role"] != "hindsight"}
    assert len(rows) == len(by_name)
    for row in rows:
        model = by_name[row[0].removeprefix("without")]
        shown = [row[1], *row[6:8], row[8], row[9]]
        meant = [model["ndcg@20"], model["recall@20"], model["mrr@20"], model["warm"]["ndcg@20"], model["cold"]["ndcg@20"]]
        assert shown == [f"{value:.4f}" for value in meant]
    assert rows[0][0] == "rankd"
    for finding in told["findings"]:
        assert finding in browser.run("document.querySelector('.verdict').textContent")


def test_the_report_of_the_command(browser, tmp_path):
    """What `rankd backtest` itself writes, on a small simulated shop."""
    log, out = tmp_path / "shop.jsonl", tmp_path / "report"
    events = shop("--events", "4000", "--users", "400", "--items", "150", "--groups", "8", "--days", "3", "--seed", "5")
    log.write_text("\n".join(events) + "\n")
    done = run("rankd", "backtest", "--log", log, "--report", out, "--every", "2", "--baselines", "popularity", "--quiet", timeout_s=120)
    assert done.returncode == 0, done.stderr
    for width, dark in ((1200, False), (390, True)):
        browser.open(out / "report.html", width=width, dark=dark)
        assert browser.complaints() == [] and len(browser.requests()) == 1
        assert browser.run("document.documentElement.scrollWidth") <= width and browser.run(BEYOND) == []
        assert min(contrast for _, contrast, _ in browser.run(CONTRAST)) >= 4.5
        assert browser.run("document.querySelector('.lead').textContent").startswith("rankd ")
        shown = "wide" if width > 600 else "narrow"
        assert browser.run(f"document.querySelectorAll('svg.{shown} path:not(.lead)').length") == 2
        assert browser.run("document.querySelectorAll('svg.bar').length") > 10


def test_the_same_outcomes_give_the_same_bytes(reports):
    again = reports("better", again=True)
    for name in ("report.html", "report.json"):
        with open(os.path.join(again, name), "rb") as a, open(os.path.join(reports("better"), name), "rb") as b:
            assert a.read() == b.read()
