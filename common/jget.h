/* jget - typed, range-checked members of a JSON document that somebody else wrote.
 * A mistake is named by its place: `$.revisions[2].name: expected a string, got a
 * number`.  Size, depth and doubled keys are refused before anything is looked at.
 * Unknown members are not looked at (DESIGN 7).
 * Thread: any; a document belongs to one. */
#ifndef COMMON_JGET_H
#define COMMON_JGET_H

#include "common/err.h"

struct json_t;

#define JGET_DEPTH_MAX 32 /* objects and arrays within one another */

/* A value and how one came to it; lives on the stack of whoever reads it, and must
 * not outlive `up`. */
struct jget {
	const struct json_t *json; /* NULL: an optional member that is not there */
	const struct jget *up;	   /* NULL: the root */
	const char *key;	   /* its name in `up`; NULL: its place in an array */
	size_t index;
};

/* A member that is null counts as one that is not there. */
enum jget_need { JGET_MAY, JGET_MUST };

/* Parse text, which must be one object.  The document is the caller's, for
 * jget_close(); NULL with err. */
NODISCARD struct json_t *jget_open(const char *text, size_t n, struct jget *root, struct err *);
void jget_close(struct json_t **);

/* Each returns 0 or -1 with err.  An optional member that is not there leaves *out
 * as it was. */
NODISCARD int jget_bool(const struct jget *, const char *key, enum jget_need, bool *out,
			struct err *);
NODISCARD int jget_i64(const struct jget *, const char *key, enum jget_need, int64_t min,
		       int64_t max, int64_t *out, struct err *);
NODISCARD int jget_u64(const struct jget *, const char *key, enum jget_need, uint64_t *out,
		       struct err *); /* up to INT64_MAX */
NODISCARD int jget_u32(const struct jget *, const char *key, enum jget_need, uint32_t *out,
		       struct err *);
/* A finite number, whole or not. */
NODISCARD int jget_double(const struct jget *, const char *key, enum jget_need, double min,
			  double max, double *out, struct err *);
/* *out is the caller's to free; what was there is not freed. */
NODISCARD int jget_string(const struct jget *, const char *key, enum jget_need, char **out,
			  struct err *);
/* One of the n words; *out is its place among them. */
NODISCARD int jget_word(const struct jget *, const char *key, enum jget_need,
			const char *const *words, size_t n, int *out, struct err *);

NODISCARD int jget_object(const struct jget *, const char *key, enum jget_need, struct jget *out,
			  struct err *);
/* *n: how many elements, 0 where it is not there. */
NODISCARD int jget_array(const struct jget *, const char *key, enum jget_need, struct jget *out,
			 size_t *n, struct err *);
/* The element i of an array, which must be an object. */
NODISCARD int jget_element(const struct jget *array, size_t i, struct jget *out, struct err *);
/* The element i of an array, which must be a string; borrowed from the document. */
NODISCARD int jget_element_string(const struct jget *array, size_t i, const char **out,
				  struct err *);

/* Say that the value of `key` is not what it should be: "expected …" by fmt.
 * Returns -1. */
int jget_fail(const struct jget *, const char *key, struct err *, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
