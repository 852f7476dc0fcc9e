"""A model as graphs that other runtimes run, in a folder that holds all that goes with it.

    exported/
      model.onnx          the graph of a method of the network (more where there are several)
      model.safetensors   what is not in a graph; of the rest the shapes alone
      config.json …       what a checkpoint of the model holds: labels, tokenizer, scaling
      manifest.json       the graphs with their inputs and outputs, and every file's sha256

`tsuite run NAME --checkpoint exported/` puts the graphs in place of the methods (`core.engines`); everything around
them is the model's own code.
"""

from __future__ import annotations
