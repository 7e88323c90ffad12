/* settings_form - the form of texts: hosts, paths, tags, names of fields, cron expressions
 * and others.  Thread: any.  Reads time zone files, and is pure otherwise. */
#ifndef COMMON_SETTINGS_FORM_H
#define COMMON_SETTINGS_FORM_H

#include "common/settings.h"

/* Check the text of a KEY_STRING, or one text of a KEY_LIST.  -1 with "expected …, got …" in
 * err. */
NODISCARD int form_check(const struct key *, const char *text, struct err *);

bool form_is_name(const char *);	 /* the name of a service or revision */
bool form_is_revision(const char *);	 /* "service/revision" */
bool form_is_account(const char *);	 /* an owner or a cost center */
bool form_is_target(const char *);	 /* a request target: a path, with or without a query */
bool form_is_health_check(const char *); /* of gRPC: "grpc" or "grpc:NAME" */

#endif
