#!/bin/sh
# unused.sh OBJECTS - what is visible outside its file but used by no other file:
# it should be static, or go.  Unit tests count as users.
[ -d "$1" ] || exit 0
find "$1" -name '*.o' | xargs nm -A -g 2>/dev/null | awk '
{
	file = $0; sub(/:.*/, "", file)
	name = $NF; kind = $(NF - 1)
	if (kind ~ /^[TDBRC]$/ && file !~ /\/test\//)
		home[name] = file
	else if (kind == "U")
		used[name] = 1
}
END {
	for (name in home)
		if (!(name in used) && name !~ /^(main$|__|_)/)
			print "  " home[name] ": " name " is used by no other file"
}' | sort
