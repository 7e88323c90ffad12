"""The activator's side of the link: what it does with an autoscaler that it cannot use."""
import time

import pytest

from fakes.scripted import Scripted
from helpers import WAIT_S, wait_until
from stack import Stack

HELLOS = 6      # refused, one after another
SIXTH_S = 0.16  # the delay before the seventh: 10 ms, doubled five times, and half of it


@pytest.fixture
def autoscaler(tmp_path):
    with Scripted(str(tmp_path / "s"), WAIT_S) as a:
        yield a


@pytest.fixture
def stack(tmp_path, autoscaler):
    s = Stack(tmp_path, "")
    s.start_activator()
    yield s
    s.stop()


def test_an_autoscaler_of_another_protocol_is_asked_less_and_less_often(stack, autoscaler):
    for _ in range(HELLOS):
        autoscaler.refuse_link(protocol=2)
    since = time.monotonic()
    autoscaler.refuse_link(protocol=2)
    assert time.monotonic() - since >= SIXTH_S
    assert stack.activator.text().count('msg="cannot connect to the autoscaler"') == 1
    autoscaler.accept_link("s", ["s.x"], "s/v1")
    wait_until(lambda: stack.readyz() == 200, what="/readyz")


def test_services_that_cannot_be_taken_are_not_asked_for_again_and_again(stack, autoscaler):
    def offer():
        autoscaler.accept_link("s", ["s.x"], "s/v1", services=2)  # and sends one
        autoscaler.wait_for_end()

    for _ in range(HELLOS):
        offer()
    since = time.monotonic()
    offer()
    assert time.monotonic() - since >= SIXTH_S
