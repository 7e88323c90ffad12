#include "common/grpc_health.h"

#include <string.h>

#include "common/h2_ask.h"
#include "common/strbuf.h"

#define PREFIX 5 /* before a message: is it compressed, and its size in four bytes */

enum { SERVING = 1 }; /* of HealthCheckResponse.ServingStatus */
enum { STATUS_FIELD = 1, SERVICE_FIELD = 1 };
enum { WIRE_VARINT, WIRE_8, WIRE_SIZED, WIRE_4 = 5 }; /* of protocol buffers */

/* --- the request --- */

static void
add_varint(struct strbuf *out, uint64_t n)
{
	do {
		char byte = (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));

		strbuf_add(out, &byte, 1);
	} while ((n >>= 7) != 0);
}

static void
add_request(struct strbuf *out, const char *service, size_t n)
{
	struct strbuf message;
	char prefix[PREFIX] = {0};

	strbuf_init(&message, 0);
	if (n > 0) {
		add_varint(&message, SERVICE_FIELD << 3 | WIRE_SIZED);
		add_varint(&message, n);
		strbuf_add(&message, service, n);
	}
	prefix[3] = (char)(message.len >> 8);
	prefix[4] = (char)message.len;
	strbuf_add(out, prefix, sizeof prefix);
	strbuf_add(out, strbuf_str(&message), message.len);
	strbuf_fini(&message);
}

struct h2_ask *
grpc_health_new(const char *scheme, const char *authority, const char *service, size_t service_n)
{
	static const struct h2_ask_field fields[] = {
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{"user-agent", "activator-probe"},
	};
	struct h2_ask_request r = {
		.method = "POST",
		.scheme = scheme,
		.authority = authority,
		.path = "/grpc.health.v1.Health/Check",
		.fields = fields,
		.fields_n = ARRAY_LEN(fields),
	};
	struct h2_ask *ask;
	struct strbuf body;

	CHECK(service_n <= GRPC_HEALTH_NAME_MOST);
	strbuf_init(&body, 0);
	add_request(&body, service, service_n);
	r.body = body.data;
	r.body_n = body.len;
	ask = h2_ask_new(&r);
	strbuf_fini(&body);
	return ask;
}

/* --- the response --- */

/* A number at *at, which moves behind it.  -1: it is not whole. */
static int
take_varint(const char *data, size_t n, size_t *at, uint64_t *out)
{
	unsigned shift;

	*out = 0;
	for (shift = 0; shift < 64 && *at < n; shift += 7) {
		unsigned char byte = (unsigned char)data[(*at)++];

		*out |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return 0;
	}
	return -1;
}

/* The value of a field, as far as it is a number.  -1: it is not whole. */
static int
take_value(const char *data, size_t n, size_t *at, unsigned wire, uint64_t *out)
{
	uint64_t size;

	switch (wire) {
	case WIRE_VARINT:
		return take_varint(data, n, at, out);
	case WIRE_8:
		size = 8;
		break;
	case WIRE_4:
		size = 4;
		break;
	case WIRE_SIZED:
		if (take_varint(data, n, at, &size) < 0)
			return -1;
		break;
	default:
		return -1;
	}
	if (size > n - *at)
		return -1;
	*at += size;
	return 0;
}

int
grpc_health_status(const char *body, size_t n)
{
	const unsigned char *prefix = (const unsigned char *)body;
	size_t at = PREFIX, size;
	int status = 0; /* a field that is 0 is left out */

	if (n < PREFIX || prefix[0] != 0)
		return -1;
	size = (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 |
	       prefix[4];
	if (size != n - PREFIX)
		return -1;
	while (at < n) {
		uint64_t key, value = 0;

		if (take_varint(body, n, &at, &key) < 0 ||
		    take_value(body, n, &at, key & 7, &value) < 0)
			return -1;
		if (key == (STATUS_FIELD << 3 | WIRE_VARINT))
			status = (int)MIN(value, (uint64_t)INT32_MAX);
	}
	return status;
}

/* A call that has failed. */
static const char *
failure_of(int status)
{
	static const char *const texts[] = {
		[1] = "grpc-status 1, CANCELLED",
		[2] = "grpc-status 2, UNKNOWN",
		[3] = "grpc-status 3, INVALID_ARGUMENT",
		[4] = "grpc-status 4, DEADLINE_EXCEEDED",
		[5] = "its health service does not know the service of this name "
		      "(grpc-status 5, NOT_FOUND)",
		[6] = "grpc-status 6, ALREADY_EXISTS",
		[7] = "grpc-status 7, PERMISSION_DENIED",
		[8] = "grpc-status 8, RESOURCE_EXHAUSTED",
		[9] = "grpc-status 9, FAILED_PRECONDITION",
		[10] = "grpc-status 10, ABORTED",
		[11] = "grpc-status 11, OUT_OF_RANGE",
		[12] = "it has no health service of gRPC, grpc.health.v1.Health "
		       "(grpc-status 12, UNIMPLEMENTED)",
		[13] = "grpc-status 13, INTERNAL",
		[14] = "grpc-status 14, UNAVAILABLE",
		[15] = "grpc-status 15, DATA_LOSS",
		[16] = "grpc-status 16, UNAUTHENTICATED",
	};

	if (status < 0)
		return "its answer has no grpc-status: is it a server of gRPC?";
	return status < (int)ARRAY_LEN(texts) ? texts[status] : "an unknown grpc-status";
}

const char *
grpc_health_problem(const struct h2_ask *ask)
{
	static const char *const says[] = {"its health service says UNKNOWN", NULL,
					   "its health service says NOT_SERVING",
					   "its health service says SERVICE_UNKNOWN"};
	int status;
	const char *body;
	size_t n;

	if (h2_ask_trouble(ask) != NULL)
		return h2_ask_trouble(ask);
	if (h2_ask_status(ask) != 200)
		return "its answer has a status of HTTP other than 200: is it a server of gRPC?";
	if (h2_ask_grpc_status(ask) != 0)
		return failure_of(h2_ask_grpc_status(ask));
	body = h2_ask_body(ask, &n);
	status = grpc_health_status(body, n);
	if (status == SERVING)
		return NULL;
	return status < 0 || status >= (int)ARRAY_LEN(says) ? "its answer is no HealthCheckResponse"
							    : says[status];
}
