"""The manual pages and the README name all that the programs have, and nothing else: options,
admin paths, members of JSON objects, messages of the protocol, files."""
import os
import re
import shutil
import subprocess

import pytest

from helpers import BUILD, ROOT, WAIT_S

PAGES = ["activatorctl.1", "activator.8.in", "autoscaler.8.in", "activator.conf.5.in", "activator-protocol.7"]


def read(path):
    with open(os.path.join(ROOT, path)) as f:
        return f.read()


def page(name):
    return read("conf/man/" + name)


def words(text, macro):
    """The words behind a macro of mdoc, as in `.It Va id , name` or `.Va id`."""
    found = set()
    for line in text.splitlines():
        behind = re.match(r"\.(?:It )?%s (.*)" % macro, line)
        if behind:
            found |= set(re.findall(r"(?<!\w)[a-z][a-z0-9_]*", behind[1]))
    return found


def section(text, title):
    return re.search(r"^\.Sh %s\n(.*?)(?=^\.Sh |\Z)" % title, text, re.M | re.S)[1]


def members(*sources):
    """The members of JSON objects that these files write."""
    text = "".join(read(source) for source in sources)
    return set(re.findall(r'(?:jput|put)_\w+\(\s*&?j, "(\w+)"', text)) | set(
        re.findall(r'\bX\("(\w+)", ', text)) | set(
            re.findall(r"\b(?:SUM|MOST)\((\w+)\)$", text, re.M))


def ends():
    """How requests end, as `stats` and /usage have it."""
    return set(re.findall(r'\bX\([A-Z0-9_]+, "(\w+)"\)', read("common/request_counts.h")))


@pytest.mark.parametrize("name", ["activator", "autoscaler"])
def test_every_option_has_its_line(name):
    options = re.findall(r'\{"([a-z-]+)", (?:no|required)_argument, NULL, \'(\w)\'\}',
                         read("common/daemon.c"))
    assert len(options) >= 5
    text = page(name + ".8.in")
    for long, short in options:
        assert re.search(r"^\.It Fl %s , -%s\b" % (short, long), text, re.M), long


def test_every_option_of_the_simulation_is_in_the_synopsis():
    options = re.findall(r'\{"([a-z-]+)", required_argument', read("autoscaler/simulate/simulate.c"))
    assert len(options) >= 5
    text = section(page("autoscaler.8.in"), "SYNOPSIS")
    for option in options:
        assert "Fl -" + option in text


@pytest.mark.parametrize("name", ["activator", "autoscaler"])
def test_every_admin_path_has_its_line(name):
    paths = set(re.findall(r'admin_add_page\([\w>-]+, "([^"]*)"',
                           read("common/admin.c") + read(name + "/control.c") + (
                               read("autoscaler/admin_pages.c") + read("autoscaler/status_feed.c")
                               if name == "autoscaler" else "")))
    if name == "autoscaler":
        paths |= set(re.findall(r'X\(\w+, "([^"]*)"', read("autoscaler/page/assets.c")))
    assert {"/", "/status"} < paths
    text = section(page(name + ".8.in"), "ADMIN ENDPOINT")
    assert set(re.findall(r"^\.It Pa (\S+)$", text, re.M)) == paths


@pytest.mark.parametrize("name, sources, advisers", [
    ("activator", ["activator/status.c", "common/reload.c"], set()),
    ("autoscaler", ["autoscaler/status.c", "autoscaler/status_feed.c", "autoscaler/page/watchers.c",
                    "autoscaler/explain.c", "autoscaler/brain/why.c",
                    "autoscaler/usage/table.c", "autoscaler/usage/amounts.c", "common/reload.c"],
     {"shares", "now_ms", "slow_brain", "keep_warm", "schedule", "service", "owner", "cost_center", "always_peak_s",
      "saved_one_s", "saved_peak_s", "cost", "always_one_cost", "always_peak_cost", "saved_one_cost",
      "saved_peak_cost"} | ends())])
def test_members_of_the_admin_paths(name, sources, advisers):
    named = words(section(page(name + ".8.in"), "ADMIN ENDPOINT"), "Va")
    assert named == members(*sources) | advisers


def test_messages_of_the_protocol():
    text = page("activator-protocol.7")
    types = set(re.findall(r"^\s+X\([A-Z_]+, (\w+)\)", read("common/msg.h"), re.M))
    assert len(types) >= 13
    assert set(re.findall(r"^\.It Ic (\w+)$", text, re.M)) == types
    assert words(text, "Va") - {"type"} == (members("common/msg.c") | ends()) - {"type"}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.skipif(not shutil.which("mandoc"), reason="there is no mandoc")
def test_mandoc_finds_no_mistake(name):
    done = subprocess.run(["mandoc", "-Tlint", "-Wwarning", os.path.join(ROOT, "conf/man", name)],
                          capture_output=True, text=True, timeout=WAIT_S)
    assert done.stdout == ""

def conf_blocks(name):
    """What a reader would paste into a conf file."""
    if name == "README.md":
        blocks = re.findall(r"^```\w*\n(.*?)^```$", read(name), re.M | re.S)
    else:
        blocks = re.findall(r"^\.Bd [^\n]*\n(.*?)^\.Ed", section(page(name), "EXAMPLES"), re.M | re.S)
    return [b for b in blocks if re.match(r"(activator|autoscaler|service\b.*) \{", b)]


@pytest.mark.parametrize("name, least", [("README.md", 4), ("activator.conf.5.in", 3)])
def test_every_example_of_a_conf_file_has_no_mistake(tmp_path, name, least):
    blocks = conf_blocks(name)
    assert len(blocks) >= least
    for block in blocks:
        (tmp_path / "example.conf").write_text(block)
        done = subprocess.run([os.path.join(BUILD, "autoscaler"), "-t", "-c",
                               str(tmp_path / "example.conf")], capture_output=True, text=True,
                              timeout=WAIT_S)
        assert done.returncode == 0, done.stderr + block


# --- the README

def spans(text):
    """Code spans that look like paths of files or folders, but not of what a build makes."""
    return [s for s in re.findall(r"`([^`\n]+)`", text)
            if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", s) and not s.startswith("build/") and
            ("/" in s or re.search(r"\.[a-z]+$", s))]


def the_map():
    return re.search(r"^## The map\n(.*?)^## ", read("README.md"), re.M | re.S)[1]


def test_every_file_of_the_map_is_there():
    """A bare file name is in the folder of the path before it, in the same row."""
    seen = 0
    for row in the_map().splitlines():
        folder = ""
        for span in spans(row):
            path = span if "/" in span else os.path.join(folder, span)
            folder = os.path.dirname(path)
            assert os.path.exists(os.path.join(ROOT, path)), path
            seen += 1
    assert seen > 30


def test_every_room_is_in_the_map_with_what_it_may_include():
    rooms = [line.split() for line in read("test/lint/rooms").splitlines()
             if line.startswith(("activator/", "autoscaler/"))]
    assert len(rooms) >= 8
    for room, *may, _ in rooms:
        row = re.search(r"^\| `%s/` .*$" % room, the_map(), re.M)
        assert row, room
        assert set(s.rstrip("/") for s in spans(row[0])) - {room} == set(may), room


def test_every_other_file_that_the_readme_names_is_there():
    for span in spans(read("README.md").replace(the_map(), "")):
        if span.startswith(("conf/", "test/", "common/", "activator/", "autoscaler/")):
            assert os.path.exists(os.path.join(ROOT, span)), span
