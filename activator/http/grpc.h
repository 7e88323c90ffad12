/* grpc - what a proxy has to know of gRPC: which requests are gRPC, the deadline of their client,
 * and the status of an answer that has no message.  The rules are those of gRPC's documents
 * PROTOCOL-HTTP2.md and http-grpc-status-mapping.md.  Pure.  Thread: any. */
#ifndef ACTIVATOR_HTTP_GRPC_H
#define ACTIVATOR_HTTP_GRPC_H

#include "common/base.h"

struct strbuf;

/* X(NAME, number): those that we answer with. */
#define GRPC_STATUSES(X)                                                                           \
	X(OK, 0)                                                                                   \
	X(UNKNOWN, 2)                                                                              \
	X(DEADLINE_EXCEEDED, 4)                                                                    \
	X(PERMISSION_DENIED, 7)                                                                    \
	X(RESOURCE_EXHAUSTED, 8)                                                                   \
	X(FAILED_PRECONDITION, 9)                                                                  \
	X(UNIMPLEMENTED, 12)                                                                       \
	X(INTERNAL, 13)                                                                            \
	X(UNAVAILABLE, 14)                                                                         \
	X(UNAUTHENTICATED, 16)

enum grpc_status {
#define X(name, number) GRPC_##name = (number),
	GRPC_STATUSES(X)
#undef X
};

/* Does the value of Content-Type say application/grpc, with a suffix (+proto) or parameters or
 * without?  application/grpc-web is another protocol. */
bool grpc_is_content_type(const char *value, size_t n);
/* Is there such a Content-Type in head[0..n), which may be malformed, cut short, or followed by
 * other bytes? */
bool grpc_is_in_head(const char *head, size_t n);

/* The value of grpc-timeout in ns; -1: it is malformed. */
int64_t grpc_timeout(const char *value, size_t n);

#define GRPC_TIMEOUT_SIZE 9 /* eight digits and a unit */
/* Write ns (at least 0) as a value of grpc-timeout: never more than ns, but for 0, which becomes
 * the least that the field can say.  Blanks come before it, so that its size is constant. */
void grpc_put_timeout(char out[GRPC_TIMEOUT_SIZE], int64_t ns);

/* Append text as a value of grpc-message, or as much of it as a client takes in a head. */
void grpc_add_message(struct strbuf *out, const char *text, size_t n);

/* The value of grpc-status; -1: it is malformed. */
int grpc_status_read(const char *value, size_t n);
/* That of the field grpc-status among fields, each "name: value" CRLF; -1: there is none. */
int grpc_status_of_fields(const char *fields);

/* The status of HTTP that says the same, as google/rpc/code.proto maps it; a number that gRPC does
 * not know, and -1, are UNKNOWN, as its clients have it.  Those of 5xx are the faults of a server
 * in OpenTelemetry's conventions, too. */
uint32_t grpc_http_status(int status);

/* What a client of gRPC makes of an answer with this status of HTTP and no status of gRPC. */
enum grpc_status grpc_status_of_http(uint32_t status);

#endif
