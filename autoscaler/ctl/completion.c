/* Each script asks `activatorctl __complete` (complete.h), and says to its shell what that answers.
 */
#include "autoscaler/ctl/completion.h"

#include <string.h>

#include "autoscaler/ctl/out.h"

/* bash cuts words at "=", and replaces only what is behind it. */
static const char bash[] =
	"# bash completion for activatorctl\n"
	"_activatorctl() {\n"
	"	local line last i glue=\n"
	"	local -a words=()\n"
	"	for ((i = 1; i <= COMP_CWORD; i++)); do\n"
	"		if [[ ${COMP_WORDS[i]} == '=' && ${#words[@]} -gt 0 ]]; then\n"
	"			words[-1]+='=' glue=1\n"
	"		elif [[ $glue ]]; then\n"
	"			words[-1]+=${COMP_WORDS[i]} glue=\n"
	"		else\n"
	"			words+=(\"${COMP_WORDS[i]}\")\n"
	"		fi\n"
	"	done\n"
	"	last=${words[-1]} COMPREPLY=()\n"
	"	while IFS= read -r line; do\n"
	"		line=${line%%$'\\t'*}\n"
	"		case $line in\n"
	"		:files) compopt -o filenames 2>/dev/null\n"
	"			while IFS= read -r line; do COMPREPLY+=(\"$line\"); done "
	"< <(compgen -f -- \"${last#--*=}\") ;;\n"
	"		:nospace) compopt -o nospace 2>/dev/null ;;\n"
	"		*) [[ $last == *=* ]] && line=${line#*=}; COMPREPLY+=(\"$line\") ;;\n"
	"		esac\n"
	"	done < <(activatorctl __complete -- \"${words[@]}\" 2>/dev/null)\n"
	"}\n"
	"complete -F _activatorctl activatorctl\n";

static const char zsh[] =
	"#compdef activatorctl\n"
	"# zsh completion for activatorctl\n"
	"_activatorctl() {\n"
	"	local line word text\n"
	"	local -a found more\n"
	"	for line in \"${(@f)$(activatorctl __complete -- \"${(@)words[2,CURRENT]}\" "
	"2>/dev/null)}\"; do\n"
	"		case $line in\n"
	"		'') ;;\n"
	"		:files) compset -P '--*='; _files; return ;;\n"
	"		:nospace) more=(-S '') ;;\n"
	"		*) word=${line%%$'\\t'*} text=${line#*$'\\t'}\n"
	"			[[ $text == $line ]] && text=\n"
	"			found+=(\"${word//:/\\\\:}${text:+:$text}\") ;;\n"
	"		esac\n"
	"	done\n"
	"	_describe activatorctl found $more\n"
	"}\n"
	"if [ \"$funcstack[1]\" = _activatorctl ]; then\n"
	"	_activatorctl \"$@\"\n"
	"else\n"
	"	compdef _activatorctl activatorctl\n"
	"fi\n";

static const char fish[] =
	"# fish completion for activatorctl\n"
	"function __activatorctl_complete\n"
	"	set -l words (commandline -opc)\n"
	"	set -l last (commandline -ct)\n"
	"	set -e words[1]\n"
	"	for line in (activatorctl __complete -- $words \"$last\" 2>/dev/null)\n"
	"		switch $line\n"
	"			case ':files'\n"
	"				__fish_complete_path \"$last\"\n"
	"			case ':nospace'\n"
	"			case '*'\n"
	"				echo $line\n"
	"		end\n"
	"	end\n"
	"end\n"
	"complete -c activatorctl -f -a '(__activatorctl_complete)'\n";

int
completion_write(const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		out_text(bash);
	else if (strcmp(shell, "zsh") == 0)
		out_text(zsh);
	else if (strcmp(shell, "fish") == 0)
		out_text(fish);
	else
		return -1;
	return 0;
}
