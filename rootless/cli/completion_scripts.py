"""The scripts that shells read.  They ask ``rootless __complete``, so they need not change with it."""

from __future__ import annotations

_BASH = r"""# bash completion for rootless:  source <(rootless completion bash)
_rootless() {
    local line found
    mapfile -t found < <(rootless __complete bash "${COMP_LINE:0:COMP_POINT}" 2>/dev/null)
    (( ${#found[@]} )) || return
    local kind="${found[-1]}"
    unset 'found[-1]'
    COMPREPLY=("${found[@]}")
    local current="${COMP_WORDS[COMP_CWORD]}"
    [[ $current == [=:] ]] && current=
    case $kind in
        :file) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -f -- "$current") ;;
        :directory) compopt -o filenames; mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$current") ;;
    esac
    [[ ${COMPREPLY[0]-} == *: ]] && compopt -o nospace
}
complete -F _rootless rootless
"""

_ZSH = r"""#compdef rootless
# zsh completion for rootless:  source <(rootless completion zsh)
_rootless() {
    local -a found
    found=("${(@f)$(rootless __complete zsh "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    local kind="${found[-1]}"
    found[-1]=()
    (( $#found )) && _describe -t values rootless found
    case $kind in
        :file) _files ;;
        :directory) _files -/ ;;
    esac
}
compdef _rootless rootless
"""

_FISH = r"""# fish completion for rootless:  rootless completion fish | source
function __rootless_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found (rootless __complete fish $words[2..-1] 2>/dev/null)
    switch "$found[-1]"
        case ':file'
            __fish_complete_path (commandline -ct)
        case ':directory'
            __fish_complete_directories (commandline -ct)
    end
    test (count $found) -gt 1; and string join \n -- $found[1..-2]
end
complete -c rootless -f -a '(__rootless_complete)'
"""

SCRIPTS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}
