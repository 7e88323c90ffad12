#!/bin/sh
# clang.sh COMPILE - where clang is installed, it accepts what `make fuzz` builds with it, too: the
# programs, and the fuzz targets.  COMPILE: the compiler with its include flags.
if ! command -v clang >/dev/null; then
	echo "  clang is not installed: what it would not accept is not seen"
	exit 0
fi
flags=-${1#* -}
{
	test/lint/sources .c
	ls test/fuzz/*.c test/unit/*.c | grep -v '^test/unit/t_'
} | xargs -n 20 -P "$(nproc)" clang $flags -std=gnu11 -w -fsyntax-only \
	-DVERSION='"0"' -DSYSCONFDIR='"/etc"'
