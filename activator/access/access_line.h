/* access_line - one line of the access log, in JSON or in a format of the conf file.
 *
 * What comes from outside is escaped, so that no client can write a line of its own, or a value
 * that a reader takes for another one: quotes, backslashes and control characters, and bytes that
 * are not UTF-8.  A long text is cut.  Pure.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_LINE_H
#define ACTIVATOR_ACCESS_ACCESS_LINE_H

#include "activator/activation.h"
#include "common/access_format.h"

#define ACCESS_TEXT_MAX ((size_t)2048) /* bytes of one text, before they are escaped */

/* Bytes that may hold anything; s is NULL: there is no such text. */
struct access_text {
	const char *s;
	size_t n;
};

struct access_values {
	int64_t wall_ns;		 /* when the request ended */
	struct access_text client, peer; /* addresses, which need no escapes */
	struct access_text raw;		 /* the first line of what is no request; else: */
	struct access_text method, target, host;
	struct access_text referer, user_agent;
	struct access_text request_id, trace_id; /* trace_id: 32 hexadecimal digits */
	struct access_text reason;
	struct access_text service, revision, instance, upstream;
	struct access_text route; /* JSON: the members of service and revision, if they are known */
	const struct access_text *fields; /* of the format, in its order */
	size_t fields_n;		  /* 0: they are not known */
	const char *protocol;		  /* "HTTP/1.1" */
	const char *outcome;
	bool is_encrypted, is_cold;
	uint16_t status; /* 0: no head of a response was written */
	int grpc_status; /* -1: none is known */
	uint64_t bytes_in, bytes_out;
	int64_t duration_ns;
	int64_t parked_ns, response_ns; /* -1: it was not parked, or not sent */
	bool has_phases;
	const int64_t *phases;	 /* has_phases: how long each phase of the cold start took */
	int64_t parked_after_ns; /* its beginning, with parked_ns >= 0 */
	bool has_failed;	 /* for spans: by the fault of the server's side */
	unsigned tries;
	uint32_t connection_requests;
	unsigned worker;
	int pid;
	uint32_t sample; /* the line stands for so many */
};

/* The second that a line names, formatted once.  Zeroed: none yet. */
struct access_clock {
	int64_t second;
	char iso[24];	/* "2026-11-30T16:11:44" */
	char local[40]; /* "30/Nov/2026:16:11:44 +0000" */
};

/* For spans: a text as it stands within the quotes of JSON, and the most bytes that it takes. */
char *access_line_put_text(char *out, const struct access_text *);
size_t access_line_text_room(const struct access_text *);

/* The most bytes that a line takes. */
size_t access_line_room(const struct access_values *, const struct access_format *);
/* Write the line and its end, and return where that is.  format: NULL: JSON. */
char *access_line_put(char *out, const struct access_values *, const struct access_format *,
		      struct access_clock *);

#endif
