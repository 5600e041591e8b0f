"""recurra.torch's modules within torch's autograd: gradcheck, kept graphs, what needs no gradient, torch.func."""

from __future__ import annotations

import threading

import pytest

torch = pytest.importorskip("torch")

import recurra.cells  # noqa: E402
import recurra.torch  # noqa: E402
from torch_pairs import CELLS, LAYERS, assert_close, flat, generator, normal, pair, results  # noqa: E402

functional_call = torch.func.functional_call


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def gradcheck(module, x, hx, **others):
    names = [name for name, _ in module.named_parameters()]
    states = flat(hx)
    inputs = others.pop("inputs", {})

    def run(x, *tensors):
        given, tensors = tensors[: len(states)], tensors[len(states) :]
        values, parameters = tensors[: len(inputs)], tensors[len(inputs) :]
        keywords = others | ({"inputs": dict(zip(inputs, values, strict=True))} if inputs else {})
        hx = given[0] if len(given) == 1 else given
        return tuple(flat(functional_call(module, dict(zip(names, parameters, strict=True)), (x, hx), keywords)))

    return torch.autograd.gradcheck(run, (x, *states, *inputs.values(), *module.parameters()))


@pytest.mark.parametrize("kind", LAYERS)
def test_gradcheck_of_layers(kind):
    rng = generator(1)
    options = {"proj_size": 2} if kind == "LSTM" else {}
    module = getattr(recurra.torch, kind)(2, 3, num_layers=2, bidirectional=True, dtype=torch.float64, **options)
    x = normal(rng, (3, 2, 2), torch.float64)
    hx = [normal(rng, (4, 2, n), torch.float64) for n in ((2, 3) if kind == "LSTM" else (3,))]
    assert gradcheck(module, x, hx)
    assert gradcheck(module, x, hx, lengths=torch.tensor([1, 3]))
    assert gradcheck(module, x, hx, resets=torch.tensor([[False, True], [True, False], [False, False]]))


@pytest.mark.parametrize("kind", CELLS)
def test_gradcheck_of_cells(kind):
    rng = generator(2)
    module = getattr(recurra.torch, kind)(2, 3, dtype=torch.float64)
    states = [normal(rng, (2, 3), torch.float64) for _ in range(2 if kind == "LSTMCell" else 1)]
    assert gradcheck(module, normal(rng, (2, 2), torch.float64), states)


@recurra.formula(gates="f n", inputs="gain gate:step mood:row", units={"w": 0.5}, scalars={"tau": 0.7})
def Listening(a, s, u, x):
    """Reads one input of each shape, a unit vector and a number."""
    f = recurra.formula.sigmoid(a.f * x.gate + x.mood)
    return f * s.h * u.tau + (1 - f) * recurra.formula.tanh(a.n + u.w * x.gain)


def test_gradcheck_of_formulas_with_inputs():
    rng = generator(3)
    module = recurra.torch.as_module(Listening)(2, 3, num_layers=2, dtype=torch.float64)
    inputs = {"gain": normal(rng, (4, 2, 3), torch.float64), "gate": normal(rng, (4, 2), torch.float64)}
    inputs["mood"] = normal(rng, (2, 3), torch.float64)
    x, hx = normal(rng, (4, 2, 2), torch.float64), normal(rng, (2, 2, 3), torch.float64)
    assert gradcheck(module, x, hx, inputs=inputs, lengths=torch.tensor([4, 2]))
    cell = recurra.torch.as_module(Listening).Cell(2, 3, dtype=torch.float64)
    step = {"gain": inputs["gain"][0].detach().requires_grad_(), "gate": inputs["gate"][0].detach().requires_grad_()}
    assert gradcheck(
        cell, x[0].detach().requires_grad_(), hx[0].detach().requires_grad_(), inputs=step | {"mood": inputs["mood"]}
    )


def test_second_derivatives_are_refused():
    """Also where only a part of the loss has them, a gradient penalty, which would be left out silently."""
    module = recurra.torch.LSTM(2, 3)
    x = torch.randn(4, 2, 2, requires_grad=True)
    y = module(x)[0]
    for loss in (y.sum(), y.square().sum()):
        (dx,) = torch.autograd.grad(loss, x, create_graph=True)
        with pytest.raises(RuntimeError, match="first derivatives only"):
            (loss + dx.square().sum()).backward(retain_graph=True)


