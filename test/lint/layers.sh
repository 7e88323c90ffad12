#!/bin/sh
# layers.sh - which file may include which: the floors, the rooms, and the files that may use
# a library.  The tables floors, rooms and libraries are the rules.  Code that needs another
# rule changes the table in the same commit, and says why.
awk -f test/lint/code.awk $(test/lint/sources .c .h .def) |
	awk -v floors=test/lint/floors -v rooms=test/lint/rooms -v libraries=test/lint/libraries '
function complain(text) { print at ": " text; bad = 1 }
function stem(path) { sub(/\.[a-z]+$/, "", path); return path }
function program(path) { sub(/\/.*/, "", path); return path }
function folder(path) { sub(/\/[^\/]*$/, "", path); return path }
function allowed(list, path,   n, i, names) {
	n = split(list, names, " ")
	for (i = 1; i <= n; i++)
		if (names[i] == path || names[i] == stem(path) || names[i] == folder(path) "/")
			return 1
	return 0
}
function floor_of(path,   i, n) {
	for (i = 1; i <= rows; i++) {
		n = length(row[i])
		if (row[i] == path || (substr(row[i], n) == "*" &&
				       substr(path, 1, n - 1) == substr(row[i], 1, n - 1)))
			return row_floor[i]
	}
	return 0
}
BEGIN {
	while ((getline line < floors) > 0)
		if (line ~ /^[a-z]/) {
			n = split(line, w, " ")
			for (i = 3; i <= n; i++) {
				row[++rows] = w[1] "/" w[i]
				row_floor[rows] = w[2]
			}
		}
	while ((getline line < rooms) > 0)
		if (line ~ /^[a-z]/) {
			n = split(line, w, " ")
			described[w[1]] = w[n]
			may[w[1]] = " "
			for (i = 2; i < n; i++)
				may[w[1]] = may[w[1]] w[i] " "
		}
	while ((getline line < libraries) > 0)
		if (line ~ /^[^#]/) {
			key = line; sub(/[ \t].*/, "", key)
			rest = line; sub(/^[^ \t]*[ \t]*/, "", rest)
			where[key] = rest
			keys[++keys_n] = key
		}
}
{
	split($0, part, ":")
	file = part[1]; at = part[1] ":" part[2]
	code = $0; sub(/^[^:]*:[^:]*:/, "", code)
	if (!(file in seen)) {
		seen[file] = 1
		if (!floor_of(stem(file)))
			complain("expected a floor for " stem(file) " in " floors)
		if (folder(file) ~ /\// && !(folder(file) in may))
			complain("expected the room " folder(file) " in " rooms)
	}
}
code ~ /^[ \t]*#[ \t]*include[ \t]*"/ {
	target = code; sub(/^[^"]*"/, "", target); sub(/".*/, "", target)
	if (target !~ /^(common|activator|autoscaler)\//) {
		complain("expected a path from common/, activator/ or autoscaler/, got \"" target "\"")
		next
	}
	if (program(target) != "common" && program(target) != program(file))
		complain(program(file) "/ may not include " target)
	else if (program(target) == program(file) && floor_of(stem(target)) > floor_of(stem(file)))
		complain(file " (floor " floor_of(stem(file)) ") may not include " target \
			 " (floor " floor_of(stem(target)) ")")
	else if (program(target) == program(file) && (folder(file) in may) &&
		 folder(target) != folder(file) && !index(may[folder(file)], " " target " ") &&
		 !index(may[folder(file)], " " folder(target) " "))
		complain(file ": the room " folder(file) " may not include " target ": see " rooms)
	if (file ~ /\.h$/ && target ~ /\.h$/)
		edges[++edges_n] = file " " target
	next
}
code ~ /^[ \t]*#[ \t]*include[ \t]*</ {
	target = code; sub(/^[^<]*</, "", target); sub(/>.*/, "", target)
	for (i = 1; i <= keys_n; i++)
		if (substr(target, 1, length(keys[i])) == keys[i] && !allowed(where[keys[i]], file))
			complain("<" target "> is allowed only in " where[keys[i]])
	next
}
{
	for (i = 1; i <= keys_n; i++) {
		key = keys[i]
		if (key !~ /\($/)
			continue
		name = substr(key, 1, length(key) - 1)
		if (code ~ ("(^|[^A-Za-z0-9_.>])" name "\\(") && !allowed(where[key], file))
			complain(name "() is allowed only in " where[key])
	}
}
END {
	# Cycles: drop each include of a header that includes no other, until none can be dropped.
	do {
		gone = 0
		for (i = 1; i <= edges_n; i++)
			if (edges[i] != "") {
				split(edges[i], w, " ")
				has = 0
				for (j = 1; j <= edges_n; j++)
					if (edges[j] != "" && index(edges[j], w[2] " ") == 1)
						has = 1
				if (!has) { edges[i] = ""; gone = 1 }
			}
	} while (gone)
	for (i = 1; i <= edges_n; i++)
		if (edges[i] != "") { at = "include cycle"; complain(edges[i]) }
	for (room in described) {
		has = 0
		while ((getline line < described[room]) > 0)
			if (line ~ /Room:/)
				has = 1
		at = described[room]
		if (!has)
			complain("expected a paragraph \"Room: …\" that says what lives in " room)
	}
	exit bad
}'
