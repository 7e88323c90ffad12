#!/bin/sh
# rings.sh OBJECTS - rings of calls: groups of files in which each file calls every other,
# directly or through others of the group.  Such files can neither be read nor be tested
# one at a time.  A call is a symbol that one object uses and another one defines.
# Report only: a ring is a place to look, not a fault.
for program in activator autoscaler; do
	test/lint/symbols "$1" common "$program" | awk -v program="$program" '
{
	file = $0; sub(/\.o:.*/, "", file)
	name = $NF; kind = $(NF - 1)
	if (kind ~ /^[TDBRCVW]$/)
		home[name] = file
	else if (kind == "U")
		uses[++n] = file " " name
}
# Take out the files that nothing calls or that call nothing: no ring goes through them.
function strip(   file, changed, w, e) {
	do {
		changed = 0
		split("", calls); split("", called)
		for (e in edge) {
			split(e, w, " ")
			calls[w[1]] = called[w[2]] = 1
		}
		for (e in edge) {
			split(e, w, " ")
			if (!(w[1] in called) || !(w[2] in calls)) {
				delete edge[e]
				changed = 1
			}
		}
	} while (changed)
	for (file in calls)
		node[++nodes] = file
}
# Which files each file reaches, through any number of calls (Warshall).
function close_over(   i, j, k) {
	for (e in edge) {
		split(e, w, " ")
		reach[w[1], w[2]] = 1
	}
	for (k = 1; k <= nodes; k++)
		for (i = 1; i <= nodes; i++)
			if ((node[i], node[k]) in reach)
				for (j = 1; j <= nodes; j++)
					if ((node[k], node[j]) in reach)
						reach[node[i], node[j]] = 1
}
function stem(file) { sub(program "/", "", file); return file }
function by_name(list, n,   i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j - 1] > list[j]; j--) {
			t = list[j]; list[j] = list[j - 1]; list[j - 1] = t
		}
}
END {
	for (i = 1; i <= n; i++) {
		split(uses[i], w, " ")
		if ((w[2] in home) && home[w[2]] != w[1])
			edge[w[1] " " home[w[2]]] = 1
	}
	strip()
	close_over()
	by_name(node, nodes)
	for (i = 1; i <= nodes; i++) {
		if ((node[i] in seen) || !((node[i], node[i]) in reach))
			continue
		size = 0
		text = ""
		for (j = 1; j <= nodes; j++)
			if (((node[i], node[j]) in reach) && ((node[j], node[i]) in reach)) {
				seen[node[j]] = 1
				text = text " " stem(node[j])
				size++
			}
		ring[size] = ring[size] "  " program ": " size " files call one another:" text "\n"
		longest = size > longest ? size : longest
	}
	for (size = longest; size > 1; size--)
		printf "%s", ring[size]
	print "  " program ": the longest ring of calls has " longest + 0 " files"
}'
done
