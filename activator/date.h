/* date - the time of day as responses say it (IMF-fixdate, RFC 9110 5.6.7), formatted at
 * most once a second.  Thread: the owner's. */
#ifndef ACTIVATOR_DATE_H
#define ACTIVATOR_DATE_H

#include "common/base.h"

#define DATE_LEN 29

struct date {
	char text[72]; /* DATE_LEN bytes and a NUL: the compiler asks for more room */
	int64_t until; /* clk_now() from which text is out of date; 0: there is none yet */
};

/* DATE_LEN bytes, valid until the next call.  now: clk_now(). */
const char *date_text(struct date *, int64_t now);

#endif
