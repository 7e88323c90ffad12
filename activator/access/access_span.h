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

/* The most bytes that the spans take. */
size_t access_span_room(const struct access_values *);
/* Write the spans, and return where they end.  random: from which the ids of the spans below are
 * made. */
char *access_span_put(char *out, const struct access_values *, const struct access_trace *,
		      uint64_t random);

/* Write the low 64 bits of an id; 0 becomes 1, because an id of zeros is none. */
void access_span_id(char out[SPAN_ID_SIZE], uint64_t id);

#endif
