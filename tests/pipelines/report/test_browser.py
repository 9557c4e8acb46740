"""The page in a real browser. Without a Chromium (DSEG_CHROMIUM, or on the path) it is skipped."""

import pytest
from browser import browser, chromium

WIDTHS = (1280, 390, 320)

# Contrast of each text with what is behind it, by WCAG 2.2: the lowest ratio, and where it is.
CONTRAST = """(() => {
  const parse = c => { const n = c.match(/[\\d.]+/g).map(Number);
    return n.length > 3 ? n : [...n, 1] };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3]));
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v / 12.92
    : ((v + 0.055) / 1.055) ** 2.4); return 0.2126 * r + 0.7152 * g + 0.0722 * b };
  const behind = e => { if (!e) return [255, 255, 255];
    return over(parse(getComputedStyle(e).backgroundColor), behind(e.parentElement)) };
  let worst = [99, ''];
  for (const e of document.querySelectorAll('body *')) {
    if (![...e.childNodes].some(n => n.nodeType == 3 && n.textContent.trim())) continue;
    if (!e.checkVisibility() || !e.getClientRects().length) continue;
    const style = getComputedStyle(e);
    const ink = e.closest('svg') ? style.fill : style.color, back = behind(e);
    const [a, b] = [light(over(parse(ink), back)), light(back)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 200)];
  }
  return worst })()"""

FOCUSED = """(() => { const e = document.activeElement, s = getComputedStyle(e);
  return [e.tagName, s.outlineStyle, parseFloat(s.outlineWidth)] })()"""


@pytest.fixture(scope="module")
def chrome(tmp_path_factory):
    program = chromium()
    if program is None:
        pytest.skip("no Chromium found: install one, or name it in DSEG_CHROMIUM")
    with browser(program, tmp_path_factory.mktemp("profile") / "profile") as running:
        yield running


@pytest.mark.parametrize("dark", [False, True])
def test_it_is_quiet_fits_and_can_be_read(chrome, made, dark):
    """No error, no request, nothing wider than the window, text of enough contrast."""
    for width in WIDTHS:
        chrome.open(made.page, width, dark=dark)
        assert chrome.value("document.documentElement.scrollWidth") <= width
        asked = [e["request"]["url"] for e in chrome.told("Network.requestWillBeSent")]
        assert [url for url in asked if not url.startswith("data:")] == [
            made.page.resolve().as_uri()
        ]
        kinds = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
        assert chrome.told(*kinds, "Page.javascriptDialogOpening") == []
        assert chrome.value("[...document.images].every(i => i.complete && i.naturalWidth > 0)")
        ratio, where = chrome.value(CONTRAST)
        assert ratio >= 4.5, where


def test_every_part_is_reached_by_keyboard_and_focus_is_seen(chrome, made):
    chrome.open(made.page, 390)
    wanted = chrome.value(
        "[...document.querySelectorAll('a, summary, [tabindex=\"0\"]')]"
        ".filter(e => e.checkVisibility()).length"
    )
    seen = []
    for _ in range(wanted):
        chrome.press_tab()
        seen.append(chrome.value(FOCUSED))
    assert {name for name, _, _ in seen} == {"A", "DIV", "SUMMARY"}
    assert all(style == "solid" and size >= 2 for _, style, size in seen), seen


def test_a_screen_reader_is_told_of_every_picture_and_table(chrome, made):
    chrome.open(made.page, 1280)
    nodes = chrome("Accessibility.getFullAXTree")["nodes"]
    told = [
        (node["role"]["value"], node.get("name", {}).get("value", ""))
        for node in nodes
        if not node["ignored"]
    ]
    for role in ("image", "table", "heading", "region", "navigation", "main"):
        names = [name for found, name in told if found == role]
        assert names, role
        assert role == "main" or all(names), role
    assert "IoU of each class on held-out images" in [n for r, n in told if r == "table"]
