"""The status page in headless Chromium, clicked through in each state: asleep, a cold start, a burst, a
start that fails, a rollout, a thousand revisions, a connection that is lost, a hidden page.  SCREENS=FOLDER in the
environment keeps pictures of each state, at 1440 and 390 pixels, light and dark.  AXE=axe.min.js, of the package
axe-core from npm, has it look at each of them."""
import contextlib
import os
import sys
import threading

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "system")]
from browser import CHROMIUM, Browser  # noqa: E402
from helpers import HELLO, WAIT_S, cpu_s, stat_fields, wait_until  # noqa: E402
from stack import Gate, running  # noqa: E402
from test_ctl import ctl  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

EVIL = "<img src=x onerror=alert(1)>"
SERVICES = """
service "shop" { hosts = {"shop", "www.shop"} owner = "web-team"
    traffic "v1" { percent = 90 }
    traffic "v2" { percent = 10 tag = "next" }
    revision "v1" { command = {"HELLO"} }
    revision "v2" { command = {"HELLO"} } }
service "slow" { hosts = {"slow"} max_scale = 3 container_concurrency = 1
    revision "v1" { %s } }
service "broken" { hosts = {"broken"} revision "v1" { command = {"%s"} } }
"""
ROW = "[...document.querySelectorAll('#rows > tr:not(.detail)')].find(t => t.querySelector('.open').innerText === '%s')"


@pytest.fixture(scope="module")
def browser():
    with Browser() as b:
        yield b


def services(gate):
    return SERVICES % (gate.command(), EVIL)


def open_page(b, s, path=""):
    b.open("about:blank")  # the page of the last test complains, as its server is gone
    b.pump(0.2)
    b.events.clear()
    b.resize(1440)
    b.open("http://127.0.0.1:%d/%s" % (s.scaler_admin, path))
    b.until("document.querySelector('#link').dataset.state === 'live'")


def audit(b, name):
    """axe-core finds nothing.  Its script comes by the debugger, which no policy of the page binds."""
    with open(os.environ["AXE"]) as f:
        b.run(f.read() + "; 0")
    found = b.run("axe.run().then(r => ({bad: r.violations.map(v => [v.id, v.nodes.map(n => n.html)]),"
                  " good: r.passes.length}))")
    print("axe-core: %s: %d rules hold, %d do not" % (name, found["good"], len(found["bad"])))
    assert not found["bad"], (name, found["bad"])
    assert found["good"] > 20


def screens(b, name):
    """At 1440 and 390 pixels, light and dark: keep a picture, and let axe-core look at it."""
    folder = os.environ.get("SCREENS")
    if not folder and "AXE" not in os.environ:
        return
    for width in (1440, 390):
        for is_dark in (False, True):
            b.resize(width, 900, is_dark)
            what = "%s-%d%s" % (name, width, "-dark" if is_dark else "")
            if folder:
                os.makedirs(folder, exist_ok=True)
                b.screenshot("%s/%s.png" % (folder, what), True)
            if "AXE" in os.environ:
                audit(b, what)
    b.resize(1440)


def cell(b, name, column):
    return b.run("(%s)?.querySelector('.c-%s')?.innerText.trim() ?? ''" % (ROW % name, column))


def until_cell(b, name, column, text):
    b.until("(%s)?.querySelector('.c-%s').innerText.includes('%s')" % (ROW % name, column, text))


def click_row(b, name):
    b.run("(%s).id = 'the-row'" % (ROW % name))
    b.click("#the-row .open")
    b.run("document.getElementById('the-row').removeAttribute('id')")


def check_quiet(b):
    """Nothing was refused by the policy, no script has failed, no text became an element, and nothing
    is wider than the window."""
    assert b.complaints() == []
    assert b.run("document.images.length") == 0
    assert not any(e.get("method") == "Page.javascriptDialogOpening" for e in b.events)
    for width in (1440, 390, 320):
        b.resize(width)
        wide = b.run("""document.documentElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")]
            .filter(e => e.getBoundingClientRect().right > innerWidth).map(e => e.outerHTML.slice(0, 120))""")
        assert wide == [], width
    b.resize(1440)


