/* request - what a request's head means (RFC 9110, 9112), and the head that the
 * instance gets in its place.  Framing is always written anew from what was parsed.
 * What two parsers could read differently is refused here.  Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_REQUEST_H
#define ACTIVATOR_HTTP_REQUEST_H

#include "activator/http/h1.h"
#include "activator/outcome.h"
#include "common/addr.h"

enum framing { FRAMING_NONE, FRAMING_LENGTH, FRAMING_CHUNKED, FRAMING_CLOSE };

struct request {
	const struct h1_head *head; /* borrowed */
	/* What names the target, whatever form it came in; into the head's buffer. */
	const char *authority;	      /* host and port; "" for an HTTP/1.0 request without Host */
	uint32_t authority_n, host_n; /* host: the front of authority */
	const char *path;	      /* origin-form target, "*", or "" for an empty path */
	uint32_t path_n;	      /* without the query */
	uint32_t target_n;	      /* path and query */
	const char *connection;	      /* value of the one Connection field; NULL: none or several */
	uint32_t connection_n;
	uint16_t connections; /* Connection fields */

	enum framing framing; /* NONE, LENGTH or CHUNKED */
	uint64_t length;

	bool wants_json; /* Accept names application/json */
	bool is_http10;
	bool is_persistent; /* the client will keep the connection */
	bool is_head_method, is_trace;
	bool is_idempotent;  /* RFC 9110 9.2.2 */
	bool is_expecting;   /* 100-continue */
	bool is_upgrade;     /* Upgrade, named by Connection */
	bool takes_trailers; /* TE: trailers */
	bool has_max_forwards;
	uint64_t max_forwards; /* for OPTIONS and TRACE */
};

/* OUT_OK, or why the request is refused (the connection is to be closed then). */
NODISCARD enum outcome request_read(struct request *, const struct h1_head *);

/* What the proxy adds of its own. */
struct request_hop {
	const char *peer; /* the client's address, without port */
	bool is_peer_v6;
	bool is_peer_trusted; /* keep its Forwarded and X-Forwarded-*, add to them */
	bool has_via;
};

/* Write the head that an instance gets into out (at least request_size() bytes).
 * Returns its size. */
size_t request_size(const struct request *);
size_t request_write(const struct request *, const struct request_hop *, char *out);

/* The value of a field, or NULL; by lower-case name. */
const char *request_field(const struct h1_head *, const char *lower, size_t *n);

#endif
