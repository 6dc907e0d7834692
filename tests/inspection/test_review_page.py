"""The review page in a real browser: click, type, filter, download, apply."""

import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from review_pages import AWKWARD, CLASSES, FORMULAS, awkward_result

from keras_practical.inspection.reviewing import review

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,900",
)

pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver (Debian's packages)"
)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    downloads = tmp_path_factory.mktemp("downloads")
    profile = tmp_path_factory.mktemp("profile")
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.downloads = downloads
    yield driver
    driver.quit()


@pytest.fixture
def page(browser, tmp_path):
    """Open a page of awkward names, with nothing decided yet."""
    result = awkward_result(AWKWARD + FORMULAS)
    file = review(result, tmp_path / "review page.html", verbose=False)
    browser.get(file.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    yield SimpleNamespace(browser=browser, result=result, file=file)
    # Whatever the policy forbids, and whatever fails, is in the browser's log.
    assert browser.get_log("browser") == []


def find(page, selector):
    return page.browser.find_elements("css selector", selector)


def click(page, number, decision):
    find(page, f"#card-{number} [data-decision={decision}]")[0].click()


def press(page, *keys):
    for key in keys:
        page.browser.switch_to.active_element.send_keys(key)


def visible(page):
    script = (
        "return [...document.querySelectorAll('#cards > li:not([hidden]) article')].map(a => a.id)"
    )
    return [int(name.removeprefix("card-")) for name in page.browser.execute_script(script)]


def focused(page):
    return page.browser.switch_to.active_element.get_attribute("id")


def progress(page):
    return find(page, "#progress-text")[0].text


def choose(page, selector, value):
    options = find(page, f"{selector} option")
    next(option for option in options if option.get_attribute("value") == value).click()


def download(page):
    file = page.browser.downloads / "decisions.csv"
    file.unlink(missing_ok=True)
    find(page, "#download")[0].click()
    deadline = time.monotonic() + 20
    while not (file.is_file() and file.stat().st_size):
        assert time.monotonic() < deadline, "nothing was downloaded"
        time.sleep(0.05)
    return file


def test_decisions_by_click_and_key_reach_the_index(page):
    names = [record.name for record in page.result.index]
    assert len(visible(page)) == len(names)
    assert progress(page) == f"0 of {len(names)} decided"
    assert not find(page, "#download")[0].is_enabled()
    click(page, 0, "delete")
    click(page, 1, "relabel")
    choose(page, "#card-2 select", CLASSES[2])
    find(page, "#card-3")[0].click()
    press(page, "j", "1", "3")
    # Keep moved on to the next card, which was deleted.
    for number in range(7, len(names)):
        click(page, number, "relabel")
    assert progress(page) == f"{len(names) - 2} of {len(names)} decided"
    before = [record.label for record in page.result.index]
    after = page.result.apply(download(page))
    expected = {names[number]: before[number] for number in (3, 4, 6)}
    expected |= {names[1]: 2, names[2]: 2}
    expected |= {names[number]: 1 if before[number] == 0 else 0 for number in range(7, len(names))}
    assert {record.name: record.label for record in after} == expected


def test_no_name_becomes_markup_script_or_template(page):
    assert page.browser.title == "Images to review"
    assert [element.text for element in find(page, "#card-1 .name")] == [
        "photos/<script>document.title='owned'</script>.jpg"
    ]
    assert find(page, "#cards script, #cards i, #cards b b") == []
    assert "{{ 7 * 7 }}" in find(page, "#card-5 .name")[0].text
    assert "<i>not markup</i>" in find(page, "#card-0 .findings")[0].text
    # Text that runs from right to left stays within its own element.
    assert find(page, "#card-4 .name bdi")


def test_the_page_can_load_and_send_nothing(page):
    blocked = page.browser.execute_async_script(
        """
        const done = arguments[0], seen = [];
        document.addEventListener("securitypolicyviolation",
          (event) => seen.push(event.effectiveDirective));
        const image = new Image(); image.src = "http://127.0.0.1:9/x.png";
        const script = document.createElement("script"); script.text = "window.ran = 1";
        document.body.append(script);
        fetch("http://127.0.0.1:9/").catch(() => {});
        setTimeout(() => done([seen.sort(), window.ran ?? null]), 300);
        """
    )
    assert blocked == [["connect-src", "img-src", "script-src-elem"], None]
    page.browser.get_log("browser")


def test_pictures_are_drawn_and_what_is_missing_is_said(page):
    drawn = page.browser.execute_script(
        "return [...document.querySelectorAll('#card-2 img')].map(i => [i.naturalWidth, i.alt])"
    )
    assert drawn == [[60, AWKWARD[2]], [60, AWKWARD[0]]]
    assert find(page, "#card-3 .missing")[0].text == "can't be shown"


def test_filters_narrow_what_is_shown_and_forget_no_decision(page):
    click(page, 0, "keep")
    choose(page, "#filter-finding", "label error")
    odd = list(range(1, len(AWKWARD + FORMULAS), 2))
    assert visible(page) == odd
    assert find(page, "#shown")[0].text == f"{len(odd)} shown"
    choose(page, "#filter-finding", "blurred")
    assert visible(page) == [0]
    choose(page, "#filter-finding", "")
    choose(page, "#filter-class", CLASSES[1])
    assert visible(page) == odd
    choose(page, "#filter-class", "")
    choose(page, "#filter-decision", "keep")
    assert visible(page) == [0]
    choose(page, "#filter-decision", "none")
    assert 0 not in visible(page)
    find(page, "#filter-text")[0].send_keys("COMMA semi")
    assert visible(page) == [3]
    find(page, "#filter-text")[0].send_keys(" nowhere")
    assert visible(page) == []
    assert find(page, "#nothing")[0].is_displayed()
    assert progress(page).startswith("1 of")


def test_keys_move_decide_and_take_back(page):
    from selenium.webdriver.common.keys import Keys

    press(page, "j")
    assert focused(page) == "card-0"
    press(page, Keys.ARROW_RIGHT, "j", "k")
    assert focused(page) == "card-1"
    press(page, "2")
    assert focused(page) == "card-2"
    press(page, "3", "k", "0")
    assert progress(page).startswith("1 of")
    assert focused(page) == "card-2"
    # Down and up go by a row, whatever its width.
    press(page, Keys.HOME, "k", "k", Keys.ARROW_DOWN)
    below = int(focused(page).removeprefix("card-"))
    tops = [find(page, f"#card-{number}")[0].location["y"] for number in (0, below - 1, below)]
    assert tops[0] == tops[1] < tops[2]
    press(page, Keys.ARROW_UP)
    assert focused(page) == "card-0"
    # In a field, keys write.
    press(page, "/")
    assert focused(page) == "filter-text"
    press(page, "j", "1")
    assert find(page, "#filter-text")[0].get_attribute("value") == "j1"
    assert progress(page).startswith("1 of")


def test_one_tab_stop_a_card_and_the_pressed_state_is_told(page):
    click(page, 4, "delete")
    stops = page.browser.execute_script(
        "return [...document.querySelectorAll('.card[tabindex=\"0\"]')].map(c => c.id)"
    )
    assert stops == ["card-4"]
    state = {
        button.get_attribute("data-decision"): button.get_attribute("aria-pressed")
        for button in find(page, "#card-4 button")
    }
    assert state == {"keep": "false", "relabel": "false", "delete": "true"}
    click(page, 4, "delete")
    assert progress(page).startswith("0 of")


def test_decisions_outlive_the_window_but_not_the_findings(page, tmp_path):
    click(page, 1, "relabel")
    page.browser.refresh()
    assert progress(page).startswith("1 of")
    assert find(page, "#card-1.relabel")
    other = review(awkward_result(AWKWARD[:3]), page.file, verbose=False)
    page.browser.get(other.as_uri())
    assert progress(page) == "0 of 3 decided"


def test_a_spoilt_storage_is_passed_over(page):
    key = page.browser.execute_script("return JSON.parse(data.textContent).key")
    for spoilt in ("not json", '{"photos/plain.jpg": {"decision": "burn"}}', "[1]", "null"):
        page.browser.execute_script("localStorage.setItem(arguments[0], arguments[1])", key, spoilt)
        page.browser.refresh()
        assert progress(page).startswith("0 of")
        click(page, 0, "keep")
        assert progress(page).startswith("1 of")


@pytest.mark.parametrize("width", [390, 1200])
def test_nothing_is_wider_than_the_screen(page, width):
    size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
    page.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    page.browser.refresh()
    try:
        assert page.browser.execute_script("return document.documentElement.scrollWidth") <= width
        assert find(page, "#card-0 [data-decision=keep]")[0].size["height"] >= 36
    finally:
        page.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_page_without_findings_says_so(page, tmp_path):
    empty = replace(page.result, items=())
    page.browser.get(review(empty, tmp_path / "empty.html", verbose=False).as_uri())
    assert find(page, "#nothing")[0].text == "There is nothing to review."
