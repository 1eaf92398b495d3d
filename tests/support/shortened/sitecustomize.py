"""Sets constants of the gateway in a process that Python starts with this directory in PYTHONPATH, and in its children.

For tests that wait for an interval, such as the one after which a silent node counts as dead. The environment variable
SHORTENED_CONSTANTS has them: JSON, "gateway.module.NAME_S" to the value. Each is set when its module has been loaded.
"""

import json
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

VALUES: dict[str, dict[str, float]] = {}
for _name, _value in json.loads(os.environ.get("SHORTENED_CONSTANTS", "{}")).items():
    _module, _, _constant = _name.rpartition(".")
    VALUES.setdefault(_module, {})[_constant] = _value


class _Shortening(PathFinder):
    """Finds the modules of VALUES as Python does, and sets their constants after they were loaded."""

    @classmethod
    def find_spec(cls, fullname: str, path: Sequence[str] | None = None,
                  target: ModuleType | None = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        spec = PathFinder.find_spec(fullname, path, target) if fullname in VALUES else None
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                for constant, value in VALUES[fullname].items():
                    assert hasattr(module, constant), f"{fullname} has no {constant}"
                    setattr(module, constant, value)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


sys.meta_path.insert(0, _Shortening)
