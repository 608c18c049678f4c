"""Filters in 8 bits: what is multiplied out is what runtimes compute with."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime

from models.engine.onnx import session_options
from models.identity.contract import CHIP, face_print_contract
from models.identity.face_chip import BARE
from models.identity.reader import SHIPPED_FACE_PRINT
from models.quantisation.filter_storage import with_plain_filters


def test_filters_that_are_multiplied_out_give_the_same_network() -> None:
    stored = onnx.load(SHIPPED_FACE_PRINT)
    before = stored.SerializeToString()
    plain = with_plain_filters(stored)
    assert stored.SerializeToString() == before
    onnx.checker.check_model(plain, full_check=True)
    names = {tensor.name for tensor in plain.graph.initializer}
    assert any(tensor.name.endswith(".steps") for tensor in stored.graph.initializer)
    assert not any(name.endswith(".steps") for name in names)
    filters = {node.input[1] for node in plain.graph.node if node.op_type == "Conv"}
    assert filters <= names
    chip = np.random.default_rng(0).random(face_print_contract(BARE).inputs[0].shape, np.float32)
    outputs = []
    for model in (before, plain.SerializeToString()):
        session = onnxruntime.InferenceSession(model, session_options(1))
        outputs.append(session.run(None, {CHIP: chip})[0])
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=0, atol=1e-6)
