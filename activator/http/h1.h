/* h1 - the syntax of HTTP/1 heads.  llhttp parses them in strict mode; what it accepts and the
 * RFC does not is refused here: obs-fold, bare CR and LF, empty names, more blanks or digits
 * than the grammar has.  What a head means is for request.c and response.c.  The only file that
 * includes llhttp.
 * Pure.  Thread: a struct belongs to one thread.
 *
 * Room: activator/http is what HTTP means, whatever carries it: heads, fields, chunked bodies,
 * the framing of a body, and how a head is written anew for the other side.  Its files take
 * bytes and return values.  They may use common/ and outcome.h (the name of a refusal), and
 * never see a socket, a connection or a clock. */
#ifndef ACTIVATOR_HTTP_H1_H
#define ACTIVATOR_HTTP_H1_H

#include "activator/http/fields.h"

#define H1_FIELDS_MAX 1000 /* upper bound of the key max_fields */
/* Bytes of all Connection fields together, and of all Trailer fields: each field of the message
 * is looked up in them, so that long ones would cost time by the square. */
#define H1_LISTED_MAX 1024

struct h1_field {
	const char *name, *value;
	uint32_t name_n, value_n; /* value without surrounding blanks */
	enum field_id id;
};

/* One parsed head; its pointers go into the buffer that was parsed. */
struct h1_head {
	const char *method, *target, *reason;
	uint32_t method_n, target_n, reason_n;
	uint16_t status;
	uint8_t minor; /* HTTP/1.minor: 0 or 1 */
	uint32_t n;
	struct h1_field fields[H1_FIELDS_MAX];
};

/* Does a Connection field of the head name f?  Then f is for one hop only. */
bool h1_is_connection_option(const struct h1_head *, const struct h1_field *f);

/* Look for the end of a head in buf[0..n).  *seen, 0 at first, keeps between calls on a growing
 * buffer how far the look has come.  Returns the size of the head with its empty line; 0: the
 * end has not come; -1: no head begins like this. */
ssize_t h1_scan(const char *buf, size_t n, size_t *seen);

enum h1_result {
	H1_OK,
	H1_MALFORMED,
	H1_FIELDS, /* more than max_fields */
	H1_VERSION /* not HTTP/1.x */
};
/* Parse a whole head, of the size that h1_scan() returned. */
NODISCARD enum h1_result h1_parse_request(struct h1_head *, const char *buf, size_t n,
					  uint32_t max_fields);
NODISCARD enum h1_result h1_parse_response(struct h1_head *, const char *buf, size_t n,
					   uint32_t max_fields);

/* Likewise, of a head that our own code has made from the fields of HTTP/2 (h2.h, h2_client.h): all
 * of them are valid, and the lines are taken apart as they stand.  *head_n: the size of the head,
 * behind which another one may stand. */
NODISCARD enum h1_result h1_split_request(struct h1_head *, const char *buf, size_t n,
					  uint32_t max_fields);
NODISCARD enum h1_result h1_split_response(struct h1_head *, const char *buf, size_t n,
					   uint32_t max_fields, size_t *head_n);

#endif
