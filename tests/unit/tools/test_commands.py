import os
import subprocess
import sys

import pytest

from tools import ROOT


@pytest.fixture
def run(tmp_path):
    def run(*arguments, **environment):
        command = [sys.executable, "-m", "tools", *arguments]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("before", [True, False])
def test_the_home_may_stand_before_or_after_the_command(run, tmp_path, before):
    home = ["--home", str(tmp_path)]
    done = run(*home, "status") if before else run("status", *home)

    assert (done.returncode, done.stdout) == (0, "Bazaar has never run here; ./bazaar up starts it\n")


def test_a_home_without_processes_is_an_empty_list(run, tmp_path):
    assert run("status", "--json", "--home", str(tmp_path)).stdout == "[]\n"


def test_down_has_nothing_to_do_where_nothing_runs(run, tmp_path):
    done = run("down", "--home", str(tmp_path))

    assert (done.returncode, done.stdout) == (0, "Bazaar is not running\n")


def test_events_are_moved_where_bazaar_runs(run, tmp_path):
    done = run("migrate-events", "--home", str(tmp_path))

    assert (done.returncode, done.stderr) == (1, "bazaar: Bazaar is not running here; ./bazaar up starts it\n")


def test_a_profile_is_taken_where_bazaar_runs(run, tmp_path):
    done = run("profile", "top10", "--concurrency", "1", "--home", str(tmp_path))

    assert (done.returncode, done.stderr) == (1, "bazaar: Bazaar is not running here; ./bazaar up starts it\n")
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_is_one_plain_sentence(run, tmp_path):
    (tmp_path / "file").write_text("")
    done = run("up", "--detach", "--home", str(tmp_path / "file"))

    assert (done.returncode, done.stderr) == (1, f"bazaar: cannot use {tmp_path}/file as home: File exists ({tmp_path}/file)\n")


@pytest.mark.parametrize("variable", ["BAZAAR_EDGE_PORT", "BAZAAR_EDGE_TLS_PORT"])
def test_a_port_that_is_none_is_one_plain_sentence(run, tmp_path, variable):
    done = run("up", "--detach", "--home", str(tmp_path), **{variable: "no"})

    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"bazaar: {variable} is no port number: no")


@pytest.mark.parametrize(
    ("named", "sentence"),
    [
        ({"BAZAAR_EDGE_CERTIFICATE": __file__}, "BAZAAR_EDGE_CERTIFICATE_KEY names no file"),
        ({"BAZAAR_EDGE_CERTIFICATE": "/none", "BAZAAR_EDGE_CERTIFICATE_KEY": __file__}, "BAZAAR_EDGE_CERTIFICATE names no file: /none"),
    ],
)
def test_a_certificate_without_its_files_is_one_plain_sentence(run, tmp_path, named, sentence):
    done = run("up", "--detach", "--home", str(tmp_path), **named)

    assert (done.returncode, done.stderr.splitlines()[-1]) == (1, f"bazaar: {sentence}; a certificate and its key go together")


def test_an_unknown_log_names_those_there_are(run, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "envoy.log").write_text("a line\n")
    done = run("logs", "nothing", "--home", str(tmp_path))

    assert (done.returncode, done.stderr) == (1, "bazaar: there is no log of nothing; there are: envoy\n")


def test_a_log_is_shown_by_name(run, tmp_path):
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "envoy.log").write_text("a line\n")

    assert run("logs", "envoy", "--home", str(tmp_path)).stdout == "a line\n"


@pytest.mark.parametrize("package", ["pytest", "hypothesis", "pulsar"])
def test_the_commands_need_no_package_that_only_tests_or_another_bus_have(package: str):
    code = f"import sys; sys.modules[{package!r}] = None; import tools.__main__"

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60)
