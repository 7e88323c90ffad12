#include "activator/http/response.h"

#include <string.h>

#include "activator/http/put.h"

/* --- reading --- */

/* "timeout=5, max=100" (RFC 2068 19.7.1.1: a hint, and in wide use). */
static int64_t
read_keep_alive(const char *value, size_t n)
{
	const char *element;
	size_t at = 0, len;

	while (field_list_next(value, n, &at, &element, &len)) {
		uint64_t s;

		if (len > 8 && field_is(element, 8, "timeout=") &&
		    field_number(element + 8, len - 8, &s) == 0 && s < 1000000)
			return (int64_t)s;
	}
	return -1;
}

static void
read_connection(struct response *r, const struct h1_field *f)
{
	if (field_list_has(f->value, f->value_n, "close"))
		r->is_close = true; /* wins: RFC 9112 9.3 */
	else if (r->head->minor == 0 && field_list_has(f->value, f->value_n, "keep-alive"))
		r->is_persistent = true;
	if (!field_is(f->value, f->value_n, "close") &&
	    !field_is(f->value, f->value_n, "keep-alive"))
		r->has_connection_options = true;
}

static int
read_field(struct response *r, const struct h1_field *f)
{
	uint64_t n;

	switch (f->id) {
	case FIELD_CONTENT_LENGTH:
		if (r->length_field != NULL || field_number(f->value, f->value_n, &r->length) < 0)
			return -1;
		r->length_field = f;
		break;
	case FIELD_TRANSFER_ENCODING:
		if (r->is_chunked || r->head->minor == 0 ||
		    !field_is(f->value, f->value_n, "chunked"))
			return -1;
		r->is_chunked = true;
		break;
	case FIELD_CONNECTION:
		read_connection(r, f);
		r->connection_n += f->value_n;
		return r->connection_n > H1_LISTED_MAX ? -1 : 0;
	case FIELD_TRAILER:
		r->trailer_n += f->value_n;
		return r->trailer_n > H1_LISTED_MAX ? -1 : 0;
	case FIELD_KEEP_ALIVE:
		r->keep_alive_s = read_keep_alive(f->value, f->value_n);
		break;
	case FIELD_DATE:
		r->has_date = true;
		break;
	case FIELD_UPGRADE:
		r->has_upgrade = true;
		break;
	case FIELD_X_ACTIVATOR_BUSY:
		if (field_number(f->value, f->value_n, &n) == 0)
			r->busy_s = (int64_t)MIN(n, UINT64_C(86400));
		break;
	default:
		break;
	}
	return 0;
}

/* RFC 9112 6.3, in its order. */
static int
read_framing(struct response *r, bool is_head_method)
{
	bool is_none = r->status < 200 || r->status == 204;

	if (r->is_chunked && r->length_field != NULL)
		return -1;
	r->is_bodyless = is_none || r->status == 304 || is_head_method;
	if (r->is_bodyless) {
		r->framing = FRAMING_NONE;
		if (is_none) {
			/* No framing is allowed here (RFC 9110 8.6, RFC 9112 6.1).  A server that
			 * sends it may send a body, too, so its connection is not used again. */
			if (r->is_chunked || (r->length_field != NULL && r->length > 0))
				r->is_persistent = false;
			r->length_field = NULL;
			r->is_chunked = false;
		}
	} else if (r->is_chunked) {
		r->framing = FRAMING_CHUNKED;
	} else if (r->length_field != NULL) {
		r->framing = FRAMING_LENGTH;
	} else {
		r->framing = FRAMING_CLOSE;
		r->is_persistent = false;
	}
	return 0;
}

int
response_read(struct response *r, const struct h1_head *h, bool is_head_method, bool is_upgrade)
{
	uint32_t i;

	*r = (struct response){.head = h,
			       .status = h->status,
			       .is_persistent = h->minor == 1,
			       .keep_alive_s = -1,
			       .busy_s = -1};
	if (h->status < 100 || h->status > 999)
		return -1;
	for (i = 0; i < h->n; i++)
		if (h->fields[i].id != FIELD_OTHER && read_field(r, &h->fields[i]) < 0)
			return -1;
	if (h->status == 101 && (!is_upgrade || !r->has_upgrade)) /* RFC 9110 15.2.2 */
		return -1;
	r->is_persistent = r->is_persistent && !r->is_close;
	return read_framing(r, is_head_method);
}

/* --- writing --- */

