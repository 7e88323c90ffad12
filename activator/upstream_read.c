#include "activator/upstream_read.h"

#include <stdlib.h>
#include <string.h>

#include "activator/http/chunked.h"
#include "activator/upstream.h"
#include "activator/worker_impl.h"
#include "common/clk.h"

size_t
upstream_read_begin(struct upstream *u)
{
	size_t n = u->in_n;

	if (n > 0)
		memcpy(u->w->read_buf, u->in, n);
	free(u->in);
	u->in = NULL;
	u->in_n = 0;
	return n;
}

void
upstream_read_keep(struct upstream *u, const char *buf, size_t n)
{
	CHECK(u->in == NULL);
	if (n == 0)
		return;
	u->in = xmalloc(n);
	memcpy(u->in, buf, n);
	u->in_n = (uint32_t)n;
}

void
upstream_read_forget(struct upstream *u)
{
	chunked_free(&u->call.chunked);
	free(u->in);
	u->in = NULL;
	u->in_n = 0;
	u->in_seen = 0;
	u->is_in_whole = false;
	u->call.is_head_read = u->call.is_done = false;
}

int
upstream_read_head(struct upstream *u, const char *buf, size_t n, struct response *r)
{
	u->in_seen = 0;
	if (h1_parse_response(&u->w->head, buf, n, u->call.max_fields) != H1_OK)
		return -1;
	return response_read(r, &u->w->head, u->call.is_head_method, u->call.is_upgrade);
}

void
upstream_read_final(struct upstream *u, const struct response *r)
{
	if (r->busy_s >= 0)
		atomic_store_explicit(&u->inst->busy_until, u->w->now + r->busy_s * CLK_S,
				      memory_order_relaxed);
	if (r->keep_alive_s >= 0) /* close before the instance does */
		u->idle_ns = MIN(u->idle_ns, MAX(r->keep_alive_s * CLK_S - CLK_S / 2, 0));
	u->call.is_persistent = r->is_persistent;
	u->is_small = r->framing == FRAMING_NONE ||
		      (r->framing == FRAMING_LENGTH && r->length <= IO_AHEAD / 2);
	u->call.framing = r->framing;
	u->call.remaining = r->length;
	u->call.is_head_read = true;
	if (r->framing == FRAMING_CHUNKED)
		u->call.chunked = chunked_new(r->head, u->call.max_head, u->call.max_fields);
}

void
upstream_read_raw(struct upstream *u)
{
	u->call.framing = FRAMING_CLOSE;
	u->call.is_persistent = false;
	u->call.is_head_read = true;
}

ssize_t
upstream_read_body(struct upstream *u, char *buf, size_t n, size_t *data_n)
{
	ssize_t used;

	CHECK(!u->call.is_done); /* what comes behind is no part of it */
	switch (u->call.framing) {
	case FRAMING_NONE:
		*data_n = 0;
		u->call.is_done = true;
		return 0;
	case FRAMING_LENGTH:
		used = (ssize_t)MIN((uint64_t)n, u->call.remaining);
		u->call.remaining -= (uint64_t)used;
		*data_n = (size_t)used;
		u->call.is_done = u->call.remaining == 0;
		return used;
	case FRAMING_CHUNKED:
		used = chunked_feed(u->call.chunked, buf, n, data_n);
		u->call.is_done = used >= 0 && chunked_done(u->call.chunked);
		return used;
	case FRAMING_CLOSE:
		break;
	}
	*data_n = n;
	return (ssize_t)n;
}

bool
upstream_read_past(struct upstream *u, size_t n)
{
	size_t data_n, head_n = 0;

	while (!u->call.is_head_read) {
		char *at = u->w->read_buf + head_n;
		ssize_t found = h1_scan(at, n - head_n, &u->in_seen);
		struct response r;

		if (found == 0 && n - head_n < u->call.max_head) {
			upstream_read_keep(u, at, n - head_n);
			return false;
		}
		if (found <= 0 || (size_t)found > u->call.max_head ||
		    upstream_read_head(u, at, (size_t)found, &r) < 0 || r.status == 101)
			return true;
		head_n += (size_t)found;
		if (r.status >= 200)
			upstream_read_final(u, &r);
	}
	return upstream_read_body(u, u->w->read_buf + head_n, n - head_n, &data_n) < 0 ||
	       u->call.is_done;
}
