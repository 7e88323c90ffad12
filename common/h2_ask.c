#include "common/h2_ask.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#define FIELDS_MOST 16
#define BYTES_MOST ((size_t)256 << 10) /* that an instance may send */

struct h2_ask {
	nghttp2_session *session;
	int32_t id;
	char *body; /* of the request */
	size_t body_n, body_at;
	uint32_t status;
	int grpc_status;
	bool is_over;
	const char *trouble; /* NULL: none */
	size_t came_n;	     /* bytes of the peer */
	char start[5];	     /* the first of them */
	char kept[H2_ASK_BODY];
	size_t kept_n;
};

/* --- what nghttp2 reports --- */

static ssize_t
on_read(nghttp2_session *s, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
	nghttp2_data_source *source, void *arg)
{
	struct h2_ask *h = arg;
	size_t got = MIN(h->body_n - h->body_at, n);

	(void)s;
	(void)id;
	(void)source;
	memcpy(buf, h->body + h->body_at, got);
	h->body_at += got;
	if (h->body_at == h->body_n)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)got;
}

static bool
is_named(const char *name, const uint8_t *text, size_t n)
{
	return strlen(name) == n && memcmp(name, text, n) == 0;
}

/* At most three digits; -1: it is something else. */
static int
small_number(const uint8_t *text, size_t n)
{
	int number = 0;
	size_t i;

	if (n == 0 || n > 3)
		return -1;
	for (i = 0; i < n; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		number = number * 10 + (text[i] - '0');
	}
	return number;
}

static int
on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t name_n,
	  const uint8_t *value, size_t n, uint8_t flags, void *arg)
{
	struct h2_ask *h = arg;

	(void)s;
	(void)flags;
	if (f->hd.stream_id != h->id)
		return 0;
	if (is_named(":status", name, name_n)) {
		int status = small_number(value, n);

		h->status = status >= 200 ? (uint32_t)status : 0; /* 1xx: the final one follows */
	} else if (is_named("grpc-status", name, name_n)) {
		h->grpc_status = small_number(value, n);
	}
	return 0;
}

static int
on_data_chunk(nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t n,
	      void *arg)
{
	struct h2_ask *h = arg;
	size_t kept = MIN(n, sizeof h->kept - h->kept_n);

	(void)s;
	(void)flags;
	if (id == h->id) {
		memcpy(h->kept + h->kept_n, data, kept);
		h->kept_n += kept;
	}
	return 0;
}

static int
on_stream_close(nghttp2_session *s, int32_t id, uint32_t code, void *arg)
{
	struct h2_ask *h = arg;

	(void)s;
	if (id != h->id)
		return 0;
	h->is_over = true;
	if (code == NGHTTP2_REFUSED_STREAM)
		h->trouble = "it refused the stream";
	else if (code != NGHTTP2_NO_ERROR)
		h->trouble = "it reset the stream";
	return 0;
}

static nghttp2_session_callbacks *callbacks; /* filled by h2_ask_prepare() */
static nghttp2_option *options;

/* Runs before main(), so that no thread fills them; constant from then on. */
__attribute__((constructor)) static void
h2_ask_prepare(void)
{
	if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&options) != 0)
		abort();
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_option_set_no_auto_window_update(options, 1);
}

/* --- the request --- */

static nghttp2_nv
field(const char *name, const char *value)
{
	nghttp2_nv nv = {.namelen = strlen(name), .valuelen = strlen(value)};

	memcpy(&nv.name, &name, sizeof name); /* nghttp2 changes neither */
	memcpy(&nv.value, &value, sizeof value);
	return nv;
}

static void
submit(struct h2_ask *h, const struct h2_ask_request *r)
{
	const nghttp2_data_provider body = {.read_callback = on_read};
	nghttp2_nv nv[FIELDS_MOST] = {
		field(":method", r->method),
		field(":scheme", r->scheme),
		field(":authority", r->authority),
		field(":path", r->path),
	};
	size_t n = 4, i;

	CHECK(n + r->fields_n <= FIELDS_MOST);
	for (i = 0; i < r->fields_n; i++)
		nv[n++] = field(r->fields[i].name, r->fields[i].value);
	h->id = nghttp2_submit_request(h->session, NULL, nv, n, h->body_n > 0 ? &body : NULL, NULL);
	CHECK(h->id > 0);
}

struct h2_ask *
h2_ask_new(const struct h2_ask_request *r)
{
	static const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0}};
	struct h2_ask *h = xcalloc(1, sizeof *h);

	h->grpc_status = -1;
	h->body_n = r->body_n;
	h->body = xmalloc(r->body_n + 1);
	memcpy(h->body, r->body_n == 0 ? "" : r->body, r->body_n);
	/* These fail only where memory ends, and that ends the program as elsewhere. */
	if (nghttp2_session_client_new2(&h->session, callbacks, h, options) != 0 ||
	    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) !=
		    0)
		abort();
	submit(h, r);
	return h;
}

void
h2_ask_free(struct h2_ask **hp)
{
	struct h2_ask *h = *hp;

	*hp = NULL;
	if (h == NULL)
		return;
	nghttp2_session_del(h->session);
	free(h->body);
	free(h);
}

/* --- bytes --- */

/* What has come shows why it cannot be read as HTTP/2. */
static const char *
why_unreadable(const struct h2_ask *h)
{
	return memcmp(h->start, "HTTP/", sizeof h->start) == 0 ? "it speaks HTTP/1, not HTTP/2"
							       : "its answer is no HTTP/2";
}

/* nghttp2 wants to read no more once it has sent what ends the connection. */
static int
check(struct h2_ask *h, bool is_good)
{
	if (h->is_over || (is_good && nghttp2_session_want_read(h->session) != 0))
		return 0;
	h->trouble = why_unreadable(h);
	return -1;
}

ssize_t
h2_ask_send(struct h2_ask *h, const char **data)
{
	const uint8_t *bytes;
	ssize_t n = nghttp2_session_mem_send(h->session, &bytes);

	memcpy(data, &bytes, sizeof bytes);
	return n > 0 ? n : check(h, n == 0);
}

int
h2_ask_feed(struct h2_ask *h, const char *data, size_t n)
{
	if (h->came_n < sizeof h->start)
		memcpy(h->start + h->came_n, data, MIN(n, sizeof h->start - h->came_n));
	h->came_n += n;
	if (h->came_n > BYTES_MOST) {
		h->trouble = "its answer is too large";
		return -1;
	}
	return check(h, nghttp2_session_mem_recv(h->session, (const uint8_t *)data, n) >= 0);
}

const char *
h2_ask_trouble(const struct h2_ask *h)
{
	return h->trouble;
}

/* --- the response --- */

uint32_t
h2_ask_status(const struct h2_ask *h)
{
	return h->status;
}

bool
h2_ask_is_over(const struct h2_ask *h)
{
	return h->is_over;
}

int
h2_ask_grpc_status(const struct h2_ask *h)
{
	return h->grpc_status;
}

const char *
h2_ask_body(const struct h2_ask *h, size_t *n)
{
	*n = h->kept_n;
	return h->kept;
}