def test_graphs_are_kept_or_freed():
    module = recurra.torch.GRU(2, 3)
    x = torch.randn(4, 2, 2, requires_grad=True)
    y = module(x)[0].sum()
    (first,) = torch.autograd.grad(y, x, retain_graph=True)
    (second,) = torch.autograd.grad(y, x)
    assert torch.equal(first, second)
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()


def test_gradients_of_parts_of_the_outputs():
    for pick in (lambda o: o[0][1:], lambda o: o[1], lambda o: o[2][:, 0], lambda o: o[0].sum() + o[2].sum()):
        grads = []
        for module in pair("LSTM", 2, 3):
            x = torch.from_numpy(generator(4).standard_normal((4, 2, 2))).float().requires_grad_()
            pick(flat(module(x))).sum().backward()
            grads.append([x.grad, *[p.grad for p in module.parameters()]])
        assert_close(*grads)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("frozen", ["x", "h", "weight_ih_l0", "weight_hh_l1", "bias_ih_l0", "bias_hh_l0", "all"])
def test_what_needs_no_gradient_gets_none(kind, frozen):
    rng = generator(5)
    theirs, ours = pair(kind, 2, 3, num_layers=2)
    states = 2 if kind == "LSTM" else 1
    x = normal(rng, (4, 3, 2)).requires_grad_(frozen != "x")
    hx = tuple(normal(rng, (2, 3, 3)).requires_grad_(frozen != "h") for _ in range(states))
    hx = hx if states == 2 else hx[0]
    for module in (theirs, ours):
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(frozen not in {name, "all"})
    expected, got = results(theirs, x, hx), results(ours, x, hx)
    assert [one is None for one in got] == [one is None for one in expected]
    assert sum(one is None for one in got) == (8 if frozen == "all" else frozen not in {"x", "h"})
    there = [i for i, one in enumerate(got) if one is not None]
    assert_close([got[i] for i in there], [expected[i] for i in there])


@pytest.mark.parametrize("change", ["data", "no_grad"])
def test_weights_changed_before_backward(change):
    """The gradient is that at the weights of the forward pass, which the tape has."""
    module = recurra.torch.LSTM(2, 3)
    x = torch.randn(4, 2, 2, requires_grad=True)
    module(x)[0].sum().backward()
    expected = [x.grad.clone(), *[p.grad.clone() for p in module.parameters()]]
    x.grad = None
    module.zero_grad()
    loss = module(x)[0].sum()
    if change == "data":
        module.weight_hh_l0.data.zero_()
    else:
        with torch.no_grad():
            module.weight_hh_l0.mul_(2)
    module(torch.randn(1, 1, 2))
    loss.backward()
    assert_close([x.grad, *[p.grad for p in module.parameters()]], expected)


def test_calls_with_other_weights_between_forward_and_backward():
    theirs, ours = pair("GRU", 2, 3)
    x = torch.randn(4, 2, 2)
    sets = [{name: torch.randn_like(p, requires_grad=True) for name, p in ours.named_parameters()} for _ in range(2)]

    def run(module):
        losses = [functional_call(module, weights, (x,))[0].square().sum() for weights in (*sets, sets[0])]
        return [
            g
            for loss, w in zip(losses, (*sets, sets[0]), strict=True)
            for g in torch.autograd.grad(loss, [*w.values()])
        ]

    assert_close(run(ours), run(theirs))


def test_transforms_of_torch_func():
    theirs, ours = pair("LSTM", 2, 3, dtype=torch.float64)
    x = torch.randn(4, 2, 2, dtype=torch.float64)

    def loss(module):
        return lambda weights: functional_call(module, weights, (x,))[0].square().sum()

    gradients = [torch.func.grad(loss(module))(dict(module.named_parameters())) for module in (ours, theirs)]
    assert_close(*[list(each.values()) for each in gradients])
    values, pullback = torch.func.vjp(lambda x: ours(x)[0], x)
    assert_close(
        [values, *pullback(values)], [theirs(x)[0].detach(), *torch.func.vjp(lambda x: theirs(x)[0], x)[1](values)]
    )
    with pytest.raises(NotImplementedError, match="vmap"):
        torch.func.vmap(lambda x: ours(x)[0])(x[None])
    with pytest.raises(RuntimeError, match="first derivatives only"):
        torch.func.grad(lambda x: torch.func.grad(lambda x: ours(x)[0].sum())(x).sum())(x)


