"""The zoo: importing this package imports its files, which register every block there is.

A family is a file of this room; nothing else lists it.
"""

from importlib import import_module
from pkgutil import iter_modules

for _file in iter_modules(__path__):
    import_module(f"{__name__}.{_file.name}")
