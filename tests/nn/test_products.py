"""Dense products: by oneDNN and by torch the same numbers, and the choice between them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from ditr.nn import products
from ditr.nn.products import Linear, Products, add_transposed_product, linear, product, use_products

needs_onednn = pytest.mark.skipif(not products._has_operator(), reason="this torch has no oneDNN")
ROWS = [1, 255, 256, 300, 4096, 4096 + 256 + 17]


@pytest.fixture(autouse=True, name="onednn")
def _onednn() -> Iterator[None]:
    use_products(Products.ONEDNN if products._has_operator() else None)
    yield
    use_products(None)


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_near(found: Tensor, exact: Tensor) -> None:
    """Within 1e-5 of the root mean square, as float32 allows; ``exact`` was computed in double precision."""
    assert found.dtype == torch.float32 and found.shape == exact.shape
    exact = exact.detach()
    assert float((found.detach().double() - exact).abs().max() / exact.square().mean().sqrt()) < 1e-5


@needs_onednn
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("gelu", [False, True])
def test_values_and_gradients_are_those_of_double_precision(rows: int, gelu: bool) -> None:
    layer, upstream = Linear(96, 160), numbers(rows, 160, seed=2)
    x = numbers(rows, 96, seed=1).requires_grad_()
    out = layer(x, gelu=gelu)
    found = torch.autograd.grad(out, (x, layer.weight, layer.bias), upstream)
    exact = [t.detach().double().requires_grad_() for t in (x, layer.weight, layer.bias)]
    expected = functional.linear(*exact)
    expected = functional.gelu(expected) if gelu else expected
    assert_near(out, expected)
    for one, other in zip(found, torch.autograd.grad(expected, exact, upstream.double()), strict=True):
        assert_near(one, other)
    with torch.no_grad():
        assert_near(layer(x, gelu=gelu), expected)


@needs_onednn
def test_a_row_has_the_same_bits_wherever_it_stands() -> None:
    x, weight, bias = numbers(4096 + 777, 64), numbers(128, 64, seed=1), numbers(128, seed=2)
    whole = linear(x, weight, bias)
    for start, stop in ((0, 256), (13, 300), (700, 4797), (4000, 4873), (4872, 4873)):
        assert torch.equal(linear(x[start:stop], weight, bias), whole[start:stop])
    assert torch.equal(linear(x, weight, bias), whole)


@needs_onednn
def test_tensors_of_more_dimensions_and_parts_of_others() -> None:
    x, layer = numbers(3, 50, 128)[:, :, ::2], Linear(64, 5)
    expected = functional.linear(x.double(), layer.weight.double(), layer.bias.double())
    assert_near(layer(x), expected)
    assert layer(x[:0]).shape == (0, 50, 5)


@needs_onednn
@pytest.mark.parametrize("widths", [(64, 192), (192, 64), (5, 70)])
@pytest.mark.parametrize("at_once", [0, 300])
def test_products_into_what_is_there(widths: tuple[int, int], at_once: int) -> None:
    x, y = numbers(1000, widths[0]), numbers(1000, widths[1], seed=1)
    total = torch.ones(widths)
    add_transposed_product(total, x, y, at_once=at_once)
    assert_near(total, 1 + x.double().t() @ y.double())
    out = torch.empty(1000, widths[1])
    product(x, y[: widths[0]], out, at_once=at_once)
    assert_near(out, x.double() @ y[: widths[0]].double())


@needs_onednn
def test_onednn_meets_few_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shape costs compiled code, and scenes of all sizes come."""
    shapes = set()
    operator = products._operator

    def counted(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, gelu: bool = False) -> Tensor:
        shapes.add((*x.shape, *weight.shape))
        return operator(x, weight, bias, gelu=gelu)

    monkeypatch.setattr(products, "_operator", counted)
    layer = Linear(64, 128)
    for rows in range(1, 6000, 371):
        layer(numbers(rows, 64).requires_grad_()).sum().backward()
    assert len(shapes) <= 9


def test_what_is_not_float32_on_a_cpu_is_left_to_torch() -> None:
    layer = Linear(8, 8)
    double = Linear(8, 8).double()
    x = numbers(10, 8)
    assert torch.equal(double(x.double()), functional.linear(x.double(), double.weight, double.bias))
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(x).dtype == torch.bfloat16
    use_products(Products.TORCH)
    assert torch.equal(layer(x), functional.linear(x, layer.weight, layer.bias))


def test_the_choice_follows_from_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    use_products(None)
    for processor, capability, choice in (
        (("AuthenticAMD", 26), "AVX512", Products.ONEDNN),
        (("AuthenticAMD", 25), "AVX512", Products.TORCH),
        (("AuthenticAMD", 26), "AVX2", Products.TORCH),
        (("GenuineIntel", 6), "AVX512", Products.TORCH),
        (("", 0), "DEFAULT", Products.TORCH),
    ):
        monkeypatch.setattr(products, "_processor", lambda processor=processor: processor)
        monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda capability=capability: capability)
        products.best_products.cache_clear()
        assert products.best_products() is (choice if products._has_operator() else Products.TORCH)
    monkeypatch.undo()
    products.best_products.cache_clear()
    assert products.products() is products.best_products()
    monkeypatch.setattr(products, "_has_operator", lambda: False)
    with pytest.raises(ValueError, match="oneDNN is not in this torch"):
        use_products(Products.ONEDNN)
