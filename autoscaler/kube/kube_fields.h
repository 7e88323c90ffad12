/* kube_fields - reads members of JSON objects that the API server has sent.  A member that is
 * missing or of another type reads as empty; so do all members of a NULL object. Pure.  Thread:
 * any. */
#ifndef AUTOSCALER_KUBE_KUBE_FIELDS_H
#define AUTOSCALER_KUBE_KUBE_FIELDS_H

#include "common/err.h"

struct json_t;

/* The document; NULL with err: it is no JSON. */
NODISCARD struct json_t *kube_json_parse(const char *text, size_t n, struct err *);

const char *kube_field_text(const struct json_t *, const char *key); /* NULL: there is none */
const char *kube_field_text_or_empty(const struct json_t *, const char *key);
bool kube_field_is(const struct json_t *, const char *key, const char *expected);
int64_t kube_field_number(const struct json_t *, const char *key, int64_t otherwise);
/* The caller's; NULL: there is none. */
NODISCARD char *kube_field_copy(const struct json_t *, const char *key);

#endif
