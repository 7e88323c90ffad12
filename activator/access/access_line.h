/* access_line - one line of the access log, in JSON or in a format of the conf file.
 *
 * The head of a request is gone when its response ends, so what the line shows of it is written
 * when the request is routed, in its final form: the early part, which is kept until the line is
 * written.  What comes from outside is escaped, so that no client can write a line of its own, or a
 * value that a reader takes for another one: quotes, backslashes and control characters, and bytes
 * that are not UTF-8.  A long text is cut.  Pure.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_LINE_H
#define ACTIVATOR_ACCESS_ACCESS_LINE_H

#include "activator/access/access_text.h"
#include "activator/activation.h"
#include "common/access_format.h"

/* What is known of a request when it is routed. */
struct access_request {
	struct access_text client, peer; /* addresses, which need no escapes */
	struct access_text raw;		 /* the first line of what is no request; else: */
	struct access_text method, target, host;
	struct access_text referer, user_agent;
	struct access_text request_id, trace_id; /* trace_id: 32 hexadecimal digits */
	struct access_text protocol;		 /* "HTTP/1.1" */
	const struct access_text *fields;	 /* of the format, in its order */
	bool is_encrypted;
	uint32_t connection_requests;
	unsigned worker;
	int pid;
};

/* What is known when it has ended. */
struct access_end {
	int64_t wall_ns; /* when it ended */
	struct access_text outcome, reason;
	struct access_text service, revision, instance, upstream;
	struct access_text route; /* JSON: the members of service and revision, if they are known */
	bool is_cold;
	uint16_t status; /* 0: no head of a response was written */
	int grpc_status; /* -1: none is known */
	uint64_t bytes_in, bytes_out;
	int64_t duration_ns;
	int64_t parked_ns, response_ns; /* -1: it was not parked, or not sent */
	const int64_t *phases;	 /* how long each phase of the cold start took; NULL: none did */
	int64_t parked_after_ns; /* its beginning, with parked_ns >= 0 */
	bool has_failed;	 /* for spans: by the fault of the server's side */
	unsigned tries;
	uint32_t sample; /* the line stands for so many */
};

/* The most bytes that the early part takes. */
size_t access_line_early_room(const struct access_request *, const struct access_format *);
/* Write the early part, and return where it ends.  format: NULL: JSON. */
char *access_line_put_early(char *out, const struct access_request *, const struct access_format *);

/* The most bytes that a line takes whose early part has early_n bytes. */
size_t access_line_room(const struct access_end *, const struct access_format *, size_t early_n);
/* Write the line and its end, and return where that is; format: the one of the early part. */
char *access_line_put(char *out, const struct access_end *, const struct access_format *,
		      const char *early, struct access_clock *);

#endif
