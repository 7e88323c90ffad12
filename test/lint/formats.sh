#!/bin/sh
# formats.sh - the formats of log lines: "key=value key=value".  A word without a `=` would end the
# program (common/log.c); a text of several words is the argument of a %s.
awk -v RS=';' '
FNR == 1 { file = FILENAME }
/log_(error|warn|info|debug)/ {
	rest = $0
	while (match(rest, /"([^"\\]|\\.)*"/)) {
		text = substr(rest, RSTART + 1, RLENGTH - 2)
		rest = substr(rest, RSTART + RLENGTH)
		if (text !~ /^ ?[a-z_0-9]+=/)
			continue
		n = split(text, words, " ")
		for (i = 1; i <= n; i++)
			if (words[i] !~ /=/) {
				print file ": \"" text "\": no key before \"" words[i] "\""
				bad = 1
			}
	}
}
END { exit bad }' $(test/lint/sources .c)
