# bash completion for mbus; works with bash 3.2 and later.
_mbus() {
	local IFS=$'\n'
	COMPREPLY=($(mbus __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _mbus mbus
