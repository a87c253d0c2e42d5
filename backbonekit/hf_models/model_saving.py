"""Writing a model as transformers writes it: a folder with `config.json` and weights, or a Hub repository."""

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from backbonekit.errors import ContractError
from backbonekit.hf_models.config_file import FILE, is_weight_file, write_config
from backbonekit.hf_models.model_methods import ModelMethods
from backbonekit.hub.push import push_contents
from backbonekit.weights.untrusted_files import user_path
from backbonekit.weights.write_folder import replacing
from backbonekit.weights.write_tensors import MAX_SHARD_BYTES, save_tensors, shard_bytes


class ModelSaving(ModelMethods):
    """A model with `save_pretrained` and `push_to_hub`."""

    def save_pretrained(
        self,
        save_directory: str | Path,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        push_to_hub: bool = False,
        max_shard_size: int | str = MAX_SHARD_BYTES,
        safe_serialization: bool = True,
    ) -> Path:
        """Writes `config.json` and weights as transformers names them, and for a whole model
        `preprocessor_config.json`. All or nothing. Returns the folder.

        `is_main_process`: False writes nothing, for all processes of a training but one. `state_dict`: other weights
        than the model's, by the names of its `state_dict()`. `max_shard_size`: of a weight file, in bytes or as
        `500MB`. As in transformers, a model that is in the folder is replaced. Raises ContractError for a model that
        transformers does not have, WeightsError where a module is no longer the one that was built, StorageError.
        """
        if push_to_hub:
            raise ContractError("save_pretrained(push_to_hub=True): the fix: model.push_to_hub('owner/name').")
        if not safe_serialization:
            raise ContractError("safe_serialization=False: weights are written as .safetensors alone; leave it out.")
        limit = shard_bytes(max_shard_size)
        path = user_path(save_directory)
        if not is_main_process:
            return path
        weights = self.state_dict()
        if state_dict is not None and state_dict.keys() != weights.keys():
            other = sorted(state_dict.keys() ^ weights.keys())
            raise ContractError(f"state_dict has other names than the model, {other[0]!r} first ({len(other)} in all).")
        files, tensors = self._written(dict(weights if state_dict is None else state_dict))
        with replacing(path, stale=is_weight_file, last=FILE) as temporary:
            # A joined matrix is written as its parts, which must not share memory.
            copies = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
            save_tensors(temporary, copies, max_shard_bytes=limit)
            for name, content in files.items():
                write_config(content, temporary, name=name)
        return path

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Upload model",
        private: bool = False,
        token: str | None = None,
        max_shard_size: int | str = MAX_SHARD_BYTES,
    ) -> str:
        """Uploads what `save_pretrained` writes to the Hub repository `repo_id`, in one commit. Returns its address.

        `private`: holds for a repository that is made now. `token`: the stored one when None. Raises StorageError.
        """
        with TemporaryDirectory() as folder:
            saved = self.save_pretrained(Path(folder) / "model", max_shard_size=max_shard_size)
            contents = {
                file.name: str(file) if is_weight_file(file.name) else file.read_bytes()
                for file in sorted(saved.iterdir())
            }
            return push_contents(contents, repo_id, private=private, token=token, message=commit_message)

    @abstractmethod
    def _written(self, state_dict: dict[str, Tensor]) -> tuple[dict[str, dict[str, Any]], dict[str, Tensor]]:
        """The content of each JSON file by its name, and the weights by transformers' names."""
