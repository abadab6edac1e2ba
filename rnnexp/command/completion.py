"""What a shell has to evaluate so that Tab completes settings, after ``python -m rnnexp`` as after ``rnnexp``.

Hydra answers the question itself (``--shell-completion query=bash``). Its own scripts are for ``python app.py``: after
``python -m`` they complete nothing.
"""

from collections.abc import Sequence

from rnnexp.checks import InvalidValue

BASH = """\
_rnnexp_complete() {
    local line="${COMP_LINE:0:$COMP_POINT}"
    local -a run
    case "$line" in
        *"python"*" -m rnnexp "*) run=("${COMP_WORDS[0]}" -m rnnexp); line="rnnexp ${line#* -m rnnexp }" ;;
        *python*) return ;;
        *) run=("${COMP_WORDS[0]}") ;;
    esac
    COMPREPLY=($(COMP_LINE="$line" "${run[@]}" --shell-completion query=bash 2>/dev/null))
}
COMP_WORDBREAKS="${COMP_WORDBREAKS//=}"
complete -o nospace -o default -F _rnnexp_complete rnnexp python python3
"""
FISH = """\
function __rnnexp_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l run $words[1]
    if test "$words[2..3]" = "-m rnnexp"
        set run $words[1..3]
        set words $words[3..-1]
    end
    set -lx COMP_LINE (string join ' ' $words)
    $run --shell-completion query=fish 2>/dev/null
end
complete -c rnnexp -x -a '(__rnnexp_complete)'
complete -c python -n '__fish_seen_subcommand_from rnnexp' -x -a '(__rnnexp_complete)'
complete -c python3 -n '__fish_seen_subcommand_from rnnexp' -x -a '(__rnnexp_complete)'
"""
SCRIPTS = {
    ("install", "bash"): BASH,
    ("install", "zsh"): f"autoload -Uz bashcompinit && bashcompinit\n{BASH}",
    ("install", "fish"): FISH,
    ("uninstall", "bash"): "complete -r rnnexp python python3; unset -f _rnnexp_complete\n",
    ("uninstall", "zsh"): "compdef -d rnnexp python python3; unset -f _rnnexp_complete\n",
    ("uninstall", "fish"): "complete -e -c rnnexp; complete -e -c python; complete -e -c python3\n",
}


def script(settings: Sequence[str]) -> str | None:
    """What ``--shell-completion install=bash`` prints; None for a query, which is Hydra's to answer.

    Raises
    ------
    InvalidValue
        For another shell.
    """
    what, _, shell = settings[0].partition("=")
    if what == "query":
        return None
    if (what, shell) not in SCRIPTS:
        raise InvalidValue("--shell-completion", settings[0], "install= or uninstall= with bash, zsh or fish")
    return SCRIPTS[what, shell]
