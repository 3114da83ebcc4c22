# SPDX-License-Identifier: MIT
"""Fixtures: one Postfix and one Dovecot a worker, a station of its own for each test."""

import itertools
import os
import signal

import pytest

import boxes as boxes_module
import dovecot as dovecot_module
import fake as fake_module
import idl
import interpose as interpose_module
import pki as pki_module
import postfix as postfix_module
import sink as sink_module
import station as station_module
import users

PROGRAMS = ("emailsecd", "emailsecctl", "emailsec-deliver", "emailsec-mime.so", "emailsec-pem.so")
TEST_SECONDS = 150 * station_module.PATIENCE    # no test may hang
SLOW_SECONDS = 900 * station_module.PATIENCE    # nor one of the slow ones


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes long; only with EMAILSEC_SLOW=1 (make check-slow)")


def pytest_collection_modifyitems(items):
    if os.environ.get("EMAILSEC_SLOW") == "1":
        return
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.skip(reason="slow: make check-slow"))


# ---- what is declared is delivered: over the whole suite, every field, event and word comes at least once ----

# What no test can bring about, or not so that this sees it.
NEVER = {
    *(f"io.emailsec.{one}{field}" for one in ("EmailService.Internal", "Trust.Internal") for field in ("", ".cause")),  # our fault
    # in the moment when the daemon ends
    *(f"io.emailsec.Trust.{one}{field}" for one in ("Busy", "NoDaemon") for field in ("", ".cause")),
    # told to who waits at the socket of a service that does not start: test_service.py asks by the tool
    *(f"io.emailsec.EmailService.NoDaemon{field}" for field in ("", ".cause")),
}


def pytest_testnodedown(node):
    """A worker ends."""
    idl.delivered.update(getattr(node, "workeroutput", {}).get("delivered", ()))


def is_whole(config):
    """True when nothing was left out but what is slow or cannot be had here."""
    return users.IS_ROOT and [os.path.realpath(path) for path in config.args] == [os.path.dirname(os.path.abspath(__file__))] \
        and not any(config.getoption(name, None) for name in ("keyword", "markexpr", "deselect", "ignore", "lf"))


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    config = session.config
    if hasattr(config, "workeroutput"):
        config.workeroutput["delivered"] = sorted(idl.delivered)
        return
    collected = os.environ.get("EMAILSEC_DELIVERED")      # a file, over several runs
    if collected:
        if os.path.exists(collected):
            with open(collected) as source:
                idl.delivered.update(source.read().splitlines())
        with open(collected, "w") as file:
            file.write("\n".join(sorted(idl.delivered)))
    if is_whole(config):        # told beside failures too: these may be its cause, or hide it
        config.never_delivered = sorted(idl.declared() - idl.delivered - NEVER)
        if config.never_delivered and exitstatus == 0:
            session.exitstatus = 1


def pytest_terminal_summary(terminalreporter):
    missing = getattr(terminalreporter.config, "never_delivered", ())
    if missing:
        terminalreporter.section("declared in a .varlink file and never delivered")
        for one in missing:
            terminalreporter.write_line(one)


@pytest.fixture(autouse=True)
def _limit(request):
    seconds = SLOW_SECONDS if request.node.get_closest_marker("slow") else TEST_SECONDS

    def late(*_):
        raise TimeoutError(f"the test took more than {seconds} s")

    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)


@pytest.fixture(scope="session")
def base():
    """The worker's folder."""
    path = users.base_folder()
    yield path
    users.remove(path)


@pytest.fixture(scope="session")
def programs(base):
    """Copies of the programs where every user can reach them."""
    missing = [name for name in PROGRAMS if not os.path.exists(station_module.program(name))]
    if missing:
        pytest.fail(f"not built: {', '.join(missing)} in {station_module.BUILD} (run make)", pytrace=False)
    folder = os.path.join(base, "bin")
    os.mkdir(folder, 0o755)
    return {name: station_module.program(name, folder) for name in PROGRAMS}


@pytest.fixture(scope="session")
def certificates():
    return pki_module.Pki()


@pytest.fixture(scope="session")
def dovecot(base, certificates):
    server = dovecot_module.Dovecot(base, certificates)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def post(base, certificates, dovecot):
    """The outgoing server: Postfix as root, else our own in its place; both deliver into Dovecot."""
    if users.IS_ROOT:
        server = postfix_module.Postfix(base, certificates, dovecot)
    else:
        server = sink_module.SinkPost(base, certificates, dovecot)
    yield server
    server.stop()


_numbers = itertools.count(1)


@pytest.fixture
def folder(base):
    """A folder of this test, passable for every user."""
    path = os.path.join(base, f"t{next(_numbers)}")
    os.mkdir(path, 0o755)
    yield path
    users.remove(path)


@pytest.fixture
def box():
    """A mailbox name that no other test of the worker uses."""
    return f"box-{next(_numbers)}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item):
    """A failed test shows the journal of its stations."""
    report = (yield).get_result()
    if report.failed:
        for one in getattr(item, "stations", []):
            report.sections.append((f"journal of {one.folder}", one.log()[-6000:]))


@pytest.fixture
def new_station(request, folder, programs, certificates):
    """Makes stations, not yet started; they trust the system's root."""
    made = request.node.stations = []

    def make(settings=None, system_trust=None, name=None):
        trust = certificates.system.pem if system_trust is None else system_trust
        made.append(station_module.Station(folder, programs, trust, settings, name or f"s{len(made)}"))
        return made[-1]

    yield make
    problems = []
    for one in made:
        try:
            one.end()
        except AssertionError as error:
            problems.append(str(error))
    assert not problems, "\n".join(problems)


@pytest.fixture
def station(new_station):
    return new_station().start()


@pytest.fixture
def interposed(new_station):
    """A station, not yet started, whose system calls can be made to fail."""
    return interpose_module.Interposed(new_station())


@pytest.fixture
def new_sink(folder):
    """Makes strict SMTP servers; a violation of the protocol fails the test."""
    made = []

    def make(*args, **options):
        made.append(sink_module.Sink(folder, *args, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
    violations = [violation for one in made for violation in one.violations]
    assert not violations, "\n".join(violations)


@pytest.fixture
def sink(new_sink):
    """One in clear text, without login."""
    return new_sink()


@pytest.fixture
def new_fake(folder):
    """Makes hostile servers."""
    made = []

    def make(transport, mode, *args, **options):
        made.append(fake_module.Fake(transport, mode, folder, *args, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture
def new_box():
    """Makes mailboxes of our own, IMAP or POP3."""
    made = []

    def make(*args, **options):
        made.append(boxes_module.Mailbox(*args, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()
