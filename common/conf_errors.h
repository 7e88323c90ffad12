/* conf_errors - the mistakes found in one conf file, with their lines; they are reported in
 * the order of the file.  Thread: the owner. */
#ifndef COMMON_CONF_ERRORS_H
#define COMMON_CONF_ERRORS_H

#include "common/settings.h"

#define CONF_ERRORS_SHOWN 20 /* the most that are reported; of the rest, their number is */
#define CONF_ERRORS_MAX 1000 /* the most that are stored; the rest is counted */

struct conf_errors {
	const char *file; /* borrowed */
	struct conf_mistake {
		unsigned line; /* 0: the file as a whole */
		char *text;
	} * v;
	size_t n;
	size_t not_stored; /* that came after the first CONF_ERRORS_MAX */
};

/* Add a mistake. */
void conf_error(struct conf_errors *, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Drop all mistakes but the first n. */
void conf_errors_cut(struct conf_errors *, size_t n);

/* Move the mistakes to `to`, as lines "FILE:LINE: …" in the order of the file. */
void conf_errors_move(struct conf_errors *, struct settings_errors *to);

/* Write text into out as a message shows it: in quotes, with control bytes escaped, and cut
 * if it is long.  Returns out.  The result of CONF_QUOTED(text) is valid until the end of
 * the enclosing block. */
#define CONF_QUOTE_MAX 96
const char *conf_quote(const char *text, char out[CONF_QUOTE_MAX]);
#define CONF_QUOTED(text) conf_quote(text, (char[CONF_QUOTE_MAX]){0})

#endif
