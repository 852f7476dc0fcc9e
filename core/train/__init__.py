"""Training: one loop for every domain (`loop`), what surrounds it, and the run's folder.

loop: the story. data: which examples make which batch. processes: accelerate, one process or several. state: what is
saved and continued. folder: config and card of a run. log: metrics, for people and machines. schedule: learning rate.
"""

from .loop import Trained, fit

__all__ = ["Trained", "fit"]
