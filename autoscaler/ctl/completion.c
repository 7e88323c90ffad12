#include "autoscaler/ctl/completion.h"

#include <string.h>

#include "autoscaler/ctl/commands.h"
#include "autoscaler/ctl/out.h"

#define ROLLOUT_WORDS "status wait pause resume abort"
#define NAMES "activatorctl list -o name --quiet 2>/dev/null"

static void
put_commands(const char *between)
{
	size_t i;

	for (i = 0; i < commands_n; i++)
		out_printf("%s%s", i == 0 ? "" : between, commands[i].name);
}

/* The commands whose first argument is a service. */
static void
put_commands_of_services(const char *between)
{
	size_t i;
	bool is_first = true;

	for (i = 0; i < commands_n; i++)
		if (strstr(commands[i].arguments, "NAME") != NULL) {
			out_printf("%s%s", is_first ? "" : between, commands[i].name);
			is_first = false;
		}
}

static void
write_bash(void)
{
	out_text(
		"# bash completion for activatorctl\n"
		"_activatorctl() {\n"
		"	local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} command= i\n"
		"	local -a where=()\n"
		"	for ((i = 1; i < COMP_CWORD; i++)); do\n"
		"		case ${COMP_WORDS[i]} in\n"
		"		-c|--conf|--socket) where+=(\"${COMP_WORDS[i]}\" \"${COMP_WORDS[i+1]}\"); ((i++)) ;;\n"
		"		-o|--output|--timeout|--for|--interval|-n|--over|--steps|--abort-if|--min-requests|--to) ((i++)) ;;\n"
		"		-*) ;;\n"
		"		*) command=${COMP_WORDS[i]}; break ;;\n"
		"		esac\n"
		"	done\n"
		"	case $before in\n"
		"	-c|--conf|--socket|-f|--file) COMPREPLY=($(compgen -f -- \"$word\")); return ;;\n"
		"	-o|--output) COMPREPLY=($(compgen -W 'wide name json' -- \"$word\")); return ;;\n"
		"	--for) COMPREPLY=($(compgen -W 'awake asleep' -- \"$word\")); return ;;\n"
		"	--steps) COMPREPLY=($(compgen -W '1,10,50,100' -- \"$word\")); return ;;\n"
		"	esac\n"
		"	if [[ $word == -* && $command == rollout ]]; then\n"
		"		COMPREPLY=($(compgen -W '--over --steps --abort-if --min-requests --to --no-wait "
		"--timeout --output --quiet' -- \"$word\"))\n"
		"		return\n"
		"	fi\n"
		"	if [[ $word == -* ]]; then\n"
		"		COMPREPLY=($(compgen -W \"$(activatorctl $command --help 2>/dev/null |\n"
		"			grep -o -e '--[a-z][a-z-]*' | sort -u)\" -- \"$word\"))\n"
		"		return\n"
		"	fi\n"
		"	case $command in\n"
		"	'') COMPREPLY=($(compgen -W '");
	put_commands(" ");
	out_text("' -- \"$word\")) ;;\n"
		 "	rollout)\n"
		 "		COMPREPLY=($(compgen -W \"" ROLLOUT_WORDS
		 " $(activatorctl \"${where[@]}\" "
		 "list -o name --quiet 2>/dev/null)\" -- \"$word\")) ;;\n"
		 "	");
	put_commands_of_services("|");
	out_text(
		")\n"
		"		COMPREPLY=($(compgen -W \"$(activatorctl \"${where[@]}\" list -o name --quiet "
		"2>/dev/null)\" -- \"$word\")) ;;\n"
		"	completion) COMPREPLY=($(compgen -W 'bash zsh fish' -- \"$word\")) ;;\n"
		"	help) COMPREPLY=($(compgen -W '");
	put_commands(" ");
	out_text("' -- \"$word\")) ;;\n"
		 "	esac\n"
		 "}\n"
		 "complete -F _activatorctl activatorctl\n");
}

