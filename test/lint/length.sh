#!/bin/sh
# length.sh - no file of either program, of common/ or of the tests has more than 900 lines.
find common activator autoscaler test -name '*.[ch]' | sort | xargs wc -l | awk '
$2 != "total" && $1 > 900 {
	print $2 ": " $1 " lines; cut it along a seam: 900 at most"
	failed = 1
}
END { exit failed }'
