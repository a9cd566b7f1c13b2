from typing import NamedTuple

import pytest

from rootless.errors import HostLacks, InvalidRequest
from rootless.network.backend import NetworkRequest
from rootless.network.choice import pick_backend, split_mode
from rootless.network.ports import PortMapping


class Facts(NamedTuple):
    pasta: str | None = None
    slirp4netns: str | None = None
    pasta_publishes: bool = True
    network_loss: str = ""
    pasta_slowness: str | None = None


def test_the_first_helper_that_works_is_the_default():
    assert pick_backend("private", Facts("/usr/bin/pasta", "/usr/bin/slirp4netns")).name == "pasta"
    assert pick_backend("private", Facts(slirp4netns="/usr/bin/slirp4netns")).name == "slirp4netns"
    assert pick_backend("private", Facts()).name == "none"


def test_a_slow_helper_is_better_than_none_and_worse_than_a_fast_one():
    slow = Facts("/usr/bin/pasta", "/usr/bin/slirp4netns", pasta_slowness="9 of 64 MiB in 1.5 s")
    assert pick_backend("private", slow).name == "slirp4netns"
    assert pick_backend("private", slow._replace(slirp4netns=None)).name == "pasta"
    assert pick_backend("pasta", slow).name == "pasta"


def test_without_network_namespaces_the_default_is_the_hosts_network_and_nothing_else():
    facts = Facts("/usr/bin/pasta", "/usr/bin/slirp4netns", network_loss="No space left on device")
    assert pick_backend("private", facts).name == "host"
    for mode in ("none", "pasta", "slirp4netns"):
        with pytest.raises(HostLacks, match=f"--network {mode} cannot be enforced"):
            pick_backend(mode, facts)


@pytest.mark.parametrize("mode", ["pasta", "slirp4netns"])
def test_a_helper_that_was_asked_for_is_not_replaced(mode):
    with pytest.raises(HostLacks, match=mode):
        pick_backend(mode, Facts())


def test_an_unknown_mode_is_refused():
    with pytest.raises(InvalidRequest):
        pick_backend("carrier-pigeon", Facts())


def test_options_stand_behind_the_mode():
    assert split_mode("") == ("private", ())
    assert split_mode("pasta:-T,5000") == ("pasta", ("-T", "5000"))


def test_no_network_cannot_publish_ports():
    with pytest.raises(InvalidRequest):
        pick_backend("none", Facts()).addresses(NetworkRequest(ports=(PortMapping("", 80, 80),)))
