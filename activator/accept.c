#include "activator/accept.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/bounds.h"
#include "activator/conn.h"
#include "activator/net/proxy_header.h"
#include "activator/refuse.h"
#include "common/clk.h"
#include "common/log.h"

/* --- connections of clients that are known --- */

static void
refuse_client(struct worker *w, int fd, const struct listen_spec *spec, const char *why)
{
	if (spec->is_tls) /* a TLS client does not expect plain text */
		close(fd);
	else
		refuse_connection(fd, why);
	metric_add(&w->counters.connections_refused, 1);
}

/* The kernel does not watch the connection (epoll_ctl(2) has failed). */
static void
refuse_unwatched(struct worker *w, int fd, const char *address, const struct listen_spec *spec)
{
	log_warn_limited(NULL, "cannot watch a connection, refusing it", "client=%s err=%s",
			 address, strerror(errno));
	clients_leave(&w->clients, address);
	refuse_client(w, fd, spec, "too many connections");
}

static void
open_client(struct worker *w, int fd, const struct addr *client, bool is_tls_at_proxy,
	    const struct listen_spec *spec)
{
	char address[ADDR_IP_TEXT];

	if (!clients_enter(&w->clients, addr_format_host(client, address)))
		refuse_client(w, fd, spec, "too many connections of this client");
	else if (conn_open(w, fd, client, is_tls_at_proxy, spec) < 0)
		refuse_unwatched(w, fd, address, spec);
}

/* --- connections whose PROXY protocol header is to come --- */

struct proxied {
	struct worker *w;
	int fd;
	struct listen_spec listen_spec; /* a copy: a reload may close the listener meanwhile */
	struct addr peer;		/* the proxy */
	struct loop_fd watch;
	struct timeq_entry timer;
	int64_t until_ns;
	struct list_node node; /* in w->proxied */
};

_Static_assert(ACCEPT_HEADERS_N <= ARRAY_LEN(((struct worker_counters *)NULL)->proxy_headers),
	       "a counter for each");

const char *
accept_header_name(enum accept_header h)
{
	static const char *const names[] = {
#define X(id, name) name,
		ACCEPT_HEADERS(X)
#undef X
	};

	CHECK(h < ACCEPT_HEADERS_N);
	return names[h];
}

static void
count(struct worker *w, enum accept_header h)
{
	metric_add(&w->counters.proxy_headers[h], 1);
}

/* The wait for the header is over; fd is not closed. */
static void
release(struct proxied *p)
{
	struct worker *w = p->w;

	loop_fd_clear(&p->watch);
	timeq_clear(&w->timeq, &p->timer);
	list_remove(&w->proxied, &p->node);
	metric_add(&w->counters.connections, (uint64_t)-1);
	bounds_disconnected(w->bounds);
	loop_defer(w->loop, p, free);
}

static void
close_proxied(struct proxied *p, enum accept_header why)
{
	char proxy[ADDR_IP_TEXT];

	/* No warning for ENDED: some health checks only connect. */
	if (why != ACCEPT_HEADER_ENDED)
		log_warn_limited(NULL, "connection closed: no valid PROXY protocol header",
				 "proxy=%s listen=%s header=%s", addr_format_host(&p->peer, proxy),
				 p->listen_spec.text, accept_header_name(why));
	count(p->w, why);
	release(p);
	close(p->fd);
}

/* Take the header off the socket, where its bytes are. */
static bool
take_header(const struct proxied *p, size_t size)
{
	ssize_t got;

	do
		got = recv(p->fd, p->w->read_buf, size, 0);
	while (got < 0 && errno == EINTR);
	return got >= 0 && (size_t)got == size;
}

static void
begin_client(struct proxied *p, const struct proxy_header *h)
{
	static const struct addr unknown = {.ss.ss_family = AF_UNSPEC};
	const struct {
		enum accept_header header;
		const struct addr *client;
	} by_origin[] = {
		[PROXY_HEADER_CLIENT] = {ACCEPT_HEADER_CLIENT, &h->client},
		[PROXY_HEADER_ANONYMOUS] = {ACCEPT_HEADER_ANONYMOUS, &unknown},
		[PROXY_HEADER_PROXY] = {ACCEPT_HEADER_LOCAL, &p->peer},
	};

	if (!take_header(p, h->size)) {
		close_proxied(p, ACCEPT_HEADER_ENDED);
		return;
	}
	count(p->w, by_origin[h->origin].header);
	release(p); /* it is freed at the end of the round */
	open_client(p->w, p->fd, by_origin[h->origin].client, h->is_tls, &p->listen_spec);
}

