#!/bin/sh
# citations.sh - comments cite only what is in the tree: no file DESIGN, and promises by the
# numbers that README gives them, as "promise 3 (README)".
places="Makefile activator autoscaler common conf test"
bad=0

if grep -rnIw DESIGN README.md .ci $places | grep -v ^test/lint/citations.sh; then
	echo "there is no such file: expected the rule itself, or a promise of README"
	bad=1
fi
last=$(sed -n '/^## What it promises/,/^## What is/s/^\([0-9]*\)\. .*/\1/p' README.md | tail -n 1)
grep -rnIE 'promises? [0-9]' $places | grep -v ^test/lint/ | awk -v last="$last" '
{
	text = $0
	sub(/^[^:]*:[^:]*:/, "", text)
	if (text !~ /README/) {
		print $0 ": expected \"promise N (README)\""
		bad = 1
	}
	match(text, /promises? [0-9]+( and [0-9]+)?/)
	n = split(substr(text, RSTART, RLENGTH), word, " ")
	for (i = 2; i <= n; i += 2)
		if (word[i] < 1 || word[i] + 0 > last + 0) {
			print $0 ": README has no promise " word[i]
			bad = 1
		}
}
END { exit bad }' || bad=1
exit $bad
