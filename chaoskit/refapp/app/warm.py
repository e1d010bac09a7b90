"""`python3 -m app.warm`, when the image is built: leave a compiled copy of every module that the shop will import.

The copies are never compared with their sources (PEP 552, unchecked): in an image no source changes; file times may.
"""

from __future__ import annotations

import compileall
import importlib
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

LATE = ("concurrent.futures.thread", "encodings.idna")
"""What asyncio and getaddrinfo import only once they need it."""


def sources() -> list[Path]:
    """The Python files of all that the shop imports, whatever its role."""
    own = Path(__file__).parent
    modules = [f"{__package__}.{path.stem}" for path in own.glob("[a-z]*.py")]
    for name in (f"{__package__}.__main__", *modules, *LATE):
        importlib.import_module(name)
    loaded = [getattr(module, "__file__", None) for module in list(sys.modules.values())]
    return sorted({Path(path) for path in loaded if path and path.endswith(".py")} | set(own.glob("*.py")))


def main() -> int:
    files = sources()
    done = [
        compileall.compile_file(path, quiet=1, force=True, invalidation_mode=PycInvalidationMode.UNCHECKED_HASH)
        for path in files
    ]
    sys.stdout.write(f"compiled {sum(map(bool, done))} of {len(files)} modules\n")
    return 0 if all(done) else 1


if __name__ == "__main__":
    sys.exit(main())
