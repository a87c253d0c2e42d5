"""What no recipe may contain, at any depth: code to import, trust, secrets, locations of data, Hydra settings."""

from collections.abc import Mapping
from typing import Any

from backbonekit.contract.option_values import shown

_CODE = "a recipe names registered parts, never code to import or call"
_TRUST = "whether to trust something is the caller's to say, never the recipe's"
_ACCESS = "where to download from and with which rights is the caller's environment, never the recipe's"
_HYDRA = "a recipe does not configure Hydra"


def words(text: str) -> list[str]:
    """A list of names, written as one text."""
    return text.split()


FORBIDDEN: Mapping[str, str] = {
    **dict.fromkeys(
        words(
            "_target_ target __target__ _partial_ _args_ _kwargs_ _recursive_ _convert_ class_path init_args __class__ "
            "__type__ __reduce__ custom_imports custom_load custom_init import import_path module callable func "
            "auto_map auto_class code_revision"
        ),
        _CODE,
    ),
    **dict.fromkeys(
        words("trust_remote_code trust_repo weights_only allow_pickle pickle_module unsafe safe_serialization"), _TRUST
    ),
    **dict.fromkeys(
        words(
            "token hf_token use_auth_token auth_token api_key password endpoint hf_endpoint proxies cache_dir cache "
            "hub_cache local_files_only force_download url"
        ),
        _ACCESS,
    ),
    **dict.fromkeys(words("hydra hydra/launcher hydra/job_logging searchpath callbacks job_logging"), _HYDRA),
}


def without_forbidden(data: Any, path: str = "") -> tuple[Any, list[str]]:
    """A copy without forbidden keys, and a fault for each that was there."""
    if isinstance(data, list):
        pairs = [without_forbidden(item, f"{path}.{index}") for index, item in enumerate(data)]
        return [item for item, _ in pairs], [fault for _, faults in pairs for fault in faults]
    if not isinstance(data, dict):
        return data, []
    kept: dict[str, Any] = {}
    faults: list[str] = []
    for key, value in data.items():
        where = f"{path}.{key}"
        reason = _reason(key)
        if reason is not None:
            faults.append(f"{shown_path(where)} is refused: {reason}. Leave it out.")
            continue
        kept[key], deeper = without_forbidden(value, where)
        faults.extend(deeper)
    return kept, faults


def interpolations(data: Any, path: str = "") -> list[str]:
    """A fault for every `${...}`: a shared recipe means the same on every machine."""
    if isinstance(data, str):
        if "${" not in data:
            return []
        return [
            f"{shown_path(path)}: {shown(data)} refers to something else; a shared recipe has the values themselves."
        ]
    if isinstance(data, list):
        return [fault for index, item in enumerate(data) for fault in interpolations(item, f"{path}.{index}")]
    if isinstance(data, dict):
        keys = [fault for key in data for fault in interpolations(key, f"{path}.{key}")]
        return keys + [fault for key, item in data.items() for fault in interpolations(item, f"{path}.{key}")]
    return []


def shown_path(path: str) -> str:
    return shown(path.lstrip("."), quotes=False)


def _reason(key: str) -> str | None:
    folded = key.casefold().strip()
    if folded in FORBIDDEN:
        return FORBIDDEN[folded]
    return _CODE if folded.startswith("__") else None
