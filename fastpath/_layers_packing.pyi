from fastpath.layers import Layers
from fastpath.types import TariffSpec

SECTIONS: tuple[tuple[str, int], ...]
CLASSES_MAX: int
CELLS_MAX: int

def pack_layers(spec: TariffSpec) -> dict[str, bytes]: ...
def names_of_layers(spec: TariffSpec) -> dict[str, list[str]]: ...
def unpack_layers(at: dict[str, bytes], meta: dict[str, list[str]]) -> Layers | None: ...
