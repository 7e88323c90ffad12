/* conf - the conf file as a tree of sections and texts with their lines, as libconfuse reads
 * it; settings.c makes settings of the tree.  Finds mistakes of form: in the syntax,
 * unknown names, and keys and sections that are repeated.  No other file uses libconfuse.
 * Thread: one call at a time in a process, because libconfuse's scanner has globals. */
#ifndef COMMON_CONF_H
#define COMMON_CONF_H

#include "common/conf_errors.h"
#include "common/conf_tree.h"

/* Read the file that errors->file names.  Returns its tree, or the part of it before a
 * mistake in the syntax (then *is_whole is false), or NULL.  Adds mistakes to errors. */
NODISCARD struct conf_section *conf_read(struct conf_errors *, bool *is_whole);
/* As conf_read(), from these n bytes; messages call them errors->file. */
NODISCARD struct conf_section *conf_read_bytes(const char *bytes, size_t n, struct conf_errors *,
					       bool *is_whole);

#endif