static void
write_zsh(void)
{
	size_t i;

	out_text("#compdef activatorctl\n"
		 "# zsh completion for activatorctl\n"
		 "_activatorctl() {\n"
		 "	local context state line\n"
		 "	local -a commands services\n"
		 "	commands=(\n");
	for (i = 0; i < commands_n; i++)
		out_printf("		'%s:%s'\n", commands[i].name, commands[i].summary);
	out_text(
		"	)\n"
		"	_arguments -C \\\n"
		"		'(-c --conf)'{-c,--conf}'[conf file]:file:_files' \\\n"
		"		'--socket[control socket]:file:_files' \\\n"
		"		'(-o --output)'{-o,--output}'[form of the answer]:form:(wide name json)' \\\n"
		"		'(-q --quiet)'{-q,--quiet}'[no progress]' \\\n"
		"		'--no-wait[return once it has begun]' \\\n"
		"		'--timeout[how long to wait]:duration:' \\\n"
		"		'--for[what to wait for]:state:(awake asleep)' \\\n"
		"		'1:command:->command' '*::argument:->argument'\n"
		"	case $state in\n"
		"	command) _describe command commands ;;\n"
		"	argument)\n"
		"		case $line[1] in\n"
		"		rollout)\n"
		"			services=(" ROLLOUT_WORDS " ${(f)\"$(" NAMES ")\"})\n"
		"			_describe service services ;;\n"
		"		");
	put_commands_of_services("|");
	out_text(")\n"
		 "			services=(${(f)\"$(" NAMES ")\"})\n"
		 "			_describe service services ;;\n"
		 "		completion) _values shell bash zsh fish ;;\n"
		 "		esac ;;\n"
		 "	esac\n"
		 "}\n"
		 "if [ \"$funcstack[1]\" = _activatorctl ]; then\n"
		 "	_activatorctl \"$@\"\n"
		 "else\n"
		 "	compdef _activatorctl activatorctl\n"
		 "fi\n");
}

static void
write_fish(void)
{
	size_t i;

	out_text(
		"# fish completion for activatorctl\n"
		"complete -c activatorctl -f\n"
		"complete -c activatorctl -s c -l conf -r -F -d 'conf file'\n"
		"complete -c activatorctl -l socket -r -F -d 'control socket'\n"
		"complete -c activatorctl -s o -l output -x -a 'wide name json' -d 'form of the answer'\n"
		"complete -c activatorctl -s q -l quiet -d 'no progress'\n"
		"complete -c activatorctl -l no-wait -d 'return once it has begun'\n"
		"complete -c activatorctl -l timeout -x -d 'how long to wait'\n"
		"complete -c activatorctl -l for -x -a 'awake asleep' -d 'what to wait for'\n"
		"complete -c activatorctl -n '__fish_seen_subcommand_from rollout' -a '" ROLLOUT_WORDS
		"'\n"
		"complete -c activatorctl -n '__fish_seen_subcommand_from rollout' -l over -x -d "
		"'how long all steps take'\n"
		"complete -c activatorctl -n '__fish_seen_subcommand_from rollout' -l steps -x -a "
		"'1,10,50,100' -d 'the percents'\n"
		"complete -c activatorctl -n '__fish_seen_subcommand_from rollout' -l abort-if -x -d "
		"'a bound'\n"
		"complete -c activatorctl -n '__fish_seen_subcommand_from rollout' -l min-requests -x -d "
		"'in each step'\n");
	for (i = 0; i < commands_n; i++)
		out_printf("complete -c activatorctl -n __fish_use_subcommand -a %s -d '%s'\n",
			   commands[i].name, commands[i].summary);
	out_text("complete -c activatorctl -n '__fish_seen_subcommand_from ");
	put_commands_of_services(" ");
	out_text(
		"' -a '(" NAMES ")'\n"
		"complete -c activatorctl -n '__fish_seen_subcommand_from completion' -a 'bash zsh fish'\n");
}

int
completion_write(const char *shell)
{
	if (strcmp(shell, "bash") == 0)
		write_bash();
	else if (strcmp(shell, "zsh") == 0)
		write_zsh();
	else if (strcmp(shell, "fish") == 0)
		write_fish();
	else
		return -1;
	return 0;
}
