"""Fields that every transformers `config.json` may carry and that say nothing about a backbone's features; and the note
about words that nobody reads."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# What a configuration is about besides the architecture: file keeping, task heads, text generation.
# Source: PretrainedConfig of transformers 4 (configuration_utils.py), whose nested dumps carry all of them, and of 5.
GENERIC_FIELDS = frozenset(
    [
        "_attn_implementation",
        "_attn_implementation_autoset",
        "_attn_implementation_internal",
        "_commit_hash",
        "_experts_implementation_internal",
        "_name_or_path",
        "_output_attentions",
        "add_cross_attention",
        "architectures",
        "attn_implementation",
        "auto_map",
        "bad_words_ids",
        "begin_suppress_tokens",
        "bos_token_id",
        "chunk_size_feed_forward",
        "cross_attention_hidden_size",
        "decoder_start_token_id",
        "diversity_penalty",
        "do_sample",
        "dtype",
        "early_stopping",
        "encoder_no_repeat_ngram_size",
        "eos_token_id",
        "exponential_decay_length_penalty",
        "finetuning_task",
        "forced_bos_token_id",
        "forced_eos_token_id",
        "gradient_checkpointing",
        "id2label",
        "is_composition",
        "is_decoder",
        "is_encoder_decoder",
        "label2id",
        "length_penalty",
        "max_length",
        "min_length",
        "model_type",
        "name_or_path",
        "no_repeat_ngram_size",
        "num_beam_groups",
        "num_beams",
        "num_labels",
        "num_return_sequences",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "pad_token_id",
        "prefix",
        "problem_type",
        "pruned_heads",
        "remove_invalid_values",
        "repetition_penalty",
        "return_dict",
        "return_dict_in_generate",
        "sep_token_id",
        "suppress_tokens",
        "task_specific_params",
        "temperature",
        "tf_legacy_loss",
        "tie_encoder_decoder",
        "tie_word_embeddings",
        "tokenizer_class",
        "top_k",
        "top_p",
        "torch_dtype",
        "torchscript",
        "transformers_version",
        "typical_p",
        "use_bfloat16",
        "use_cache",
    ]
)

# Which maps are returned is decided when a backbone is built, not by the architecture.
SELECTION_FIELDS = frozenset({"out_features", "out_indices", "_out_features", "_out_indices", "stage_names"})

_SHOWN_WORDS = 20


def ignored_note(where: str, words: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    """The note about words of a `config.json` that transformers does not read either; none without such words.

    `where`: the configuration that holds them, for the reader of the note. `known`: its fields, to recognise misspelt
    ones.
    """
    fields = list(known)
    near = {word: get_close_matches(str(word)[:60], fields, n=1, cutoff=0.8) for word in words[:_SHOWN_WORDS]}
    shown = [f"{str(word)[:60]!r}{f' (not {field[0]!r})' if field else ''}" for word, field in near.items()]
    if len(words) > len(near):
        shown.append(f"and {len(words) - len(near):,} others")
    return (f"{where}: ignored {', '.join(shown)}; transformers does not read it either.",) if shown else ()
