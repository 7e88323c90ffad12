#!/bin/sh
# names.sh - one struct, one name: a struct of the activator, one of the autoscaler and one
# of common/ never share a name, for a reader cannot tell which of them a page speaks of.
# Two files of one program that use a name for two structs are listed, but pass.
awk -f test/lint/code.awk $(test/lint/sources .c .h) | awk '
{
	split($0, part, ":")
	file = part[1]
	program = file; sub(/\/.*/, "", program)
	code = $0; sub(/^[^:]*:[^:]*:/, "", code)
}
code ~ /^[ \t]*(static |const )*struct [a-z_0-9]+ \{/ {
	match(code, /struct [a-z_0-9]+/)
	name = substr(code, RSTART + 7, RLENGTH - 7)
	if ((name, file) in seen)
		next
	seen[name, file] = 1
	files[name] = files[name] " " file
	count[name]++
	if (!((name, program) in in_program)) {
		in_program[name, program] = 1
		programs[name]++
	}
}
END {
	for (name in count)
		if (programs[name] > 1)
			print "  struct " name " is defined in" files[name] ": expected one"
		else if (count[name] > 1)
			print "  struct " name " has several meanings:" files[name]
}' | sort
