"""`backbonekit completion SHELL`: the script by which a shell completes what is typed after `backbonekit`."""

import json
import sys
from collections.abc import Sequence

from backbonekit.cli.text import printable
from backbonekit.cli.values import without_format
from backbonekit.errors import RecipeError, nearest

CANDIDATES = "candidates"  # what the scripts call: the words after it, each behind a "=", are those typed so far
USAGE = """usage: backbonekit completion SHELL [format=json]

examples:
  backbonekit completion bash > ~/.local/share/bash-completion/completions/backbonekit
  backbonekit completion zsh > ~/.zfunc/_backbonekit
      (with `fpath+=~/.zfunc` before `autoload -Uz compinit && compinit` in ~/.zshrc)
  backbonekit completion fish > ~/.config/fish/completions/backbonekit.fish
  source <(backbonekit completion bash)    # for the shell that is open

Completes verbs, arguments, keys of the recipe and their values, the names of models, backbones, necks, heads, data
formats and experiments (with those of --config-dir and of installed packages), and paths.
"""
# The scripts ask for candidates, one a line: the whole word, and behind a tab what it is. What ends in one of `=./,` is
# not finished, so no space follows it.
_BASH = r"""# bash completion of backbonekit
_backbonekit() {
    local line="${COMP_LINE:0:COMP_POINT}" words=() typed=() word current before="" breaks
    read -a words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    for word in "${words[@]:1}"; do typed+=("=$word"); done
    current="${words[${#words[@]}-1]}"
    # Bash replaces only what stands behind the last = or :, where these break words.
    breaks="${COMP_WORDBREAKS//[^=:]/}"
    [[ -n $breaks ]] && before="${current%"${current##*[$breaks]}"}"
    COMPREPLY=()
    while IFS=$'\t' read -r word _; do
        [[ $word == *[=./,] ]] || word="$word "
        word="${word#"$before"}"
        [[ $word == *" " ]] && word="$(printf %q "${word% }") " || word="$(printf %q "$word")"
        COMPREPLY+=("$word")
    done < <(backbonekit completion candidates "${typed[@]}" 2>/dev/null)
}
complete -o nospace -F _backbonekit backbonekit
"""
_ZSH = r"""#compdef backbonekit
_backbonekit() {
    local -a typed finished finished_shown open open_shown
    local line word shown
    typed=("${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}")
    for line in "${(@f)$(backbonekit completion candidates "${(@)typed/#/=}" 2>/dev/null)}"; do
        [[ -n $line ]] || continue
        word="${line%%$'\t'*}"
        shown="$word"
        [[ $line == *$'\t'* ]] && shown="$word  -- ${line#*$'\t'}"
        if [[ $word == *[=./,] ]]; then
            open+=("$word"); open_shown+=("$shown")
        else
            finished+=("$word"); finished_shown+=("$shown")
        fi
    done
    (( $#open )) && compadd -S '' -l -d open_shown -- "${(@)open}"
    (( $#finished )) && compadd -l -d finished_shown -- "${(@)finished}"
    (( $#open + $#finished ))
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _backbonekit "$@"
else
    compdef _backbonekit backbonekit
fi
"""
_FISH = r"""# fish completion of backbonekit
function __backbonekit_candidates
    set -l typed (commandline -opc)
    set -e typed[1]
    set -l current (commandline -ct)
    backbonekit completion candidates =$typed ="$current" 2>/dev/null
end
complete -c backbonekit -f -a '(__backbonekit_candidates)'
"""
SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def main(words: Sequence[str]) -> int:
    if words[:1] == [CANDIDATES]:
        from backbonekit.cli.completion_words import candidates

        for word, about in candidates([word.removeprefix("=") for word in words[1:]]):
            print(printable(f"{word}\t{about}" if about else word).replace("\\t", "\t", 1))
        return 0
    if not words or "-h" in words or "--help" in words:
        print(USAGE, end="")
        return 0
    words, is_json = without_format(words)
    if len(words) != 1 or words[0] not in SCRIPTS:
        raise RecipeError(f"there is no script for {' '.join(words)!r}; {nearest(' '.join(words), SCRIPTS)}")
    script = SCRIPTS[words[0]]
    sys.stdout.write(json.dumps({"shell": words[0], "script": script}) + "\n" if is_json else script)
    return 0
