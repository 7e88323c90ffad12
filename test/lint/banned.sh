#!/bin/sh
# banned.sh - library calls that this project does not use, and what it uses instead; and values of
# log lines that stand in the format, where a blank would begin the next pair (common/log.h).
bad=0
for file in $(grep -lPz '\blog_(trace|debug|info|warn|error)(_limited)?\([^;]*?"[a-z_]+=[^%"][^"]*"' \
	$(test/lint/sources .c)); do
	echo "$file: a log line has a value in its format: use key=%s"
	bad=1
done
awk -f test/lint/code.awk $(test/lint/sources .c .h) |
awk '
BEGIN {
	instead["strcpy"] = instead["strcat"] = "snprintf or strbuf"
	instead["strncpy"] = instead["strncat"] = "snprintf or strbuf"
	instead["stpcpy"] = instead["sprintf"] = instead["vsprintf"] = "snprintf or strbuf"
	instead["strtok"] = "strcspn"
	instead["gets"] = "fgets"
	instead["atoi"] = instead["atol"] = instead["atoll"] = instead["atof"] = "strtol, checked"
	instead["alloca"] = "a bounded array"
	instead["time"] = instead["ftime"] = instead["times"] = "clk_now or clk_wall"
	instead["localtime"] = instead["gmtime"] = instead["ctime"] = instead["asctime"] = "the _r form"
	instead["inet_ntoa"] = instead["inet_addr"] = instead["inet_aton"] = "addr_format, addr_parse"
	instead["gethostbyname"] = "addr_parse, or resolver_ask"
	instead["system"] = instead["popen"] = "fork and exec"
	instead["signal"] = "sigaction or loop_signal"
	instead["sleep"] = instead["usleep"] = instead["nanosleep"] = "a loop timer"
	instead["rand"] = instead["srand"] = instead["random"] = "random_u32, or a number that the caller passes"
	instead["mktemp"] = instead["tmpnam"] = instead["tempnam"] = "mkstemp"
	instead["assert"] = "CHECK"
	instead["malloc"] = instead["calloc"] = instead["realloc"] = "xmalloc and the like"
	instead["strdup"] = instead["strndup"] = instead["asprintf"] = "xstrdup and the like"
	instead["strerror_r"] = "strerror, which glibc keeps for each thread"
}
{
	code = $0
	sub(/^[^:]*:[^:]*:/, "", code)
	split($0, part, ":")
	if (part[1] == "common/base.c")
		next
	while (match(code, /[A-Za-z_][A-Za-z0-9_]*\(/)) {
		name = substr(code, RSTART, RLENGTH - 1)
		before = RSTART > 1 ? substr(code, RSTART - 1, 1) : ""
		code = substr(code, RSTART + RLENGTH)
		if ((name in instead) && before !~ /[.>]/) {
			print part[1] ":" part[2] ": " name "(): use " instead[name]
			bad = 1
		}
	}
}
END { exit bad }' || bad=1
exit $bad
