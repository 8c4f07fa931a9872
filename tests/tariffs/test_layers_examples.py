"""Small tariffs that use every rule of every layer: the examples inside them, on the engines."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from fastpath.api import CompiledTariff
from gateway.tariffs.compile import compile_source
from gateway.tariffs.examples import run_example
from gateway.tariffs.load import load_tariff
from gateway.tariffs.loaded import LoadedTariff, load
from tests.tariffs.both_engines import BothEngines
from tests.tariffs.conftest import WriteTown

FILES = Path(__file__).parent / "files"
NAMES = sorted(path.stem for path in FILES.glob("*.toml"))
EXAMPLES = [
    (name, number)
    for name in NAMES
    for number in range(len(load_tariff(FILES / f"{name}.toml").examples))
]


@cache
def tariff_of(name: str) -> LoadedTariff:
    return load(FILES / f"{name}.toml")


@pytest.mark.parametrize(
    ("name", "number"), EXAMPLES, ids=[f"{name}-{number}" for name, number in EXAMPLES]
)
def test_an_example_costs_what_its_file_says(name: str, number: int) -> None:
    tariff = tariff_of(name)
    example = tariff.source.examples[number]
    assert run_example(tariff, example).faults == (), f"{example.name}, line {example.line}"


@pytest.mark.parametrize(
    ("name", "number"), EXAMPLES, ids=[f"{name}-{number}" for name, number in EXAMPLES]
)
def test_the_compiled_engine_agrees_tap_by_tap(name: str, number: int) -> None:
    tariff = tariff_of(name)
    assert run_example(tariff, tariff.source.examples[number], BothEngines).faults == ()


@pytest.mark.parametrize("name", NAMES)
def test_it_packs_into_a_blob_and_back(name: str) -> None:
    tariff = tariff_of(name)
    compiled = CompiledTariff.build(tariff.spec)
    assert CompiledTariff.load(compiled.blob).digest == compiled.digest


@pytest.mark.parametrize("name", NAMES)
def test_the_same_files_give_the_same_arrays(name: str) -> None:
    assert compile_source(load_tariff(FILES / f"{name}.toml")) == tariff_of(name).spec


def test_a_plain_tariff_has_no_layers(write_town: WriteTown) -> None:
    assert load(write_town()).spec.layers is None


def test_passes_alone_leave_the_plain_tables(beijing: LoadedTariff) -> None:
    layers = beijing.spec.layers
    assert layers is not None
    assert layers.legs is None
    assert len(layers.passes) == 5
