#include "activator/http/h2_block.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "activator/http/fields.h"
#include "activator/http/h2_impl.h"
#include "activator/http/put.h"

struct h2_block *
h2_block_new(void)
{
	struct h2_block *b = xcalloc(1, sizeof *b);

	strbuf_init(&b->text, 0);
	strbuf_init(&b->cookie, 0);
	strbuf_init(&b->pseudo, 0);
	return b;
}

void
h2_block_free(struct h2_block **bp)
{
	struct h2_block *b = *bp;

	*bp = NULL;
	if (b == NULL)
		return;
	strbuf_fini(&b->text);
	strbuf_fini(&b->cookie);
	strbuf_fini(&b->pseudo);
	free(b);
}

size_t
h2_block_bytes(const struct h2_block *b)
{
	return sizeof *b + b->text.cap + b->cookie.cap + b->pseudo.cap;
}

void
h2_block_begin(struct h2_block *b, bool is_request)
{
	strbuf_clear(&b->text);
	strbuf_clear(&b->cookie);
	strbuf_clear(&b->pseudo);
	b->method = b->path = b->authority = b->protocol = (struct h2_pseudo){.n = 0};
	b->size = 0;
	b->is_request = is_request;
	b->is_too_large = b->has_line = b->has_length = b->is_websocket = b->is_contradicted =
		false;
}

static bool
is(const char *name, size_t n, const char *known, size_t known_n)
{
	return n == known_n && memcmp(name, known, n) == 0;
}
#define IS(name, n, known) is(name, n, known, sizeof(known) - 1)

/* --- pseudo-fields --- */

static void
add_pseudo(struct h2_block *b, const char *name, size_t name_n, const char *value, size_t n)
{
	struct h2_pseudo *p = IS(name, name_n, ":method")      ? &b->method
			      : IS(name, name_n, ":path")      ? &b->path
			      : IS(name, name_n, ":authority") ? &b->authority
			      : IS(name, name_n, ":protocol")  ? &b->protocol
							       : NULL;

	if (p == NULL)
		return; /* :scheme: what the connection is says that, not the client */
	*p = (struct h2_pseudo){b->pseudo.len, n};
	strbuf_add(&b->pseudo, value, n);
	if (p == &b->protocol)
		b->is_websocket = field_is(value, n, "websocket");
}

static const char *
value_of(const struct h2_block *b, const struct h2_pseudo *p)
{
	return strbuf_str(&b->pseudo) + p->at;
}

static char *
put_pseudo(char *out, const struct h2_block *b, const struct h2_pseudo *p)
{
	return put(out, value_of(b, p), p->n);
}

/* --- the text --- */

/* All pseudo-fields have come. */
static void
begin_text(struct h2_block *b)
{
	char *out = strbuf_reserve(&b->text, b->pseudo.len + b->authority.n + 64);

	b->has_line = true;
	out = b->is_websocket ? PUT_LITERAL(out, "GET") : put_pseudo(out, b, &b->method);
	*out++ = ' ';
	if (b->protocol.n == 0 || b->is_websocket)
		out = put_pseudo(out, b, &b->path);
	if (b->protocol.n > 0 ? !b->is_websocket : b->path.n == 0) /* CONNECT */
		out = put_pseudo(out, b, &b->authority);
	out = PUT_LITERAL(out, " HTTP/1.1\r\n");
	if (b->authority.n > 0) {
		out = put_pseudo(PUT_LITERAL(out, "host: "), b, &b->authority);
		out = PUT_LITERAL(out, "\r\n");
	}
	*out = '\0';
	b->text.len = (size_t)(out - b->text.data);
}

/* Does the block itself take care of the field, so that it is no line of the text? */
static bool
is_taken(struct h2_block *b, const char *name, size_t name_n, const char *value, size_t n)
{
	if (IS(name, name_n, "cookie")) {
		if (b->cookie.len > 0)
			strbuf_adds(&b->cookie, "; ");
		strbuf_add(&b->cookie, value, n);
		return true;
	}
	if (IS(name, name_n, "host")) {
		if (b->authority.n > 0 && n > 0)
			b->is_contradicted |= n != b->authority.n ||
					      strncasecmp(value, value_of(b, &b->authority), n) !=
						      0;
		return b->authority.n > 0 || n == 0 || !b->is_request;
	}
	b->has_length |= IS(name, name_n, "content-length");
	return b->is_websocket && IS(name, name_n, "sec-websocket-key"); /* RFC 8441 5: ours is */
}

void
h2_block_add(struct h2_block *b, const char *name, size_t name_n, const char *value, size_t n)
{
	if (name[0] == ':') {
		add_pseudo(b, name, name_n, value, n);
		return;
	}
	if (b->is_request && !b->has_line)
		begin_text(b);
	if (!is_taken(b, name, name_n, value, n))
		h2_add_line(&b->text, name, name_n, value, n);
}

/* RFC 9110 8.6: a request of such a method says that its body is empty. */
static bool
expects_body(const struct h2_block *b)
{
	const char *method = value_of(b, &b->method);
	size_t n = b->method.n;

	return IS(method, n, "POST") || IS(method, n, "PUT") || IS(method, n, "PATCH");
}

void
h2_block_make_head(struct h2_block *b, struct h2_head *head)
{
	if (!b->has_line)
		begin_text(b);
	if (b->cookie.len > 0)
		h2_add_line(&b->text, "cookie", 6, b->cookie.data, b->cookie.len);
	if (b->is_websocket)
		strbuf_addf(
			&b->text,
			"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-key: %s\r\n",
			head->ws_key);
	else if (!head->is_end && !b->has_length)
		strbuf_adds(&b->text, "transfer-encoding: chunked\r\n");
	else if (!b->has_length && expects_body(b))
		strbuf_adds(&b->text, "content-length: 0\r\n");
	strbuf_adds(&b->text, "\r\n");
	head->n = b->text.len;
	head->text = xmalloc(head->n + 1);
	memcpy(head->text, b->text.data, head->n + 1);
}

char *
h2_block_take_trailers(struct h2_block *b)
{
	return strbuf_take(&b->text);
}
