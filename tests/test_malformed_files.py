"""Damaged and hostile files: a FormatError that names the file, and nothing else happens."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import struct
import tracemalloc
import warnings

import numpy as np
import pytest

import recurra
from own_layers import Residual
from recurra.weights.safetensors_header import MOST_HEADER, MOST_TENSORS
from recurra.weights.tensor_file import read_tensors

pytest.importorskip("safetensors")

L, S = recurra.Linear, recurra.Sequential
ENTRY = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


def made(seed):
    return S(
        recurra.Embedding(5, 3, seed=seed),
        recurra.LSTM(3, 4, 2, bidirectional=True, learned_state=True, zoneout={"c": 0.1}, seed=seed),
        S(recurra.cells.PeepholeLSTM(8, 2, seed=seed), recurra.Last()),
        recurra.Dropout(0.25),
        L(2, 3, seed=seed),
    )


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """What is in a real file, with an optimizer that has moments."""
    path = tmp_path_factory.mktemp("saved") / "a"
    model = made(0)
    adam = recurra.Adam(model)
    adam.step()
    recurra.save(path, model, optimizer=adam)
    return path.read_bytes()


@pytest.fixture
def saved(tmp_path, content):
    """Such a file, to be damaged."""
    (tmp_path / "a").write_bytes(content)
    return tmp_path / "a"


def write(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def parts(path):
    """The header, the description in it, and the bytes after it."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    return header, json.loads(header["__metadata__"]["recurra"]), content[end:]


def with_description(path, description):
    header, _, data = parts(path)
    text = description if isinstance(description, str) else json.dumps(description)
    return write(path, header | {"__metadata__": {"recurra": text}}, data)


def refused(path, match="", **options):
    with pytest.raises(recurra.FormatError, match=match or None) as caught:
        recurra.load(path, **options)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_truncated_anywhere(saved, content):
    model, adam = recurra.load(saved, optimizer=True)
    before = model.state_dict()
    for size in [*range(0, len(content), 64), *range(64), len(content) - 1]:
        saved.write_bytes(content[:size])
        refused(saved)
        refused(saved, into=model, optimizer=adam)
    saved.write_bytes(content + b"\0")
    refused(saved, "bytes of arrays after the header")
    assert all(np.array_equal(model.state_dict()[name], array) for name, array in before.items())


@pytest.mark.parametrize("bit", range(8))
def test_a_flipped_bit_in_the_header(saved, content, bit):
    rng = np.random.default_rng(bit)
    end = 8 + int.from_bytes(content[:8], "little")
    read = 0
    for at in [*range(8), *rng.integers(8, end, 60)]:
        damaged = bytearray(content)
        damaged[at] ^= 1 << bit
        saved.write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as of dropout without a layer to drop from
                recurra.load(saved, optimizer=True)
            read += 1  # a number that may be another one, such as a rate
        except recurra.FormatError:
            pass
    assert read < 30


def test_a_flipped_bit_in_the_arrays_is_another_number(saved, content):
    saved.write_bytes(content[:-100] + bytes([content[-100] ^ 1]) + content[-99:])
    recurra.load(saved)


def objects(text, numbers):
    """A JSON object, made where it is needed: these are large."""
    return lambda: b"{" + b",".join(text % i for i in numbers) + b"}"


