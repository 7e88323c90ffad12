# code.awk FILE... - print `file:line:code` for each line, without comments and with empty
# strings, so that a search finds only code.
FNR == 1 { in_comment = 0 }
{
	line = $0
	if (line !~ /^[ \t]*#[ \t]*include/)
		gsub(/"([^"\\]|\\.)*"/, "\"\"", line)
	out = ""
	while (line != "") {
		if (in_comment) {
			at = index(line, "*/")
			if (at == 0)
				break
			line = substr(line, at + 2)
			in_comment = 0
		} else {
			at = index(line, "/*")
			if (at == 0) {
				out = out line
				break
			}
			out = out substr(line, 1, at - 1) " "
			line = substr(line, at + 2)
			in_comment = 1
		}
	}
	sub(/\/\/.*/, "", out)
	if (out ~ /[^ \t]/)
		print FILENAME ":" FNR ":" out
}