def test_parametrizations_and_weight_norm():
    rng = generator(6)
    x = normal(rng, (4, 2, 2))
    norms = [torch.nn.utils.parametrizations.weight_norm]
    norms.append(lambda m, name: torch.nn.utils.parametrize.register_parametrization(m, name, torch.nn.Tanh()))
    for norm in norms:
        theirs, ours = pair("LSTM", 2, 3)
        for module in (theirs, ours):
            norm(module, "weight_hh_l0")
        assert_close(results(ours, x), results(theirs, x))
        with torch.no_grad():
            for module in (theirs, ours):
                for parameter in module.parameters():
                    parameter.mul_(1.5)
        assert_close(results(ours, x), results(theirs, x))


def test_hooks():
    """Of modules, forward and backward, and of parameters."""
    seen = []
    for module in pair("GRU", 2, 3):
        module.register_forward_hook(lambda *given: (given[2][0] * 2, given[2][1]))
        module.register_full_backward_hook(lambda *given: seen.append(given[2][0]))
        module.weight_ih_l0.register_hook(lambda grad: grad * 3)
        module.bias_ih_l0.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
        torch.manual_seed(0)
        x = torch.randn(4, 2, 2, requires_grad=True)
        module(x)[0].sum().backward()
        seen.append(module.weight_ih_l0.grad)
    assert len(seen) == 6
    assert_close(seen[3:], seen[:3])


def test_parameters_shared_between_modules_and_calls():
    grads = []
    for first, second in zip(pair("LSTM", 3, 3), pair("LSTM", 3, 3), strict=True):
        second.weight_hh_l0 = first.weight_hh_l0
        torch.manual_seed(0)
        x = torch.randn(4, 2, 3)
        y = second(first(x)[0])[0] + first(x)[0]
        y.sum().backward()
        grads.append([first.weight_hh_l0.grad, first.weight_ih_l0.grad, second.weight_ih_l0.grad])
    assert_close(*grads)


def test_checkpoints_recompute():
    module = recurra.torch.GRU(2, 3)
    x = torch.randn(4, 2, 2, requires_grad=True)
    for reentrant in (True, False):
        y = torch.utils.checkpoint.checkpoint(lambda x: module(x)[0], x, use_reentrant=reentrant)
        (got,) = torch.autograd.grad(y.sum(), x) if not reentrant else [None]
        if reentrant:
            x.grad = None
            y.sum().backward()
            got = x.grad
        assert torch.equal(got, torch.autograd.grad(module(x)[0].sum(), x)[0])


def test_threads_with_weights_of_their_own():
    """Calls of one module at the same time, each with other weights: none sees another's."""
    module = recurra.torch.LSTM(2, 3)
    x = torch.randn(4, 2, 2)
    wrong = []

    def work(seed):
        generator = torch.Generator().manual_seed(seed)
        weights = {
            name: torch.randn(p.shape, generator=generator).requires_grad_() for name, p in module.named_parameters()
        }
        twin = recurra.torch.LSTM(2, 3)
        twin.load_state_dict({name: value.detach() for name, value in weights.items()})
        twin(x)[0].sum().backward()
        expected = [p.grad for p in twin.parameters()]
        for _ in range(50):
            call = recurra.torch._run.Call(module)
            outputs = recurra.torch._run.outputs_of(call, (x, None, None), list(weights.values()))
            grads = torch.autograd.grad(outputs[0].sum(), list(weights.values()))
            if not all(map(torch.equal, grads, expected)):
                wrong.append(seed)

    module(x)
    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("kind", ["GRU", "GRUCell"])
@pytest.mark.parametrize("grad", [True, False])
def test_tangents_are_refused_instead_of_dropped(kind, grad):
    module = getattr(recurra.torch, kind)(3, 4).requires_grad_(False)
    x = torch.ones(5, 2, 3)[0] if kind == "GRUCell" else torch.ones(5, 2, 3)
    with torch.autograd.forward_ad.dual_level(), torch.set_grad_enabled(grad):
        flat(module(x))
        with pytest.raises(NotImplementedError, match="forward mode AD"):
            module(torch.autograd.forward_ad.make_dual(x, x))


def test_tensors_that_are_negated_lazily():
    theirs, ours = pair("LSTM", 3, 4)
    x = torch.view_as_complex(normal(generator(9), (5, 2, 3, 2)).detach()).conj().imag.requires_grad_()
    assert x.is_neg()

    def run(module):
        x.grad = None
        y, _ = module(x)
        torch.complex(y, y).conj().imag.pow(2).sum().backward()  # hands over a gradient of that kind
        return [y.detach(), x.grad.clone()]

    assert_close(run(ours), run(theirs))
