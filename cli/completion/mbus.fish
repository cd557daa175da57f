# fish completion for mbus.
function __mbus_complete
	set -l words (commandline -opc)
	set -l found (mbus __complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
	if test (count $found) -gt 0
		printf '%s\n' $found
	else
		__fish_complete_path (commandline -ct)
	end
end
complete -c mbus -f -a '(__mbus_complete)'
