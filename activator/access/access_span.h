/* access_span - the spans of a request, in the JSON form of OTLP (opentelemetry-proto, "JSON
 * Protobuf Encoding": ids in hexadecimal digits, 64-bit numbers as strings): one for the request,
 * and below it one for the time that it was parked, and one for each phase of its cold start.  Each
 * span is a line; access_otlp.h makes messages of them.  Pure.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_SPAN_H
#define ACTIVATOR_ACCESS_ACCESS_SPAN_H

#include "activator/access/access_line.h"

#define SPAN_ID_SIZE 16 /* hexadecimal digits */

/* Where the span of a request stands in its trace; ids in hexadecimal digits, not terminated. */
struct access_trace {
	char trace[32], span[SPAN_ID_SIZE], parent[SPAN_ID_SIZE];
	bool has_parent; /* the client's span */
};

/* The early part of the request's span, as that of its line (access_line.h), and the most bytes
 * that it takes. */
size_t access_span_early_room(const struct access_request *);
char *access_span_put_early(char *out, const struct access_request *, const struct access_trace *);

/* The most bytes that the spans take, with an early part of early_n bytes. */
size_t access_span_room(const struct access_end *, size_t early_n);
/* Write the spans, and return where they end.  random: from which the ids of the spans below are
 * made. */
char *access_span_put(char *out, const struct access_end *, const struct access_trace *,
		      const char *early, size_t early_n, uint64_t random);

/* Write the low 64 bits of an id; 0 becomes 1, because an id of zeros is none. */
void access_span_id(char out[SPAN_ID_SIZE], uint64_t id);

#endif
