#!/bin/sh
# limits.sh - headers over 200 lines, functions over 80, and lines over 100 columns.  Report only:
# these are places to look, not faults.
awk '
function finish() {
	if (file == "")
		return
	if (file ~ /\.h$/ && lines > 200)
		print "  " file ": a header of " lines " lines"
}
FNR == 1 { finish(); file = FILENAME; start = 0 }
{
	lines = FNR
	text = $0
	width = 0
	n = gsub(/\t/, "\t", text)
	if (length(text) + 7 * n > 100) {
		for (i = 1; i <= length(text); i++)
			width += substr(text, i, 1) == "\t" ? 8 - width % 8 : 1
		gsub(/[\200-\277]/, "", text) # bytes that continue a UTF-8 character
		if (width > 100 && text !~ /"/)
			print "  " file ":" FNR ": " width " columns"
	}
}
/^[a-z_].*\(/ && !/;$/ { name = $0; sub(/\(.*/, "", name); sub(/.*[ *]/, "", name) }
/^{$/ { start = FNR }
/^}$/ && start {
	size = FNR - start - 1
	count[size]++
	total++
	if (size > 80)
		print "  " file ":" start ": " name "() has " size " lines"
	start = 0
}
END {
	finish()
	for (size = 0; total && size < 2000; size++) {
		sum += count[size]
		if (!median && sum * 2 >= total) median = size + 0 ? size : 1
		if (!p90 && sum * 10 >= total * 9) p90 = size
	}
	print "  " total " functions: median " median " lines, nine of ten at most " p90
}' $(test/lint/sources .c .h)