/* What has come, of `most` bytes, without taking it off the socket; as recv(2). */
static ssize_t
peek(const struct proxied *p, void *buf, size_t most)
{
	ssize_t got;

	do
		got = recv(p->fd, buf, most, MSG_PEEK);
	while (got < 0 && errno == EINTR);
	return got;
}

/* is_ended: the client has closed its side.  The wait may be over afterwards. */
static void
read_header(struct proxied *p, bool is_ended)
{
	size_t most = p->w->conf->limits.max_head;
	ssize_t got = peek(p, p->w->read_buf, most);
	struct proxy_header h;

	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0) {
		close_proxied(p, ACCEPT_HEADER_ENDED);
		return;
	}
	switch (proxy_header_parse(&h, p->w->read_buf, (size_t)got, most)) {
	case PROXY_HEADER_WHOLE:
		begin_client(p, &h);
		break;
	case PROXY_HEADER_PARTIAL:
		if (is_ended)
			close_proxied(p, ACCEPT_HEADER_ENDED);
		break;
	case PROXY_HEADER_ABSENT:
		close_proxied(p, ACCEPT_HEADER_ABSENT);
		break;
	case PROXY_HEADER_MALFORMED:
		close_proxied(p, ACCEPT_HEADER_MALFORMED);
		break;
	case PROXY_HEADER_TOO_LONG:
		close_proxied(p, ACCEPT_HEADER_TOO_LONG);
		break;
	}
}

static void
on_header_readable(int fd, short what, void *arg)
{
	struct proxied *p = arg;

	(void)fd;
	p->w->now = clk_now();
	read_header(p, (what & EV_CLOSED) != 0);
}

static void
on_header_late(struct timeq_entry *e, int64_t now)
{
	struct proxied *p = container_of(e, struct proxied, timer);

	worker_limit_fired(p->w, now);
	if (now < p->until_ns)
		timeq_set(&p->w->timeq, e, p->until_ns);
	else
		close_proxied(p, ACCEPT_HEADER_TIMEOUT);
}

static void
open_proxied(struct worker *w, int fd, const struct addr *peer, const struct listen_spec *spec)
{
	struct proxied *p = xcalloc(1, sizeof *p);

	p->w = w;
	p->fd = fd;
	p->listen_spec = *spec;
	p->peer = *peer;
	p->timer.fn = on_header_late;
	p->until_ns = w->now + w->conf->limits.head_timeout;
	list_push(&w->proxied, &p->node);
	metric_add(&w->counters.connections, 1);
	bounds_connected(w->bounds);
	timeq_set(&w->timeq, &p->timer, p->until_ns);
	loop_fd_init(&p->watch);
	read_header(p, false);
	/* Edge-triggered: a part of a header stays in the socket, and would report it again and
	 * again. */
	if (list_linked(&p->node))
		loop_fd_set(&p->watch, w->loop, fd, EV_READ | EV_CLOSED | EV_ET, on_header_readable,
			    p);
}

static void
refuse_untrusted(struct worker *w, int fd, const struct addr *peer, const struct listen_spec *spec)
{
	char address[ADDR_IP_TEXT];

	log_warn_limited(NULL, "connection closed: its peer is none of trusted_proxies",
			 "peer=%s listen=%s", addr_format_host(peer, address), spec->text);
	count(w, ACCEPT_HEADER_UNTRUSTED);
	close(fd);
}

/* --- all connections --- */

static void
on_accept(int fd, const struct addr *peer, const struct listen_spec *spec, void *arg)
{
	struct worker *w = arg;

	w->now = clk_now();
	metric_add(&w->counters.accepted, 1);
	if (!bounds_may_accept(w->bounds))
		refuse_client(w, fd, spec, "too many connections");
	else if (!spec->is_proxy)
		open_client(w, fd, peer, false, spec);
	else if (worker_trusts(w, peer))
		open_proxied(w, fd, peer, spec);
	else
		refuse_untrusted(w, fd, peer, spec);
}

static void
on_no_descriptor(int fd, const struct listen_spec *spec, void *arg)
{
	refuse_client(arg, fd, spec, "too many connections");
}

const struct listener_ops accept_ops = {
	.on_accept = on_accept,
	.on_no_descriptor = on_no_descriptor,
};

void
accept_drain(struct worker *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->proxied, node, tmp) {
		struct proxied *p = container_of(node, struct proxied, node);
		char byte;

		if (peek(p, &byte, 1) > 0)
			read_header(p, false);
		else
			close_proxied(p, ACCEPT_HEADER_ENDED);
	}
}

void
accept_cut(struct worker *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->proxied, node, tmp)
		close_proxied(container_of(node, struct proxied, node), ACCEPT_HEADER_ENDED);
}
