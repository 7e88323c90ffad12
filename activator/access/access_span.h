/* access_span - spans, in the JSON form of OTLP (opentelemetry-proto, "JSON Protobuf Encoding": ids
 * in hexadecimal digits, 64-bit numbers as strings): one for a request, and below it one for the
 * time that it was parked, and one for each phase of its cold start; one for an activation, and one
 * for each decision that started instances, linked to the requests that asked for it.  Each span is
 * a line; access_otlp.h makes messages of them.
 * Pure.  Thread: any. */
#ifndef ACTIVATOR_ACCESS_ACCESS_SPAN_H
#define ACTIVATOR_ACCESS_ACCESS_SPAN_H

#include "activator/access/access_line.h"

#define SPAN_TRACE_SIZE 32 /* hexadecimal digits */
#define SPAN_ID_SIZE 16

/* A span in its trace; ids in hexadecimal digits, not terminated. */
struct access_span_ref {
	char trace[SPAN_TRACE_SIZE], span[SPAN_ID_SIZE];
};

/* Where the span of a request stands in its trace; ids as above. */
struct access_trace {
	char trace[SPAN_TRACE_SIZE], span[SPAN_ID_SIZE], parent[SPAN_ID_SIZE];
	bool has_parent;     /* the client's span */
	bool has_activation; /* the request has asked for one, whose span this is: */
	struct access_span_ref activation;
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

/* An activation that has ended. */
struct access_activation {
	struct access_span_ref self;
	struct access_text revision; /* "service/revision" */
	struct access_text outcome;  /* "ready", "failed" or "given_up" */
	struct access_text reason;   /* of a failure */
	struct access_text instance; /* the one that is ready */
	bool has_failed;
	uint32_t wanted;   /* instances that the autoscaler wants */
	uint64_t requests; /* recorded ones that have asked for it … */
	const struct access_span_ref *links;
	size_t links_n; /* … and how many of them are linked */
	/* On the wall clock.  The first phases of cold starts have ended (COLD_SIGNAL to
	 * COLD_CONNECT); 0: not. */
	int64_t from_ns, upto_ns, ends_ns[COLD_SEND];
};

size_t access_span_activation_room(const struct access_activation *);
char *access_span_put_activation(char *out, const struct access_activation *);

/* A decision of the autoscaler that started instances, and what came of it. */
struct access_decision {
	struct access_span_ref self;
	bool has_parent; /* the span of the activation that asked for it: same trace */
	char parent[SPAN_ID_SIZE];
	const struct access_span_ref *links; /* recorded requests that asked for it */
	size_t links_n;
	struct access_text revision; /* "service/revision" */
	struct access_text rule, why;
	struct access_text outcome; /* "ready", "failed", "superseded" or "unknown" */
	struct access_text reason;  /* of a failure */
	bool has_failed;
	uint32_t from, to, answering; /* instances */
	int64_t from_ns, upto_ns;     /* on the wall clock */
};

size_t access_span_decision_room(const struct access_decision *);
char *access_span_put_decision(char *out, const struct access_decision *);

/* Write the low 64 bits of an id; 0 becomes 1, because an id of zeros is none. */
void access_span_id(char out[SPAN_ID_SIZE], uint64_t id);

#endif
