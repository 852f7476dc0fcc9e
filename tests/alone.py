"""What a program does with an exported folder that has onnxruntime and numpy, and nothing of ours.

python -I alone.py MODEL FOLDER given.npz found.npz
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.modules["torch"] = sys.modules["tsuite"] = None  # type: ignore[assignment]

import numpy as np  # noqa: E402
import onnxruntime  # noqa: E402

Arrays = dict[str, Any]


class Folder:
    """The manifest, and its graphs as functions of named arrays."""

    def __init__(self, path: str) -> None:
        self.told = json.loads((Path(path) / "manifest.json").read_text(encoding="utf-8"))["exported"]
        self.use, self.config = self.told["use"], self.told["config"]
        self.facts = {one["name"]: one for one in (*self.told["graphs"], *self.told["others"])}
        for one in self.facts.values():
            names = {*(item["name"] for item in one["inputs"]), *one["outputs"]}
            assert names == one["about"].keys(), (one["name"], names ^ one["about"].keys())
        self.sessions = {name: onnxruntime.InferenceSession(str(Path(path) / f"{name}.onnx"),
                         providers=["CPUExecutionProvider"]) for name in self.facts}  # fmt: skip

    def __call__(self, graph: str, **given: Any) -> Arrays:
        taken = {one.name for one in self.sessions[graph].get_inputs()}
        kinds = {one["name"]: one["dtype"] for one in self.facts[graph]["inputs"]}
        assert given.keys() == kinds.keys(), (graph, given.keys() ^ kinds.keys())
        arrays = {name: np.asarray(value, dtype=kinds[name]) for name, value in given.items() if name in taken}
        names = self.facts[graph]["outputs"]
        return dict(zip(names, self.sessions[graph].run(names, arrays), strict=True))

    def written(self, prompt: list[int], stop: set[int], most: int, more: Arrays, never: Any = ()) -> list[int]:
        """The likeliest tokens after a prompt, step by step with the cache outside."""
        shapes = {one["name"]: one["shape"] for one in self.facts["step"]["inputs"]}
        held = {name: np.zeros((1, shape[1], 0, shape[3]), np.float32) for name, shape in shapes.items()
                if name.startswith(("keys_", "values_"))}  # fmt: skip
        new, ids = prompt, []
        while len(ids) < most and not (ids and ids[-1] in stop):
            past, count = held["keys_0"].shape[2], len(new)
            found = self("step", tokens=[new], positions=[range(past, past + count)], keep=np.ones((1, past + count)),
                         **held, **more)  # fmt: skip
            for name, before in held.items():
                kind, layer = name.split("_")
                held[name] = np.concatenate([before, found[f"new_{kind}"][int(layer)]], axis=2)
            logits = self("head", hidden=found["hidden"][:, -1:])["logits"][0, 0]
            logits[list(never if ids else [*never, *self.use.get("never_first", [])])] = -np.inf
            new = [int(logits.argmax())]
            ids += new
        return ids


def vision(folder: Folder, given: Arrays) -> Arrays:
    logits = folder("model", pixels=given["pixels"])["logits"]
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    return {"label": folder.use["labels"][int(logits[0].argmax())], "odds": odds / odds.sum(-1, keepdims=True),
            "map": folder("attention", pixels=given["pixels"])["attention"]}  # fmt: skip


def ctc(folder: Folder, given: Arrays) -> Arrays:
    found = folder("model", waveforms=given["waveforms"], lengths=[given["waveforms"].shape[1]])
    best = found["log_probs"][0, : found["frames"][0]].argmax(-1)
    kept = [int(one) for place, one in enumerate(best) if place == 0 or one != best[place - 1]]
    texts = folder.use["labels"]
    return {"text": " ".join("".join(texts[one] for one in kept if one != folder.use["blank"]).split())}


def whisper(folder: Folder, given: Arrays) -> Arrays:
    use, heard = folder.use, folder("encoder", waveforms=given["waveforms"])
    asked = [use["languages"]["en"], use["transcribe"]] if use["languages"] else []
    prompt = [use["start"], *asked, use["no_timestamps"]]
    return {"ids": folder.written(prompt, {use["end"]}, 20, heard, use["never"])}


def forecast(folder: Folder, given: Arrays) -> Arrays:
    rows, lookback = given["values"].shape
    horizon, ahead = folder.config["config"]["horizon"], len(folder.use["ahead"])
    mean, deviation = next(iter(folder.config["scaling"]["series"].values()))
    found = folder("model", values=(given["values"] - mean) / deviation, observed=np.ones((rows, lookback)),
                   past=np.zeros((rows, len(folder.use["past"]), lookback)), window=range(rows),
                   ahead=np.zeros((rows, ahead, lookback + horizon)), known=np.zeros((rows, ahead, lookback + horizon)),
                   static=np.zeros((rows, len(folder.use["static"]))))  # fmt: skip
    return {"y_hat": found["y_hat"] * deviation + mean, "quantiles": found["quantiles"] * deviation + mean}


def policy(folder: Folder, given: Arrays) -> Arrays:
    found = folder("policy", **given)
    return {"action": found["likeliest"][:, -1, 0], "raw": found["raw"]}


def board(folder: Folder, given: Arrays) -> Arrays:
    game = folder.use["games"]["connect-four"]
    tokens = [game["first_token"] + folder.use["asked"].index("best")]
    for number, cell in enumerate(given["cells"]):
        tokens.append(game["first_token"] + len(folder.use["asked"]) + number % 2 * game["cells"] + cell)
    planes = next(one["shape"][2] for one in folder.facts["model"]["inputs"] if one["name"] == "planes")
    moves = folder("model", tokens=[tokens], planes=np.zeros((1, len(tokens), planes)))["moves"]
    return {"moves": moves[0, -1, game["first_move"] : game["first_move"] + game["moves"]]}


def molecule(folder: Folder, given: Arrays) -> Arrays:
    use = folder.use
    wish = [given["wish"][use["conditions"].index("qed")] if name == "qed" else np.nan for name in use["conditions"]]
    told = folder("conditions", values=[wish])["told"]
    ids = folder.written([use["begin"]], {use["end"]}, use["length"], {"told": told})
    return {"smiles": "".join(use["tokens"]["tokens"][one] for one in ids if one != use["end"])}


def text(folder: Folder, given: Arrays) -> Arrays:
    return {"ids": folder.written(given["prompt"].tolist(), set(folder.use["stop"]), 12, {})}


if __name__ == "__main__":
    _, model, place, read, write = sys.argv
    np.savez(write, **globals()[model](Folder(place), dict(np.load(read))))