class Load:
    """Clients that ask again and again within the with block."""

    def __init__(self, s, host, n=1, path="/"):
        self.is_over = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(s, host, path)) for _ in range(n)]

    def ask(self, s, host, path):
        while not self.is_over.is_set():
            s.get(host, path)
            self.is_over.wait(0.05)

    def __enter__(self):
        for t in self.threads:
            t.start()

    def __exit__(self, *_):
        self.is_over.set()
        for t in self.threads:
            t.join(WAIT_S)


def page_s(b):
    """Seconds of processor time that the browser's processes of pages have used."""
    parents, pages = {}, []
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with contextlib.suppress(OSError):
            parents[pid] = int(stat_fields("/proc/%d/stat" % pid)[1])
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if b"--type=renderer" in f.read():
                    pages.append(pid)

    def is_ours(pid):
        return pid == b.process.pid or pid in parents and is_ours(parents[pid])

    return sum(cpu_s(pid) for pid in pages if is_ours(pid))


def ask_in_background(s, host, n, answers=None):
    def ask():
        status = s.get(host)[0]
        if answers is not None:
            answers.append(status)

    threads = [threading.Thread(target=ask) for _ in range(n)]
    for t in threads:
        t.start()
    return threads


def test_asleep_cold_start_and_burst(browser, tmp_path):
    b, gate = browser, Gate(tmp_path)
    with running(tmp_path, services(gate), autoscaler="instance_hour_price = 0.05") as s:
        open_page(b, s)
        assert b.run("location.pathname") == "/ui"  # "/" has sent the browser there
        for name in ("shop/v1", "shop/v2", "slow/v1", "broken/v1"):
            until_cell(b, name, "state", "asleep")
        assert cell(b, "shop/v2", "traffic") == "10%next"
        screens(b, "asleep")
        # a cold start, held by the gate
        answers = []
        threads = ask_in_background(s, "slow", 6, answers)
        until_cell(b, "slow/v1", "state", "starting")
        until_cell(b, "slow/v1", "parked", "6")
        b.until("document.querySelector('#cold-list .waiting')?.innerText.includes('6 parked')")
        b.until("document.querySelector('#total-parked').innerText === '6'")
        b.until("document.querySelector('#decision-list').innerText.includes('slow/v1')")
        click_row(b, "slow/v1")
        b.until("document.querySelector('.detail')?.innerText.includes('starting')")
        screens(b, "cold-start")
        gate.open()
        for t in threads:
            t.join(WAIT_S)
        assert answers == [200] * 6
        # what came of it: the bar has its phases, and says them
        b.until("document.querySelector('#cold-list .bar .p-connect')")
        label = b.run("document.querySelector('#cold-list [role=img]').getAttribute('aria-label')")
        assert "program " in label and "answer " in label
        b.until("document.querySelectorAll('.detail .cold li').length === 1")
        screens(b, "after-cold-start")
        assert b.run("document.querySelectorAll('tr.detail').length") == 1
        click_row(b, "slow/v1")
        assert b.run("document.querySelectorAll('tr.detail').length") == 0
        # a burst
        with Load(s, "slow", 8, "/?ms=200"):
            until_cell(b, "slow/v1", "state", "awake")
            b.until("+document.querySelector('#total-flight').innerText > 0")
            b.until("+(%s).querySelector('.c-instances').innerText.split(' ')[0] > 1" % (ROW % "slow/v1"))
            b.until("document.querySelector('#graph-line').getAttribute('d')")
            screens(b, "burst")
        check_quiet(b)
        b.until("document.querySelector('#usage-rows tr')")
        until_cell(b, "slow/v1", "state", "asleep")


