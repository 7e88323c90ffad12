/* settings_form - what the texts of single keys must look like: hosts, paths, tags,
 * header names, cron expressions and the like.  Pure.  Thread: any. */
#ifndef COMMON_SETTINGS_FORM_H
#define COMMON_SETTINGS_FORM_H

#include "common/settings.h"

/* Of a KEY_STRING or one text of a KEY_LIST; -1: "expected …, got …" in err. */
NODISCARD int form_check(const struct key *, const char *text, struct err *);

bool form_is_name(const char *);   /* of a service or revision */
bool form_is_target(const char *); /* a path with or without a query, as in a request line */

#endif
