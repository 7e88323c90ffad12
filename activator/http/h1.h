/* h1 - HTTP/1 syntax: llhttp in strict mode, behind what it lets pass and we do not
 * (obs-fold, bare CR and LF, empty names, blanks and digits too many).
 * Knows bytes, not meaning (request.c, response.c).  The only file that sees llhttp.
 * Pure.  Thread: a struct belongs to one thread.
 *
 * Room: activator/http is what HTTP means, whatever carries it: heads, fields, chunked
 * bodies, how a request is framed and how its head is written again for the other side.
 * Its files get bytes and return values.  They may use common/ and outcome.h (the name of
 * a refusal), and never see a socket, a connection or a clock. */
#ifndef ACTIVATOR_HTTP_H1_H
#define ACTIVATOR_HTTP_H1_H

#include "activator/http/fields.h"

#define H1_FIELDS_MAX 1000 /* upper bound of the key max_fields */

struct h1_field {
	const char *name, *value;
	uint32_t name_n, value_n; /* value without surrounding blanks */
	enum field_id id;
};

/* One parsed head; pointers go into the buffer it was parsed from. */
struct h1_head {
	const char *method, *target, *reason;
	uint32_t method_n, target_n, reason_n;
	uint16_t status;
	uint8_t minor; /* HTTP/1.minor: 0 or 1 */
	uint32_t n;
	struct h1_field fields[H1_FIELDS_MAX];
};

/* Is f named by a Connection field of the head, and so meant for one hop only? */
bool h1_is_connection_option(const struct h1_head *, const struct h1_field *f);

/* Look for the end of a head in buf[0..n).  *seen (0 at first) remembers how far it got
 * between calls on a growing buffer.  Returns the head's size, blank line included; 0:
 * more is needed; -1: no head can begin like this. */
ssize_t h1_scan(const char *buf, size_t n, size_t *seen);

enum h1_result {
	H1_OK,
	H1_MALFORMED,
	H1_FIELDS, /* more than max_fields */
	H1_VERSION /* not HTTP/1.x */
};
/* Parse a whole head, as h1_scan() measured it. */
NODISCARD enum h1_result h1_parse_request(struct h1_head *, const char *buf, size_t n,
					  uint32_t max_fields);
NODISCARD enum h1_result h1_parse_response(struct h1_head *, const char *buf, size_t n,
					   uint32_t max_fields);

#endif