def test_a_start_that_fails(browser, tmp_path):
    b, gate = browser, Gate(tmp_path)
    with running(tmp_path, services(gate)) as s:
        open_page(b, s)
        with Load(s, "broken"):
            b.until("document.querySelector('#attention').innerText.includes('%s')" % EVIL)
            b.until("document.title.startsWith('(1) ')")
            b.until("document.querySelector('#live').textContent.includes('broken/v1')")  # said aloud
            # the entry comes and goes with each attempt
            b.until("(e => e && (e.click(), true))(document.querySelector('#attention .open'))")
            b.until("document.querySelector('.detail')?.innerText.includes('broken')")
            assert b.run("location.hash") == "#broken%2Fv1"
            b.until("document.querySelector('#attention').innerText.includes('%s')" % EVIL)
            screens(b, "failing")
        check_quiet(b)


def test_an_owner_at_its_limit(browser, tmp_path):
    b, gate = browser, Gate(tmp_path)
    with running(tmp_path, 'owner "web-team" { max_instances = 1 }\n' + services(gate).replace(
            '"slow" {', '"slow" { owner = "web-team"')) as s:
        open_page(b, s)
        b.until("document.querySelector('#owner-list')?.innerText.includes('0 of at most 1 instances')")
        threads = ask_in_background(s, "slow", 4)
        b.until("document.querySelector('#owner-list').innerText.includes('1 of at most 1 instances')")
        b.until("document.querySelector('#owner-list .full')?.innerText.includes('are wanted')")
        screens(b, "owner")
        b.run("document.querySelector('#owner-list .open').click()")
        assert b.run("document.querySelector('#search').value") == "web-team"
        b.until("document.querySelectorAll('#rows > tr:not(.detail)').length === 3")
        gate.open()
        for t in threads:
            t.join(WAIT_S)
        check_quiet(b)


def test_a_rollout(browser, tmp_path):
    b, gate = browser, Gate(tmp_path)
    with running(tmp_path, services(gate)) as s:
        open_page(b, s)
        assert ctl(s, "deploy", "app", "--host", "app", "--", HELLO).status == 0
        until_cell(b, "app/app-00001", "traffic", "100%")
        assert ctl(s, "deploy", "app", "--no-traffic", "--", HELLO, "--response", "5ms").status == 0
        assert b.run("document.querySelector('#rollouts').hidden")
        done = ctl(s, "rollout", "app", "--over", "30m", "--steps", "20,60,100", "--no-wait")
        assert done.status == 0, done
        b.until("document.querySelector('#rollout-list')?.innerText.includes('app/app-00002')")
        b.until("document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow') === '20'")
        until_cell(b, "app/app-00002", "traffic", "20%")
        assert s.get("app")[0] == 200
        screens(b, "rollout")
        check_quiet(b)
        assert ctl(s, "rollout", "abort", "app").status == 0
        b.until("document.querySelector('#rollouts').hidden")
        b.until("document.querySelector('#attention-list').innerText.includes('the rollout went back at 20%')")
        assert ctl(s, "delete", "app").status == 0
        b.until("!(%s)" % (ROW % "app/app-00002"))


def test_a_thousand_revisions(browser, tmp_path):
    b, n = browser, 1000
    many = SERVICES % (Gate(tmp_path).command(), EVIL) + "".join(
        'service "tenant-%04d" { hosts = {"t%d.example"} revision "v1" { command = {"HELLO"} } }\n' % (i, i)
        for i in range(n))
    with running(tmp_path, many) as s:
        open_page(b, s)
        total = "1,004"
        b.until("document.querySelector('#count').innerText === '%s revisions'" % total)
        assert b.run("document.querySelectorAll('#rows > tr').length") == 200
        b.click("#more")
        b.until("document.querySelectorAll('#rows > tr').length === 400")
        # the keyboard alone: / searches, Tab and Enter open, Escape clears
        b.run("document.activeElement.blur()")
        b.key("/")
        assert b.run("document.activeElement.id") == "search"
        b.type("t777.exa")
        b.until("document.querySelector('#count').innerText === '1 of %s'" % total)
        assert cell(b, "tenant-0777/v1", "state") == "asleep"
        b.until("document.querySelector('#live').innerText.includes('1 of %s')" % total)
        for _ in range(40):
            b.key("Tab")
            if b.run("document.activeElement.closest('#rows') !== null"):
                break
        assert b.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
        b.key("Enter")
        b.until("document.querySelector('.detail')?.innerText.includes('t777.example')")
        b.key("Escape")
        b.until("document.querySelector('#count').innerText === '%s revisions'" % total)
        # sorted by load, the one that is busy comes first
        b.click("#head-instances .sort")
        assert b.run("document.querySelector('#head-instances').getAttribute('aria-sort')") == "descending"
        with Load(s, "t900.example"):
            b.until("document.querySelector('#rows .open').innerText === 'tenant-0900/v1'")
        b.click("#head-instances .sort")
        assert b.run("document.querySelector('#head-instances').getAttribute('aria-sort')") == "ascending"
        b.click("#head-name .sort")
        # a link of its own leads to a revision
        open_page(b, s, "ui#tenant-0555%2Fv1")
        b.until("document.querySelector('.detail')?.innerText.includes('t555.example')")
        screens(b, "thousand")
        check_quiet(b)
        with contextlib.ExitStack() as stack:
            for i in range(10):
                stack.enter_context(Load(s, "t%d.example" % i))
            b.pump(3)
            before, page = cpu_s(s.autoscaler.pid), page_s(b)
            b.pump(5)
            print("with ten of them busy, the autoscaler uses %.1f %% of a core, and the page %.1f %%" % (
                (cpu_s(s.autoscaler.pid) - before) * 20, (page_s(b) - page) * 20))