enum framing
response_framing(const struct response *r, const struct response_hop *hop)
{
	if (r->framing == FRAMING_NONE || r->framing == FRAMING_LENGTH)
		return r->framing;
	return hop->is_http10 ? FRAMING_CLOSE : FRAMING_CHUNKED;
}

size_t
response_size(const struct response *r, const struct response_hop *hop)
{
	size_t n = 512 + r->head->reason_n;
	uint32_t i;

	if (hop->server_timing != NULL)
		n += strlen(hop->server_timing);
	for (i = 0; i < r->head->n; i++)
		n += r->head->fields[i].name_n + r->head->fields[i].value_n + 4;
	return n;
}

static bool
is_passed(const struct response *r, const struct h1_field *f, const struct response_hop *hop)
{
	switch (f->id) {
	case FIELD_CONNECTION:
	case FIELD_KEEP_ALIVE:
	case FIELD_PROXY:
	case FIELD_TRANSFER_ENCODING:
	case FIELD_CONTENT_LENGTH:
	case FIELD_X_ACTIVATOR: /* our refusals and pages alone have x-activator-reason */
	case FIELD_X_ACTIVATOR_BUSY:
	case FIELD_TE:
		return false;
	case FIELD_UPGRADE:
		return !hop->is_h2 && (r->status == 101 || r->status == 426);
	case FIELD_TRAILER:
		return r->framing == FRAMING_CHUNKED && !hop->is_http10 && hop->takes_trailers;
	default:
		return true;
	}
}

static char *
put_framing(char *out, const struct response *r, const struct response_hop *hop)
{
	if (!hop->is_h2 && (response_framing(r, hop) == FRAMING_CHUNKED ||
			    (r->is_chunked && r->framing == FRAMING_NONE && !hop->is_http10)))
		return PUT_LITERAL(out, "Transfer-Encoding: chunked\r\n");
	if (r->length_field != NULL) {
		out = put_decimal(PUT_LITERAL(out, "Content-Length: "), r->length);
		return PUT_LITERAL(out, "\r\n");
	}
	return out;
}

static char *
put_own(char *out, const struct response *r, const struct response_hop *hop)
{
	if (!r->has_date) {
		out = put(PUT_LITERAL(out, "Date: "), hop->date, 29);
		out = PUT_LITERAL(out, "\r\n");
	}
	if (hop->has_via)
		out = r->is_h2		    ? PUT_LITERAL(out, "Via: 2.0 activator\r\n")
		      : r->head->minor == 0 ? PUT_LITERAL(out, "Via: 1.0 activator\r\n")
					    : PUT_LITERAL(out, "Via: 1.1 activator\r\n");
	if (hop->server_timing != NULL) {
		out = PUT_LITERAL(out, "Server-Timing: ");
		out = put(out, hop->server_timing, strlen(hop->server_timing));
		out = PUT_LITERAL(out, "\r\n");
	}
	if (hop->is_h2)
		return out;
	if (r->status == 426 && r->has_upgrade) /* Upgrade says to what: RFC 9110 15.5.22 */
		out = PUT_LITERAL(out, "Connection: Upgrade\r\n");
	if (!hop->is_persistent || response_framing(r, hop) == FRAMING_CLOSE)
		return PUT_LITERAL(out, "Connection: close\r\n");
	return hop->says_keep_alive ? PUT_LITERAL(out, "Connection: keep-alive\r\n") : out;
}

static char *
put_status_line(char *start, const struct response *r)
{
	char *out = put_decimal(PUT_LITERAL(start, "HTTP/1.1 "), r->status);

	*out++ = ' ';
	out = put(out, r->head->reason, r->head->reason_n);
	return PUT_LITERAL(out, "\r\n");
}

size_t
response_write(const struct response *r, const struct response_hop *hop, char *start, size_t room)
{
	char *out = hop->is_h2 ? start : put_status_line(start, r);
	uint32_t i;

	for (i = 0; i < r->head->n; i++) {
		const struct h1_field *f = &r->head->fields[i];

		if (is_passed(r, f, hop) && !(r->has_connection_options && f->id != FIELD_UPGRADE &&
					      h1_is_connection_option(r->head, f)))
			out = put_field(out, f);
	}
	if (r->status == 101 && !hop->is_h2) {
		out = PUT_LITERAL(out, "Connection: Upgrade\r\n");
	} else if (r->status >= 200) {
		out = put_framing(out, r, hop);
		out = put_own(out, r, hop);
	}
	if (!hop->is_h2)
		out = PUT_LITERAL(out, "\r\n");
	CHECK((size_t)(out - start) <= room);
	return (size_t)(out - start);
}
