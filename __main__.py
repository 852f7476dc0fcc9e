"""`python -m tsuite`: the same as `tsuite`, for launchers such as torchrun that start a module."""

from .cli import main

main()
