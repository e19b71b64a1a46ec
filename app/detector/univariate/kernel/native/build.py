"""Compiles the kernel into the environment: ``python -m detector.univariate.kernel.native.build``.

It needs a C compiler and the headers of Python, takes some seconds, and is needed once for each
environment and change of the sources.
"""

import argparse
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from detector.univariate.kernel.native import PACKAGE, sources, sources_digest

__all__ = ["build"]

# A multiplication and an addition are never made one, nor a sum put in another order: the results
# are those of numpy to the last bit.
_FLAGS = ("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-w")
# What checks every index is compiled for each run of the tests.
_QUICK_TO_RUN, _QUICK_TO_BUILD = "-O3", "-O1"


def build(target: Path, *, checked: bool = False) -> Path:
    """Compile the sources into the package of the target folder, in place of what was there.

    Parameters
    ----------
    target : Path
        A folder from which Python imports.
    checked : bool
        An index outside of its array raises IndexError, for the tests. It is slower.

    Raises
    ------
    RuntimeError
        With what is missing, where it cannot be compiled.
    OSError
        Where the folder cannot be written to.
    """
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "made" / PACKAGE
        made.mkdir(parents=True)
        _compile(Path(scratch), made.parent, checked=checked)
        (made / "__init__.py").write_text(
            '"""The compiled kernel of detector."""\n\n'
            f'SOURCES = "{sources_digest()}"\nCHECKED = {checked}\n'
        )
        shutil.rmtree(target / PACKAGE, ignore_errors=True)
        target.mkdir(parents=True, exist_ok=True)
        return Path(shutil.move(made, target / PACKAGE))


def _compile(scratch: Path, made: Path, *, checked: bool) -> None:
    try:
        from Cython import Build
        from setuptools import Distribution, Extension
        from setuptools.errors import CompileError, PlatformError
    except ImportError as error:
        raise RuntimeError(f"{error.name} is not installed (requirements.txt names it)") from error
    folder = scratch / PACKAGE
    folder.mkdir()
    (folder / "__init__.pxd").touch()
    for path in sources():
        shutil.copy(path, folder)
    flags = [_QUICK_TO_BUILD if checked else _QUICK_TO_RUN, *_FLAGS]
    extensions = [
        Extension(f"{PACKAGE}.{path.stem}", [str(path)], extra_compile_args=flags)
        for path in sorted(folder.glob("*.pyx"))
    ]
    directives = {
        "language_level": 3,
        "boundscheck": checked,
        "initializedcheck": checked,
        "show_performance_hints": False,
        "wraparound": False,
        "cdivision": True,
    }
    cythonize: Any = Build.cythonize
    modules = cythonize(
        extensions, include_path=[str(scratch)], compiler_directives=directives, quiet=True
    )
    command: Any = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
    command.build_lib, command.build_temp, command.parallel = str(made), str(scratch / "temp"), True
    command.ensure_finalized()
    try:
        command.run()
    except (CompileError, PlatformError) as error:
        raise RuntimeError(
            "the C compiler or the headers of Python are missing (Debian: gcc and python3-dev), "
            f"or refuse it: {error}"
        ) from error


def main() -> int:
    """Build; return 1 where that cannot be done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--target", type=Path, default=Path(sysconfig.get_path("platlib")))
    parser.add_argument("--checked", action="store_true", help="refuse an index outside an array")
    options = parser.parse_args()
    try:
        build(options.target, checked=options.checked)
    except (RuntimeError, OSError) as error:
        sys.stderr.write(
            f"The kernel was not compiled: {error}. numpy does its work, with the same results, "
            "several times slower.\n"
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
