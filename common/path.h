/* path - the path of a request as its origin will read it, so that routes and rules decide on
 * that, whatever spelling a client has sent.
 *
 * The normal form of a path (RFC 3986 6.2.2) has no percent-encoding left, no segments "." and
 * "..", and no empty segment; "" is the root.  Origins do not agree on some paths: whether %2F
 * separates segments, whether %252E is decoded twice, what follows a ';'.  Such a path has
 * several readings, one for each set of PATH_* and each depth of decoding.
 * Pure.  Thread: any. */
#ifndef COMMON_PATH_H
#define COMMON_PATH_H

#include "common/base.h"

/* What an origin may do beside decoding once and removing dot segments. */
#define PATH_SLASH 1u	  /* take %2F for a separator */
#define PATH_BACKSLASH 2u /* take '\' for a separator, encoded or not */
#define PATH_PARAMS 4u	  /* drop what follows ';' in a segment (RFC 3986 3.3) */
#define PATH_NUL 8u	  /* end the path at %00 */
#define PATH_EMPTY 16u	  /* let ".." remove an empty segment */

#define PATH_DEPTH_MAX 4 /* times that an origin decodes: a path which needs more is refused */

/* On which readings the origins of a path may differ. */
struct path_doubts {
	unsigned mask;	/* of PATH_* */
	unsigned depth; /* decoding more often than this changes nothing; above
			 * PATH_DEPTH_MAX: more often than that */
};

/* Has the path one reading only, which is the path itself but for a slash at its end? */
bool path_is_plain(const char *path, size_t n);
/* buf has room for n bytes. */
void path_examine(struct path_doubts *, const char *path, size_t n, char *buf);
/* The normal form of one reading, into out, which has room for n bytes.  Returns its size. */
size_t path_read(const char *path, size_t n, unsigned reading, unsigned depth, char *out);

/* The normal form of a prefix in the conf file, the caller's to free. */
NODISCARD char *path_prefix(const char *);
/* Can a request match this prefix, and is it in no doubt? */
bool path_is_prefix(const char *);

#endif
