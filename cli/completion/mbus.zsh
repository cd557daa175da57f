# zsh completion for mbus.
_mbus() {
	local -a found
	found=("${(@f)$(mbus __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	if [[ -n "${found[1]}" ]]; then
		compadd -- "${found[@]}"
	else
		_files
	fi
}
compdef _mbus mbus