HEADERS = {
    "nothing": (b"", b"", r"begins with \{"),
    "an array": (b"[]", b"", r"begins with \{"),
    "no JSON": (b"{" * 1000, b"", "expected JSON"),
    "more after it": (b"{}{}", b"", "expected JSON"),
    "not UTF-8": (b'{"\xff":1}', b"", "utf-8"),
    "deep": (lambda: b'{"a":' * 500_000, b"", "nested too deeply"),
    "deep arrays": (b'{"a":' + b"[" * 900 + b"]" * 900 + b"}", b"", "expected dtype, shape"),
    "a million": (
        lambda: (
            b"{"
            + b",".join(b'"%d":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}' % i for i in range(1_000_000))
            + b"}"
        ),
        b"",
        f"up to {MOST_HEADER} bytes",
    ),
    "too many": (
        objects(b'"%d":{"data_offsets":[0,0]}', range(MOST_TENSORS + 1)),
        b"",
        f"up to {MOST_TENSORS} arrays",
    ),
    "many names": (
        lambda: b"{" + b",".join(b'"%d":1' % i for i in range(200_000)) + b"}",
        b"",
        "expected dtype, shape",
    ),
    "a name twice": (
        lambda: b"{" + b",".join(b'"%d":1' % (i % 99_999) for i in range(100_000)) + b"}",
        b"",
        "'0' twice",
    ),
    "an array twice": (b'{"a":%s,"a":%s}' % ((json.dumps(ENTRY).encode(),) * 2), b"1234", "'a' twice"),
    "long number": (lambda: b'{"a":' + b"9" * 5_000_000 + b"}", b"", "integers of up to 20 digits"),
    "long shape": (
        lambda: b'{"a":{"dtype":"F32","shape":[' + b",".join([b"1"] * 1_000_000) + b'],"data_offsets":[0,4]}}',
        b"1234",
        "up to 32 lengths of axes",
    ),
    "shape that overflows": ({"a": ENTRY | {"shape": [2**32, 2**32]}}, b"1234", "that memory can hold"),
    "and is empty": ({"a": ENTRY | {"shape": [2**40, 2**40, 0], "data_offsets": [0, 0]}}, b"", "memory can hold"),
    "negative": ({"a": ENTRY | {"shape": [-1, -1]}}, b"1234", "lengths of axes"),
    "shape of bool": ({"a": ENTRY | {"shape": [True]}}, b"1234", "lengths of axes"),
    "shape of floats": ({"a": ENTRY | {"shape": [1.0]}}, b"1234", "lengths of axes"),
    "other size": ({"a": ENTRY | {"shape": [2]}}, b"1234", "expected 8 bytes of 'a'"),
    "NaN": (b'{"a":NaN}', b"", "finite numbers"),
    "infinite": (b'{"a":1e999}', b"", "finite numbers"),
    "dtype": ({"a": ENTRY | {"dtype": "BF16", "shape": [2]}}, b"1234", "expected one of BOOL"),
    "dtype of no str": ({"a": ENTRY | {"dtype": []}}, b"1234", "expected one of BOOL"),
    "bool of 2": ({"a": ENTRY | {"dtype": "BOOL", "shape": [4]}}, b"\0\1\2\1", "bytes 0 and 1"),
    "missing": ({"a": {"dtype": "F32", "shape": [1]}}, b"1234", "expected dtype, shape and data_offsets"),
    "more": ({"a": ENTRY | {"more": 1}}, b"1234", "expected dtype, shape and data_offsets"),
    "no data": ({"a": ENTRY}, b"", "4 bytes of arrays"),
    "overlap": ({"a": ENTRY, "b": ENTRY}, b"1234", "'b' to begin at 4"),
    "gap": ({"a": ENTRY | {"data_offsets": [4, 8]}}, b"12345678", "'a' to begin at 0"),
    "backwards": ({"a": ENTRY | {"data_offsets": [4, 0]}}, b"1234", "got data_offsets"),
    "three": ({"a": ENTRY | {"data_offsets": [0, 4, 4]}}, b"1234", "a begin and an end"),
    "huge offsets": ({"a": ENTRY | {"data_offsets": [2**63, 2**63 + 4]}}, b"1234", "to begin at 0"),
    "control characters": ({"a\n": ENTRY}, b"1234", "printable"),
    "out of the folder": ({"../a": ENTRY}, b"1234", r"without \.\."),
    "no name": ({"": ENTRY}, b"1234", "printable"),
    "half a character": (b'{"\\ud800":1}', b"", "printable"),
    "half a text": (b'{"__metadata__":{"a":"\\ud800"}}', b"", "can't be read"),
    "metadata": ({"__metadata__": {"a": 1}}, b"", "texts by name"),
    "no metadata": ({"__metadata__": None}, b"", "texts by name"),
    "long text": (lambda: b'{"__metadata__":{"a":"' + b"x" * 2**23 + b'"}}', b"", f"up to {MOST_HEADER} bytes"),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_no_one_writes(tmp_path, name):
    header, data, match = HEADERS[name]
    path = write(tmp_path / "a", header() if callable(header) else header, data)  # the large ones are functions
    refused(path, match)
    with pytest.raises(recurra.FormatError, match=match):
        read_tensors(path)


def test_a_length_that_is_not_the_headers(tmp_path):
    for length in (2**64 - 1, 2**63, 1000, 3):
        (tmp_path / "a").write_bytes(struct.pack("<Q", length) + b'{"a":1}' + b" " * 100)
        refused(tmp_path / "a")


def test_a_pipe_does_not_make_it_wait(tmp_path):
    os.mkfifo(tmp_path / "a")
    refused(tmp_path / "a", "regular file")
    with pytest.raises(OSError, match="regular file"):
        recurra.save(tmp_path / "a", L(1, 1))


def changed(description, where, value):
    """A description with another value in one place; where is a path into it, DEL removes."""
    result = copy.deepcopy(description)
    inner = result
    for key in where[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[where[-1]]
    else:
        inner[where[-1]] = value
    return result


# The layers of `made`: 0 Embedding, 1 LSTM, 2 PeepholeLSTM, 3 Last, 4 Sequential, 5 Dropout, 6 Linear, 7 Sequential.
DESCRIPTIONS = {
    "no version": (["version"], ..., "expected a version"),
    "a newer version": (["version"], 2, "expected version 1"),
    "no layers": (["layers"], ..., "expected a list"),
    "an empty list": (["layers"], [], "expected a list"),
    "no list": (["layers"], {}, "expected a list"),
    "no layer": (["layers", 0], 5, "expected a layer's type"),
    "no type": (["layers", 0, "type"], ..., "expected a layer's type"),
    "an unknown type": (["layers", 0, "type"], "Transformer", "which it doesn't have"),
    "a base": (["layers", 0, "type"], "Composite", "which it doesn't have"),
    "a function": (["layers", 0, "type"], "fit", "which it doesn't have"),
    "a module": (["layers", 0, "type"], "os.system", "which it doesn't have"),
    "own": (["layers", 0, "own"], True, "in types"),
    "a long type": (["layers", 0, "type"], "x" * 100_000, "which it doesn't have"),
    "no options": (["layers", 0, "options"], ..., "get_config"),
    "options of no dict": (["layers", 0, "options"], [], "expected options by name"),
    "a missing option": (["layers", 0, "options", "embedding_dim"], ..., "no embedding_dim"),
    "an unknown option": (["layers", 0, "options", "scale"], 1, "also 'scale'"),
    "a seed": (["layers", 0, "options", "seed"], 3, "also 'seed'"),
    "a huge size": (["layers", 1, "options", "hidden_size"], 2**40, "got no such array"),
    "a larger size": (["layers", 1, "options", "hidden_size"], 5, "got no such array"),
    "a huge table": (["layers", 0, "options", "num_embeddings"], 2**40, "got no such array"),
    "many layers": (["layers", 1, "options", "num_layers"], 60_000, "got no such array"),
    "too many layers": (["layers", 1, "options", "num_layers"], 2**60, "num_layers: expected"),
    "a size of text": (["layers", 1, "options", "hidden_size"], "4", "hidden_size: expected"),
    "a size of float": (["layers", 1, "options", "hidden_size"], 4.0, "hidden_size: expected"),
    "a negative size": (["layers", 1, "options", "input_size"], -3, "input_size: expected"),
    "a padding": (["layers", 0, "options", "padding_idx"], 9, "padding_idx: expected"),
    "a rate": (["layers", 5, "options", "p"], 2, "p: expected"),
    "a rate by name": (["layers", 1, "options", "zoneout"], {"dict": {"q": 0.5}}, "zoneout: expected"),
    "a flag": (["layers", 1, "options", "bias"], "yes", "bias: expected"),
    "a dtype": (["layers", 1, "options", "dtype"], {"dtype": "object"}, "expected a value"),
    "another dtype": (["layers", 1, "options", "dtype"], {"dtype": "float64"}, "dtype"),
    "a value": (["layers", 1, "options", "dropout"], {"pickle": "x"}, "expected a value"),
    "itself": (["layers", 7, "options", "layers", 0], {"layer": 7}, "a layer of those before"),
    "a layer behind": (["layers", 4, "options", "layers", 0], {"layer": 5}, "a layer of those before"),
    "layer -1": (["layers", 4, "options", "layers", 0], {"layer": -1}, "a layer of those before"),
    "layer True": (["layers", 4, "options", "layers", 0], {"layer": True}, "a layer of those before"),
    "a member of no layer": (["layers", 7, "options", "layers", 0], 5, "layers: expected"),
    "no members": (["layers", 7, "options", "layers"], [], "layers: expected"),
    "members twice": (["layers", 7, "options", "layers", 1], {"layer": 0}, "layers: expected"),
    "another member": (["layers", 7, "options", "layers", 4], {"layer": 5}, "expected arrays of Sequential"),
    "no fingerprint": (["layers", 2, "formula"], ..., "expected a formula's fingerprint"),
    "an odd fingerprint": (["layers", 2, "formula"], {"program": 1}, "expected a formula's fingerprint"),
    "another fingerprint": (["layers", 2, "formula", "constants"], "0", "differs in its constants"),
    "a fingerprint too many": (["layers", 1, "formula"], {}, "expected a formula's fingerprint"),
    "a cell of no layer": (["layers", 1, "of"], 0, "expected a cell of a recurrent layer"),
    "no optimizer": (["optimizer"], ..., "expected an optimizer in the file"),
    "another optimizer": (["optimizer", "type"], "SGD", "optimizer"),
    "a base optimizer": (["optimizer", "type"], "Optimizer", "optimizer"),
    "no optimizer's class": (["optimizer", "type"], "Module", "expected one of this package"),
    "no class": (["optimizer", "type"], "math", "expected one of this package"),
    "a type of no name": (["optimizer", "type"], [], "expected one of this package"),
    "layers of none": (["optimizer", "layers"], [], "optimizer: expected"),
    "layers twice": (["optimizer", "layers"], [0, 0], "optimizer: expected"),
    "layers beyond": (["optimizer", "layers"], [0, 9], "expected numbers of layers"),
    "some layers": (["optimizer", "layers"], [0], "optimizer: expected arguments of Adam"),
    "no groups": (["optimizer", "groups"], [], "optimizer: expected groups"),
    "a group of none": (["optimizer", "groups", 0], 5, "optimizer: expected params, lr"),
    "a group without a rate": (["optimizer", "groups", 0, "eps"], ..., "optimizer: expected params, lr"),
    "a model in it": (["optimizer", "groups", 0, "model"], 1, "optimizer: expected params, lr"),
    "a rate out of range": (["optimizer", "groups", 0, "lr"], -1, "optimizer: expected arguments of Adam"),
    "no names": (["optimizer", "groups", 0, "params"], [], "optimizer: expected arguments of Adam"),
    "fewer names": (["optimizer", "groups", 0, "params"], ["0.weight"], "expected arrays of Adam"),
    "names of none": (["optimizer", "groups", 0, "params"], 3, "optimizer: expected arguments of Adam"),
}


@pytest.mark.parametrize("name", DESCRIPTIONS)
def test_a_description_of_what_cannot_be(saved, name):
    where, value, match = DESCRIPTIONS[name]
    _, description, _ = parts(saved)
    tracemalloc.start()
    refused(with_description(saved, changed(description, where, value)), match, optimizer=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", "[" * 100_000, '{"version":1,"version":1}', '{"version":1.5}', '{"version":NaN}']
)
def test_a_description_of_another_form(saved, text):
    refused(with_description(saved, text))


def test_few_bytes_cannot_become_many_layers(tmp_path):
    def nested(count, twice):
        layers = [{"type": "Tanh", "own": False, "options": {}}]
        for i in range(count):
            members = [{"layer": i}] * (1 + twice)
            layers.append({"type": "Sequential", "own": False, "options": {"layers": members}})
        return {"__metadata__": {"recurra": json.dumps({"version": 1, "layers": layers})}}

    refused(write(tmp_path / "a", nested(60, True)), "expected up to 16384 layers")
    refused(write(tmp_path / "a", nested(10_000, False)), "nested up to 64 deep")
    refused(write(tmp_path / "a", nested(20_000, False)), "expected a list of 1 to 16384 layers")
    assert repr(recurra.load(write(tmp_path / "a", nested(10, True)))).count("Tanh()") == 1024


def test_a_config_that_the_class_refuses(tmp_path):
    class Own(Residual):
        def __init__(self, layer, *, power):
            super().__init__(layer)
            self.power = power

        def get_config(self):
            return {"layer": self.layer, "power": self.power}

    recurra.save(tmp_path / "a", Own(L(2, 2, seed=0), power=3))
    _, description, _ = parts(tmp_path / "a")
    assert recurra.load(tmp_path / "a", types=[Own]).power == 3
    refused(with_description(tmp_path / "a", changed(description, ["layers", 1, "options", "x"], 1)), types=[Own])


VALUES = (None, True, -1, 0, 2**19, 2**63, 1.5, "", "h", [], {}, [[]], {"layer": 0}, {"tuple": [1]}, {"dict": {"a": 1}})


@pytest.mark.parametrize("seed", range(4))
def test_any_value_in_any_place(saved, seed):
    """Damage at random: a FormatError, or a model as good as another."""
    header, description, data = parts(saved)
    rng = np.random.default_rng(seed)
    places = [*leaves_of(description)]
    for where in (places[i] for i in rng.permutation(len(places))[:60]):
        value = VALUES[rng.integers(len(VALUES))]
        with_description(saved, changed(description, where, value))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with contextlib.suppress(recurra.FormatError):
                recurra.load(saved, optimizer=True)
    write(saved, header, data)
    recurra.load(saved, optimizer=True)


def leaves_of(value, where=()):
    """All places in JSON."""
    if where:
        yield list(where)
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from leaves_of(inner, (*where, key))
