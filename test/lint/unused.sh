#!/bin/sh
# unused.sh OBJECTS - functions and variables that are visible outside their file but used
# by no other file: make them static, or remove them.  Unit tests count as users.
# Report only.
test/lint/symbols "$1" common activator autoscaler test conf | awk '
{
	file = $0; sub(/\.o:.*/, ".c", file)
	name = $NF; kind = $(NF - 1)
	if (kind ~ /^[TDBRC]$/ && file !~ /^test\//)
		home[name] = file
	else if (kind == "U")
		used[name] = 1
}
END {
	for (name in home)
		if (!(name in used) && name !~ /^(main$|__|_)/)
			print "  " home[name] ": " name " is used by no other file"
}' | sort
