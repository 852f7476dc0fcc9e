"""Install the repository root as the package `tsuite`; everything else is in pyproject.toml."""

from setuptools import find_packages, setup

parts = find_packages(include=["core*", "domains*", "cli*"])
setup(packages=["tsuite", *(f"tsuite.{part}" for part in parts)], package_dir={"tsuite": "."})
