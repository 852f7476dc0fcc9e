"""Commands of the domain, where the card finds them."""

from ..commands import record

__all__ = ["record"]
