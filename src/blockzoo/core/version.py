"""The version of BlockZoo, spelled once: the package, its metadata and every record take it here.

It imports nothing, because the build reads it before anything is installed.
"""

VERSION = "0.1.0"
