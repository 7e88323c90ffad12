#!/bin/sh
# names.sh - one name, one struct: two structs of the same name, in one program or in two,
# would leave a reader to find out which of them a page speaks of.
awk -f test/lint/code.awk $(test/lint/sources .c .h) | awk '
{
	file = $0; sub(/:.*/, "", file)
	code = $0; sub(/^[^:]*:[^:]*:/, "", code)
}
code ~ /^[ \t]*(static |const )*struct [a-z_0-9]+ \{/ {
	match(code, /struct [a-z_0-9]+/)
	name = substr(code, RSTART + 7, RLENGTH - 7)
	if ((name in home) && home[name] != file) {
		print "struct " name ": expected one of this name, got " home[name] " and " file
		bad = 1
	}
	home[name] = file
}
END { exit bad }'
