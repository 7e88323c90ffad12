/* jget - reads members of a JSON document from outside, and checks their types and ranges.
 * An error names the path of a member: `$.revisions[2].name: expected a string, got a
 * number`.  Documents that are nested too deeply or repeat a key are refused as a whole.
 * Unknown members are ignored (activator-protocol(7)).
 * Thread: any; a document belongs to one thread. */
#ifndef COMMON_JGET_H
#define COMMON_JGET_H

#include "common/err.h"

struct json_t;

#define JGET_DEPTH_MAX 32 /* nested objects and arrays */

/* A value and its path.  It lives on the reader's stack, no longer than `up`. */
struct jget {
	const struct json_t *json; /* NULL: an optional member that is missing */
	const struct jget *up;	   /* NULL: the root */
	const char *key;	   /* its name in `up`; NULL: `up` is an array */
	size_t index;
};

/* A member that is null counts as missing. */
enum jget_need { JGET_MAY, JGET_MUST };

/* Parse text, which must be an object.  Returns the document, for jget_close(), or NULL with
 * err; *root: its root. */
NODISCARD struct json_t *jget_open(const char *text, size_t n, struct jget *root, struct err *);
void jget_close(struct json_t **);

/* Each of these returns 0, or -1 with err.  If an optional member is missing, *out is left as
 * it was. */
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
/* *out is the caller's to free; the string before is not freed. */
NODISCARD int jget_string(const struct jget *, const char *key, enum jget_need, char **out,
			  struct err *);
/* One of the n words; *out is its index. */
NODISCARD int jget_word(const struct jget *, const char *key, enum jget_need,
			const char *const *words, size_t n, int *out, struct err *);

NODISCARD int jget_object(const struct jget *, const char *key, enum jget_need, struct jget *out,
			  struct err *);
/* *n: the number of elements; 0: the array is missing. */
NODISCARD int jget_array(const struct jget *, const char *key, enum jget_need, struct jget *out,
			 size_t *n, struct err *);
/* Element i of an array, which must be an object. */
NODISCARD int jget_element(const struct jget *array, size_t i, struct jget *out, struct err *);
/* Element i of an array, which must be a string; borrowed from the document. */
NODISCARD int jget_element_string(const struct jget *array, size_t i, const char **out,
				  struct err *);

/* Element i of an array, which must be a whole number of 0 to INT64_MAX. */
NODISCARD int jget_element_u64(const struct jget *array, size_t i, uint64_t *out, struct err *);

/* Fill err with the path of `key` and an "expected …, got …" by fmt.  Returns -1. */
int jget_fail(const struct jget *, const char *key, struct err *, const char *fmt, ...)
	PRINTF_LIKE(4, 5);

#endif
