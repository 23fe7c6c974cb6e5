"""A small real ONNX embedding model: it looks up a vector for each word it knows."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

WORDS = ["[UNK]", "cat", "dog", "boat", "sea", "purrs"]
TABLE = np.array(
    [[0, 0, 0], [1, 0, 0], [0.8, 0.6, 0], [0, 0, 1], [0, 0.6, 0.8], [0.9, 0.1, 0]], np.float32
)


def write_model(folder, *, sentence=False, extra=False):
    """Write an ONNX model that looks each token's vector up, and its tokenizer."""
    inputs = ["input_ids", "attention_mask", *(["pixels"] if extra else [])]
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    outputs = [helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["n", "t", 3])]
    if sentence:
        axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
        nodes.append(
            helper.make_node(
                "ReduceMax", ["last_hidden_state", "axes"], ["sentence_embedding"], keepdims=0
            )
        )
        outputs.append(
            helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["n", 3])
        )
    initial = [numpy_helper.from_array(TABLE, "table"), *([axes] if sentence else [])]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["n", "t"]) for name in inputs],
        outputs,
        initial,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    tokenizer = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
