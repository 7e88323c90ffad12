/* access_format - the form of a line of the access log that a conf file chooses itself
 * (access_log_format): text with variables, such as `$remote_addr "$request" $status`.
 * Pure.  Thread: a format is immutable; any. */
#ifndef COMMON_ACCESS_FORMAT_H
#define COMMON_ACCESS_FORMAT_H

#include "common/err.h"
#include "common/str_list.h"

/* X(id, name): the variables.  Those of nginx have its names and meaning. */
#define ACCESS_VARIABLES(X)                                                                        \
	X(REMOTE_ADDR, "remote_addr")                                                              \
	X(PEER_ADDR, "peer_addr")                                                                  \
	X(REMOTE_USER, "remote_user")                                                              \
	X(TIME_LOCAL, "time_local")                                                                \
	X(TIME_ISO8601, "time_iso8601")                                                            \
	X(MSEC, "msec")                                                                            \
	X(REQUEST, "request")                                                                      \
	X(REQUEST_METHOD, "request_method")                                                        \
	X(REQUEST_URI, "request_uri")                                                              \
	X(PATH, "path")                                                                            \
	X(ARGS, "args")                                                                            \
	X(HOST, "host")                                                                            \
	X(SCHEME, "scheme")                                                                        \
	X(SERVER_PROTOCOL, "server_protocol")                                                      \
	X(STATUS, "status")                                                                        \
	X(GRPC_STATUS, "grpc_status")                                                              \
	X(BODY_BYTES_SENT, "body_bytes_sent")                                                      \
	X(BODY_BYTES_RECEIVED, "body_bytes_received")                                              \
	X(REQUEST_TIME, "request_time")                                                            \
	X(PARKED_TIME, "parked_time")                                                              \
	X(UPSTREAM_RESPONSE_TIME, "upstream_response_time")                                        \
	X(UPSTREAM_ADDR, "upstream_addr")                                                          \
	X(SERVICE, "service")                                                                      \
	X(REVISION, "revision")                                                                    \
	X(INSTANCE, "instance")                                                                    \
	X(OUTCOME, "outcome")                                                                      \
	X(REASON, "reason")                                                                        \
	X(TRIES, "tries")                                                                          \
	X(COLD, "cold")                                                                            \
	X(COLD_SIGNAL, "cold_signal")                                                              \
	X(COLD_ACK, "cold_ack")                                                                    \
	X(COLD_ADDRESS, "cold_address")                                                            \
	X(COLD_CONNECT, "cold_connect")                                                            \
	X(COLD_SEND, "cold_send")                                                                  \
	X(COLD_FIRST_BYTE, "cold_first_byte")                                                      \
	X(CONNECTION_REQUESTS, "connection_requests")                                              \
	X(REQUEST_ID, "request_id")                                                                \
	X(TRACE_ID, "trace_id")                                                                    \
	X(WORKER, "worker")                                                                        \
	X(PID, "pid")                                                                              \
	X(SAMPLE, "sample")

enum access_variable {
	ACCESS_LITERAL, /* no variable: the text of the piece */
	ACCESS_FIELD,	/* $http_NAME: a field of the request's head */
#define X(id, name) ACCESS_##id,
	ACCESS_VARIABLES(X)
#undef X
		ACCESS_VARIABLES_N
};

struct access_piece {
	enum access_variable variable;
	uint32_t field; /* ACCESS_FIELD: its place in access_format.fields */
	/* The value of the variable is known when the request is routed.  So are those of early_n
	 * pieces from here on, literals included: they are written then, in one run.  0: no run
	 * begins here. */
	uint32_t early_n;
	const char *text; /* ACCESS_LITERAL; not terminated */
	size_t n;
};

#define ACCESS_FIELDS_MAX 16 /* different fields in one format */

struct access_format {
	struct access_piece *pieces;
	size_t n;
	size_t literals_n;	/* bytes of all literals */
	struct str_list fields; /* names in lower case, with hyphens, each once */
	char *text;		/* to which the pieces point */
	bool is_combined;	/* access_format_combined: the usual one, worth code of its own */
};

/* The format of `combined`, as Apache and nginx have it. */
extern const char access_format_combined[];

/* NULL with "expected …, got …" in err. */
NODISCARD struct access_format *access_format_new(const char *text, struct err *);
void access_format_free(struct access_format **);

#endif
