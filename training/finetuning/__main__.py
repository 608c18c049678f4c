"""`python -m training.finetuning`: an `Order` on standard input, an `Answer` on standard output.

How far it is goes to standard error as JSON lines; `{"error": …, "next_step": …}` ends it early.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.inpainting.evi_hrnet import EviHrnet, NetworkSettings
from models.personal.exchange import Answer, Order
from models.personal.network import parameters_of
from models.shipped import load_network
from models.weights_error import WeightsError
from streaming.errors import UserError
from training.finetuning.clip import WearerClip
from training.finetuning.learning import LAYERS, Finetuned, finetune
from training.run import checkpoint


def main() -> int:
    """Do what standard input asks for; returns the exit code."""
    cv2.setNumThreads(1)
    try:
        order = Order.unpack(sys.stdin.buffer.read())
        answer = answer_to(order)
    except (UserError, WeightsError) as error:
        next_step = error.next_step if isinstance(error, UserError) else ""
        message = error.message if isinstance(error, UserError) else str(error)
        _say({"error": message, "next_step": next_step})
        return 1
    except KeyboardInterrupt:
        return 130
    sys.stdout.buffer.write(answer.pack())
    return 0


def answer_to(order: Order) -> Answer:
    """Fine-tune as ordered, on a GPU where there is one.

    Raises:
        UserError: the clip is too short.
        WeightsError: the network cannot be used.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(order.seed)
    base = network_of(Path(order.network)).to(device)
    done = finetune(
        base,
        WearerClip(order.images, order.meshes, order.starts),
        order.seconds,
        seed=order.seed,
        tell=lambda share, words: _say({"share": round(share, 3), "words": words}),
    )
    return Answer(done.is_kept, done.steps, scores_of(done), learned_weights(done))


def network_of(path: Path) -> EviHrnet:
    """A network file as a module: by the checkpoint beside it, NAME.pt.

    An ONNX file does not name what the temporal shift has learned; all that it names is compared.

    Raises:
        WeightsError: it cannot be used, or the checkpoint is of another network.
    """
    shipped = load_network(path)
    try:
        kept = checkpoint.load(path.with_suffix(".pt"))
        network = EviHrnet(NetworkSettings(**kept["settings"]))
        network.load_state_dict(kept["average"])
    except (checkpoint.CheckpointError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{path.with_suffix('.pt')} cannot be fine-tuned ({error})") from error
    values = network.state_dict()
    for name, value in parameters_of(shipped).items():
        if name not in values or not np.allclose(values[name].numpy(), value, atol=1e-6):
            raise WeightsError(f"{path.with_suffix('.pt')} is not what {path.name} was made of")
    return network


def scores_of(done: Finetuned) -> dict[str, float]:
    """The figures that the profile keeps."""
    base = {f"base_{name}": value for name, value in asdict(done.base).items()}
    scores = {**base, **asdict(done.tuned), "frames": done.frames, "steps": done.steps}
    return {name: round(float(value), 5) for name, value in scores.items()}


def learned_weights(done: Finetuned) -> dict[str, NDArray[np.float32]]:
    """What learned, as float32 arrays by name; nothing when it is not kept."""
    if not done.is_kept:
        return {}
    return {
        name: value.detach().float().cpu().numpy()
        for name, value in done.network.named_parameters()
        if name.split(".")[0] in LAYERS
    }


def _say(facts: dict[str, object]) -> None:
    sys.stderr.write(json.dumps(facts) + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