def test_a_connection_that_is_lost(browser, tmp_path):
    b = browser
    with running(tmp_path, services(Gate(tmp_path))) as s:
        open_page(b, s)
        until_cell(b, "shop/v1", "state", "asleep")
        s.autoscaler.kill()
        b.until("document.querySelector('#link').dataset.state === 'lost'")
        s.edit('service "shop"', 'service "store"')
        s.start_autoscaler()
        b.until("document.querySelector('#link').dataset.state === 'live'")
        b.until("(%s) && !(%s)" % (ROW % "store/v1", ROW % "shop/v1"))


def hide(b, is_hidden):
    b.run("Object.defineProperty(document, 'hidden', {configurable: true, get: () => %s})"
          % ("true" if is_hidden else "false"))
    b.run("document.dispatchEvent(new Event('visibilitychange'))")


def test_a_hidden_page_gives_its_connection_back(browser, tmp_path):
    gate = Gate(tmp_path)
    with running(tmp_path, services(gate)) as s:
        def watchers():
            return s.metrics(s.scaler_admin)["autoscaler_status_page_watchers"]

        b = browser
        open_page(b, s)
        b.until("document.querySelector('#link').dataset.state === 'live'")
        hide(b, True)
        assert b.run("isAway") is False
        b.run("leave()")  # as AWAY_MS later
        wait_until(lambda: watchers() == 0, what="the stream to end")
        b.run("connect()")  # as a retry that was under way
        assert b.run("source === null")
        hide(b, False)
        b.until("document.querySelector('#link').dataset.state === 'live'")
        wait_until(lambda: watchers() == 1, what="the stream to come back")


def test_assistive_technology(browser, tmp_path):
    """Chromium's own accessibility tree: landmarks, names of all controls, heads of tables."""
    b = browser
    with running(tmp_path, services(Gate(tmp_path))) as s:
        open_page(b, s)
        until_cell(b, "shop/v1", "state", "asleep")
        for is_open in (False, True):
            if is_open:
                click_row(b, "shop/v1")
                b.until("document.querySelector('.detail .facts')")
            nodes = [n for n in b.call("Accessibility.getFullAXTree")["nodes"] if not n.get("ignored")]
            names = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes]
            roles = [role for role, _ in names]
            for landmark in ("banner", "main", "navigation", "contentinfo", "search"):
                assert roles.count(landmark) == 1, landmark
            assert roles.count("columnheader") >= 9 and roles.count("rowheader") >= 4
            assert "status" in roles and "table" in roles
            for role, name in names:
                if role in ("button", "link", "searchbox", "table", "image", "progressbar"):
                    assert name.strip(), (role, names)
        assert b.run("document.documentElement.lang") == "en"
        assert b.run("document.querySelectorAll('h1').length") == 1
        check_quiet(b)
