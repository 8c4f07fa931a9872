"""Where the data that comes with faregate lies: beside the sources, or inside a wheel."""

from __future__ import annotations

from pathlib import Path

from gateway.config import CreditConfig, LimitsConfig, RiskConfig, TariffsConfig
from gateway.errors import ConfigError, EnvironmentFault, TariffError

_PACKAGE = Path(__file__).resolve().parent


def shipped_dir() -> Path:
    """The folder `config/` of the sources, as it was installed. Raises: EnvironmentFault."""
    for folder in (_PACKAGE / "shipped", _PACKAGE.parent / "config"):
        if (folder / "tariffs").is_dir():
            return folder
    raise EnvironmentFault(
        detail=f"the tariffs that come with faregate are missing beside {_PACKAGE}"
    )


def tariff_dirs(config: TariffsConfig | None = None) -> tuple[Path, ...]:
    """Folders to look for tariffs in, the configured ones first."""
    return (*(config.dirs if config else ()), shipped_dir() / "tariffs")


def calendar_dirs(config: TariffsConfig | None = None) -> tuple[Path, ...]:
    """Folders to look for calendar files in."""
    return (*(config.dirs if config else ()), shipped_dir() / "calendars")


def list_tariffs(config: TariffsConfig | None = None) -> dict[str, Path]:
    """Tariff id → file; of two files with one name the first folder's counts."""
    found: dict[str, Path] = {}
    for folder in tariff_dirs(config):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find_tariff(name: str, config: TariffsConfig | None = None) -> Path:
    """The file of a tariff id, or the file named by a path. Raises: TariffError."""
    if name.endswith(".toml") or "/" in name:
        path = Path(name)
        if path.is_file():
            return path
        raise TariffError("TARIFF_NOT_FOUND", f"there is no file {name}")
    known = list_tariffs(config)
    if name not in known:
        folders = ", ".join(str(folder) for folder in tariff_dirs(config))
        raise TariffError("TARIFF_NOT_FOUND", f"there is no tariff {name} in {folders}")
    return known[name]


def limit_dirs(config: LimitsConfig | None = None) -> tuple[Path, ...]:
    """Folders to look for limits in, the configured ones first."""
    return (*(config.dirs if config else ()), shipped_dir() / "limits")


def list_limits(config: LimitsConfig | None = None) -> dict[str, Path]:
    """Id → file of limits; of two files with one name the first folder's counts."""
    found: dict[str, Path] = {}
    for folder in limit_dirs(config):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find_limits(name: str, config: LimitsConfig | None = None) -> Path:
    """The file of limits with an id, or the file named by a path. Raises: ConfigError."""
    known = list_limits(config)
    path = Path(name) if name.endswith(".toml") or "/" in name else known.get(name)
    if path is None or not path.is_file():
        folders = ", ".join(str(folder) for folder in limit_dirs(config))
        raise ConfigError("LIMITS_NOT_FOUND", f"there are no limits {name} in {folders}")
    return path


def list_credit_policies(config: CreditConfig | None = None) -> dict[str, Path]:
    """Id → file of credit policies; of two files with one name the first folder's counts."""
    found: dict[str, Path] = {}
    for folder in (*(config.dirs if config else ()), shipped_dir() / "credit"):
        for path in sorted(folder.glob("*.toml")):
            found.setdefault(path.stem, path)
    return found


def find_risk_rules(name: str, config: RiskConfig | None = None) -> Path:
    """A file of risk rules by its name or path. Raises: ConfigError RISK_RULES_NOT_FOUND."""
    if name.endswith(".toml") or "/" in name:
        found = [Path(name)]
    else:
        folders = (*(config.dirs if config else ()), shipped_dir() / "risk")
        found = [folder / f"{name}.toml" for folder in folders]
    for path in found:
        if path.is_file():
            return path
    raise ConfigError("RISK_RULES_NOT_FOUND", f"there are no rules {name}")


def list_cities() -> dict[str, Path]:
    """City id → file."""
    return {path.stem: path for path in sorted((shipped_dir() / "cities").glob("*.toml"))}


def find_city(name: str) -> Path:
    """The file of a city id, or the file named by a path. Raises: ConfigError."""
    known = list_cities()
    path = Path(name) if name.endswith(".toml") or "/" in name else known.get(name)
    if path is None or not path.is_file():
        said = f"there is no city {name}; known are {', '.join(known)}"
        raise ConfigError("CITY_NOT_FOUND", said)
    return path
