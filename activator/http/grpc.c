#include "activator/http/grpc.h"

#include <string.h>

#include "activator/http/fields.h"
#include "common/strbuf.h"
#include "common/text.h"

#define DIGITS_MOST 8
#define MESSAGE_MOST 1024 /* bytes of text; clients take heads of 8 KiB by default */

bool
grpc_is_content_type(const char *value, size_t n)
{
	static const char name[] = "application/grpc";
	size_t len = sizeof name - 1;

	if (n < len || !field_is(value, len, name))
		return false;
	return n == len || strchr("+; \t", value[len]) != NULL;
}

bool
grpc_is_in_head(const char *head, size_t n)
{
	static const char name[] = "content-type:";
	size_t len = sizeof name - 1;
	const char *end = head + n, *at = head, *eol;

	for (; n > 0 && (eol = memchr(at, '\n', (size_t)(end - at))) != NULL; at = eol + 1) {
		const char *stop = eol > at && eol[-1] == '\r' ? eol - 1 : eol;

		if (stop == at && at != head) /* the end of the head */
			return false;
		if ((size_t)(stop - at) < len || !field_is(at, len, name))
			continue;
		for (at += len; at < stop && (*at == ' ' || *at == '\t'); at++)
			;
		return grpc_is_content_type(at, (size_t)(stop - at));
	}
	return false;
}

/* --- grpc-timeout --- */

/* The finest first. */
static const struct {
	char unit;
	int64_t ns;
} units[] = {
	{'n', 1},
	{'u', 1000},
	{'m', 1000000},
	{'S', INT64_C(1000000000)},
	{'M', INT64_C(60000000000)},
	{'H', INT64_C(3600000000000)},
};

int64_t
grpc_timeout(const char *value, size_t n)
{
	int64_t number = 0;
	size_t i;

	if (n < 2 || n > DIGITS_MOST + 1)
		return -1;
	for (i = 0; i < n - 1; i++) {
		if (value[i] < '0' || value[i] > '9')
			return -1;
		number = number * 10 + (value[i] - '0');
	}
	for (i = 0; i < ARRAY_LEN(units); i++)
		if (units[i].unit == value[n - 1])
			return number > INT64_MAX / units[i].ns ? INT64_MAX : number * units[i].ns;
	return -1;
}

void
grpc_put_timeout(char out[GRPC_TIMEOUT_SIZE], int64_t ns)
{
	size_t unit = 0, at = GRPC_TIMEOUT_SIZE - 1;
	int64_t number;

	ns = MAX(ns, 1);
	while (ns / units[unit].ns > 99999999)
		unit++;
	memset(out, ' ', at);
	out[at] = units[unit].unit;
	for (number = ns / units[unit].ns; number > 0; number /= 10)
		out[--at] = (char)('0' + number % 10);
}

/* --- answers --- */

/* The size of the front of text[0..n) that has no more than `most` bytes and ends no character of
 * UTF-8 before its last byte. */
static size_t
cut_text(const char *text, size_t n, size_t most)
{
	if (n <= most)
		return n;
	while (most > 0 && ((unsigned char)text[most] & 0xc0) == 0x80)
		most--;
	return most;
}

void
grpc_add_message(struct strbuf *out, const char *text, size_t n)
{
	size_t i;

	n = cut_text(text, n, MESSAGE_MOST);
	for (i = 0; i < n; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (byte >= ' ' && byte <= '~' && byte != '%')
			strbuf_add(out, text + i, 1);
		else
			strbuf_addf(out, "%%%02X", byte);
	}
}

enum grpc_status
grpc_status_of_http(uint32_t status)
{
	switch (status) {
	case 400:
		return GRPC_INTERNAL;
	case 401:
		return GRPC_UNAUTHENTICATED;
	case 403:
		return GRPC_PERMISSION_DENIED;
	case 404:
		return GRPC_UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return GRPC_UNAVAILABLE;
	default:
		return GRPC_UNKNOWN;
	}
}

uint32_t
grpc_http_status(int status)
{
	static const uint16_t all[] = {
		200, /* OK */
		499, /* CANCELLED */
		500, /* UNKNOWN */
		400, /* INVALID_ARGUMENT */
		504, /* DEADLINE_EXCEEDED */
		404, /* NOT_FOUND */
		409, /* ALREADY_EXISTS */
		403, /* PERMISSION_DENIED */
		429, /* RESOURCE_EXHAUSTED */
		400, /* FAILED_PRECONDITION */
		409, /* ABORTED */
		400, /* OUT_OF_RANGE */
		501, /* UNIMPLEMENTED */
		500, /* INTERNAL */
		503, /* UNAVAILABLE */
		500, /* DATA_LOSS */
		401, /* UNAUTHENTICATED */
	};

	return status < 0 || status >= (int)ARRAY_LEN(all) ? 500 : all[status];
}

int
grpc_status_read(const char *value, size_t n)
{
	uint32_t status;

	return text_number(value, n, INT8_MAX, &status) ? (int)status : -1;
}

int
grpc_status_of_fields(const char *fields)
{
	static const char name[] = "grpc-status:";

	while (*fields != '\0') {
		size_t n = strcspn(fields, "\r\n");

		if (n >= sizeof name - 1 && field_is(fields, sizeof name - 1, name)) {
			const char *value = fields + sizeof name - 1;

			while (*value == ' ')
				value++;
			return grpc_status_read(value, (size_t)(fields + n - value));
		}
		fields += n + strspn(fields + n, "\r\n");
	}
	return -1;
}
