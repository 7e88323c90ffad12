#!/bin/sh
# headers.sh COMPILE - each header compiles by itself and has a guard named after it; each
# source includes its own header first.
compile=$1
bad=0

one() {
	guard=$(echo "$1" | tr 'a-z/.-' 'A-Z___')
	if ! grep -qx "#ifndef $guard" "$1"; then
		echo "$1: expected the guard $guard"
		return 1
	fi
	echo "#include \"$1\"" | $compile -std=gnu11 -Wall -Wextra -Werror -Wno-unused -fmax-errors=3 \
		-fsyntax-only -x c - || {
		echo "$1: does not compile by itself"
		return 1
	}
}

if [ "$1" = -1 ]; then
	compile=$2
	one "$3"
	exit
fi
test/lint/sources .h |
	xargs -n 1 -P "$(nproc)" "$0" -1 "$compile" || bad=1
for source in $(test/lint/sources .c); do
	header=${source%.c}.h
	[ -e "$header" ] || continue
	first=$(sed -n '/^#include/{s/^#include "\(.*\)"/\1/;p;q;}' "$source")
	if [ "$first" != "$header" ]; then
		echo "$source: expected its own header first, got $first"
		bad=1
	fi
done
exit $bad
