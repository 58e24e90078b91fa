"""Machine code in memory, ready to be called."""

import ctypes
import functools
from typing import Any

from llvmlite import binding


@functools.cache
def _engine() -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_triple(binding.get_process_triple()).create_target_machine()
    return binding.create_mcjit_compiler(binding.parse_assembly(""), machine)


def load(symbol: str, code: bytes) -> int:
    """Put an object file into memory and return the address of its function, which later ones may call by its symbol."""
    engine = _engine()
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    address = int(engine.get_function_address(symbol))
    binding.add_symbol(symbol, address)
    return address


def variable(name: str) -> ctypes.c_void_p:
    """Return a variable of code that was put into memory, which holds an address."""
    return ctypes.c_void_p.from_address(int(_engine().get_global_value_address(name)))
