/* conf_errors - the mistakes of one conf file while it is looked at: kept with their
 * lines, told in the order of the file.  Thread: the owner. */
#ifndef COMMON_CONF_ERRORS_H
#define COMMON_CONF_ERRORS_H

#include "common/settings.h"

#define CONF_ERRORS_TOLD 20   /* how many a person is told at once; of the rest, how many */
#define CONF_ERRORS_KEPT 1000 /* past these they are only counted */

struct conf_errors {
	const char *file; /* borrowed */
	struct conf_mistake {
		unsigned line; /* 0: of the file as a whole */
		char *text;
	} * v;
	size_t n;
	size_t left_out;
};

void conf_error(struct conf_errors *, unsigned line, const char *fmt, ...) PRINTF_LIKE(3, 4);

/* Forget what came after the first n. */
void conf_errors_cut(struct conf_errors *, size_t n);

/* Hand them over as lines "FILE:LINE: …", in the order of the file; none is left here. */
void conf_errors_move(struct conf_errors *, struct settings_errors *to);

/* A text as it may stand in a message: in quotes, control bytes escaped, cut where it
 * is long.  CONF_QUOTED(text) lives until the end of the enclosing block. */
#define CONF_QUOTE_MAX 96
const char *conf_quote(const char *text, char out[CONF_QUOTE_MAX]);
#define CONF_QUOTED(text) conf_quote(text, (char[CONF_QUOTE_MAX]){0})

#endif
