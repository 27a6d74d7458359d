# /// script
# requires-python = ">=3.11"
# dependencies = ["nox[uv]>=2026.10", "uv>=0.13,<0.14"]
# ///
# `pip install nox && nox -s demo` (or `-s tests`) is all the set-up there is: nox makes itself an environment with uv
# from the block above, each session one of its own below `.nox`, from `requirements.lock`, with hashes. A session
# whose inputs have not changed installs nothing, and so works without a network.

import os
import sys
from pathlib import Path

import nox

ROOT = Path(__file__).parent
sys.path.insert(0, str(ROOT / ".ci"))

import lock
import site_pages
import system_packages
from environment import PLUGINS, PRODUCT, SOURCES, prepare, prepare_from_wheels

# Where the machine has a store of authorities of its own (as behind a company's mirror), uv believes it as pip does.
if Path("/etc/ssl/certs/ca-certificates.crt").exists():
    os.environ.setdefault("UV_SYSTEM_CERTS", "true")
nox.needs_version = ">=2026.10"
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True
nox.options.download_python = "never"
nox.options.sessions = ["lint", "types", "contracts", "tests"]


@nox.session
def tests(session: nox.Session) -> None:
    """Everything: unit, integration and end-to-end tests, and every plugin's own. `-- -k NAME` narrows."""
    prepare(session, *PRODUCT, *PLUGINS, "--group", "test")
    system_packages.install(session)
    # A file's tests share costly parts (a database, a browser), so a file stays on one worker.
    session.run("python", "-m", "pytest", "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session(python=["3.12", "3.13"])
def tests_on(session: nox.Session) -> None:
    """The same on other Pythons, as far as the machine has them: `nox -s tests_on-3.13`."""
    tests(session)


@nox.session
def e2e(session: nox.Session) -> None:
    """Only the tests that drive the installed product from outside."""
    prepare(session, *PRODUCT, *PLUGINS, "--group", "test")
    system_packages.install(session)
    session.run("python", "-m", "pytest", "-m", "e2e", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff: rules and form. `-- --fix` repairs what can be repaired."""
    prepare(session, "--group", "lint")
    session.run("ruff", "check", *session.posargs)
    session.run("ruff", "format", *([] if "--fix" in session.posargs else ["--check"]))


@nox.session
def types(session: nox.Session) -> None:
    """`mypy --strict` over core, client, plugins and tests."""
    prepare(
        session,
        *PRODUCT,
        *PLUGINS,
        "--group",
        "test",
        "--group",
        "types",
        "--group",
        "demo",
        "--group",
        "bench",
    )
    mypy = ["mypy", "--explicit-package-bases", f"--config-file={ROOT / 'pyproject.toml'}"]
    roots = ":".join(str(source) for source in SOURCES)
    code = [str(source.relative_to(ROOT)) for source in SOURCES]
    session.run(*mypy, *code, "tests", "noxfile.py", ".ci", env={"MYPYPATH": f"{roots}:{ROOT / '.ci'}"})
    # Each distribution has a folder `tests`: one run for each, or they would be one module.
    for distribution in (source.parent for source in SOURCES):
        if any(distribution.glob("tests/**/*.py")) and distribution != ROOT:
            session.chdir(distribution)
            session.run(*mypy, "tests")
            session.chdir(ROOT)


@nox.session
def contracts(session: nox.Session) -> None:
    """Who may import whom, how long a file may be, what must be documented."""
    prepare(session, *PRODUCT, *PLUGINS, "--group", "lint", "--group", "test")
    session.run("lint-imports", "--no-logo")
    session.run("python", "-m", "pytest", "tests/contracts", *session.posargs)


@nox.session
def lock_drift(session: nox.Session) -> None:
    """`requirements.lock` is what the pyproject files ask for; `-- --update` makes it so."""
    lock.check(session, update="--update" in session.posargs)


@nox.session
def core_alone(session: nox.Session) -> None:
    """The core's wheel, without any plugin and the embedded services: complete, imports, starts, passes its tests."""
    prepare_from_wheels(session, ".", "clients/openkcm-client", groups=["test", "build"])
    session.run("python", "-m", "pytest", "-m", "core_alone", "tests", *session.posargs)


@nox.session
@nox.parametrize("name", [nox.param(Path(path).name, id=Path(path).name) for path in PLUGINS if path != "-e"])
def plugin(session: nox.Session, name: str) -> None:
    """A plugin's wheel, with core and client as wheels too, passes its own tests: `nox -s 'plugin(NAME)'`."""
    prepare_from_wheels(session, ".", "clients/openkcm-client", f"plugins/{name}", groups=["test", "build"])
    session.run("python", "-m", "pytest", f"plugins/{name}", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation as a site in `site/`; a dead link is an error. The next release notes are rendered too."""
    prepare(session, "--group", "docs")
    site_pages.build(session)
    session.run("towncrier", "build", "--draft", "--version", "next", silent=True)


@nox.session
def bench(session: nox.Session) -> None:
    """The figures: `nox -s bench -- --json FILE [--only PREFIX]`."""
    prepare(session, *PRODUCT, *PLUGINS, "--group", "test", "--group", "bench")
    system_packages.install(session, system_packages.LOAD)
    session.run("python", "-m", "tests.bench", *session.posargs, interrupt_timeout=30, terminate_timeout=10)


@nox.session
def kcp(session: nox.Session) -> None:
    """The checks that a kcp must pass, on the emulator; `-- --kubeconfig FILE` (an admin's) for a real one.

    Everything is made below one random workspace, and removed afterwards. `--restart CMD` kills and starts that kcp for
    check 9, `--expect-shards 2` adds check 17; without them these are skipped by name. The rest goes to pytest.
    """
    prepare(session, *PRODUCT, *PLUGINS, "--group", "test")
    suite = [
        "-p",
        "tests.kcp.conformance.options",
        "tests/kcp/conformance",
        "--timeout",
        "900",
        "--durations=10",
    ]
    session.run(
        "python", "-m", "pytest", *suite, *session.posargs, interrupt_timeout=240, terminate_timeout=30
    )


@nox.session
def demo(session: nox.Session) -> None:
    """The product at work, live; Ctrl-C ends it. `-- --once --json FILE` ends by itself after the stories."""
    prepare(session, *PRODUCT, *PLUGINS, "--group", "demo")
    # nox gives children half a second after Ctrl-C; a database needs a moment to close cleanly.
    session.run("python", "-m", "tests.demo", *session.posargs, interrupt_timeout=30, terminate_timeout=10)
