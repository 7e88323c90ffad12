#include "autoscaler/reconcile/hub.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clk.h"
#include "common/daemon.h"
#include "common/link.h"
#include "common/log.h"
#include "common/loop.h"
#include "common/msg_limits.h"
#include "common/strbuf.h"
#include "common/text.h"

#define HELLO_PATIENCE (5 * CLK_S) /* within this time a peer must say hello */
#define SWEEP_EVERY CLK_S

struct hub {
	struct loop *loop;
	struct link_server *server;
	const char *id;
	const struct hub_ops *ops;
	void *arg;
	struct list peers; /* hub_peer.node, in the order of arrival */
	size_t activators;
	uint64_t serial, dropped;
	uint64_t term;		 /* for the hello; 0: no shares are given out */
	struct loop_timer sweep; /* set while a peer has not said hello */
};

/* --- peers --- */

static void
peer_free(struct hub_peer *p)
{
	list_remove(&p->hub->peers, &p->node);
	free(p->id);
	free(p->version);
	free(p);
}

void
hub_set_term(struct hub *h, uint64_t term)
{
	h->term = term;
}

void
hub_cut(struct hub_peer *p, const char *why)
{
	link_cut(p->link, "%s", why);
}

void
hub_cut_all(struct hub *h, const char *why)
{
	struct hub_peer *p = NULL;

	while ((p = hub_next_activator(h, p)) != NULL)
		hub_cut(p, why);
}

size_t
hub_activators(const struct hub *h)
{
	return h->activators;
}

struct hub_peer *
hub_next_activator(struct hub *h, struct hub_peer *p)
{
	struct list_node *node = p == NULL ? h->peers.head.next : p->node.next;

	for (; node != &h->peers.head; node = node->next) {
		struct hub_peer *next = container_of(node, struct hub_peer, node);

		if (next->is_activator)
			return next;
	}
	return NULL;
}

bool
hub_have_defaults(struct hub *h)
{
	struct hub_peer *p = NULL;

	while ((p = hub_next_activator(h, p)) != NULL)
		if (!p->has_defaults)
			return false;
	return true;
}

struct hub_peer *
hub_find(struct hub *h, uint64_t serial)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&h->peers, node, tmp) {
		struct hub_peer *p = container_of(node, struct hub_peer, node);

		if (p->serial == serial)
			return p;
	}
	return NULL;
}

uint64_t
hub_dropped(const struct hub *h)
{
	return h->dropped;
}

/* --- sending --- */

void
hub_send_line(struct hub_peer *p, const char *line, size_t n)
{
	link_send(p->link, line, n);
}

void
hub_send(struct hub_peer *p, const struct msg *m)
{
	struct strbuf line;

	strbuf_init(&line, 0);
	msg_encode(m, &line);
	hub_send_line(p, line.data, line.len);
	strbuf_fini(&line);
}

void
hub_send_line_all(struct hub *h, const char *line, size_t n)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&h->peers, node, tmp) {
		struct hub_peer *p = container_of(node, struct hub_peer, node);

		if (p->is_activator)
			hub_send_line(p, line, n);
	}
}

void
hub_send_all(struct hub *h, const struct msg *m)
{
	struct strbuf line;

	strbuf_init(&line, 0);
	msg_encode(m, &line);
	hub_send_line_all(h, line.data, line.len);
	strbuf_fini(&line);
}

/* --- hello --- */

static void
say_hello(struct hub_peer *p)
{
	char *id = xstrdup(p->hub->id), *version = xstrdup(daemon_version);
	struct msg m = {.type = MSG_HELLO,
			.u.hello = {.protocol = MSG_PROTOCOL,
				    .role = ROLE_AUTOSCALER,
				    .id = id,
				    .version = version,
				    .has_shares = p->hub->term > 0,
				    .term = p->hub->term}};

	hub_send(p, &m);
	free(id);
	free(version);
}

static const char *
peer_name(const struct hub_peer *p)
{
	return p->id == NULL ? "unknown" : p->id;
}

/* The peer has broken a rule of the protocol. */
PRINTF_LIKE(2, 3) static void drop(struct hub_peer *p, const char *fmt, ...)
{
	char text[300];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof text, fmt, args);
	va_end(args);
	p->hub->dropped++;
	log_warn_limited(NULL, "peer dropped", "peer=%s pid=%d uid=%d reason=%s", peer_name(p),
			 (int)p->pid, (int)p->uid, text);
	link_cut(p->link, "%s", text);
}

/* The activator has a new link.  Its old one is dead, even if its end was not noticed yet. */
static void
replace_older(struct hub_peer *p)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&p->hub->peers, node, tmp) {
		struct hub_peer *old = container_of(node, struct hub_peer, node);

		if (old != p && old->is_activator && strcmp(old->id, p->id) == 0)
			link_cut(old->link, "replaced by a newer link");
	}
}

static void
take_hello(struct hub_peer *p, const struct msg_hello *h)
{
	struct err e;

	if (p->id != NULL) {
		drop(p, "it said hello twice");
		return;
	}
	if (h->protocol != MSG_PROTOCOL) {
		drop(p, "its protocol version is %d, expected %d", h->protocol, MSG_PROTOCOL);
		return;
	}
	if (h->role == ROLE_AUTOSCALER) {
		drop(p, "it is an autoscaler, expected an activator");
		return;
	}
	if (h->role == ROLE_CONTROL) {
		drop(p, "it has the role control, which is served at control_socket");
		return;
	}
	p->id = xstrdup(h->id);
	p->version = text_copy(h->version);
	p->role = h->role;
	p->has_shares = h->has_shares;
	p->has_commands = h->has_commands;
	p->has_spans = h->has_spans;
	p->has_swaps = h->has_swaps;
	p->has_defaults = h->defaults == msg_limits_digest();
	if (p->hub->ops->on_activator(p, p->hub->arg, &e) < 0) {
		drop(p, "%s", e.text);
		return;
	}
	p->is_activator = true;
	p->hub->activators++;
	replace_older(p);
}

/* --- receiving --- */

static void
take_message(struct hub_peer *p, const struct msg *m)
{
	switch (m->type) {
	case MSG_UNKNOWN:
		log_debug(NULL, "message of an unknown type, ignored", "peer=%s", peer_name(p));
		break;
	case MSG_HELLO:
		take_hello(p, &m->u.hello);
		break;
	case MSG_ACTIVATE:
	case MSG_STATS:
	case MSG_INSTANCE:
	case MSG_DRAINED:
	case MSG_BUSY:
	case MSG_SHARES_HELD:
	case MSG_WANT:
	case MSG_LEAVING:
	case MSG_RESULT:
	case MSG_SWAPPED:
		if (!p->is_activator) {
			drop(p, "it sent %s, which only an activator may", msg_type_name(m->type));
			break;
		}
		p->is_leaving = p->is_leaving || m->type == MSG_LEAVING;
		p->hub->ops->on_message(p, m, p->hub->arg);
		break;
	default:
		drop(p, "it sent %s, which only an autoscaler may", msg_type_name(m->type));
	}
}

static void
on_line(struct link *l, char *line, size_t n, void *arg)
{
	struct hub_peer *p = arg;
	struct err e = {0};
	struct msg m;

	(void)l;
	p->lines++;
	if (msg_decode(&m, line, n, &e) < 0)
		drop(p, "%s", e.text);
	else if (p->id == NULL && m.type != MSG_HELLO)
		drop(p, "it sent %s before its hello", msg_type_name(m.type));
	else
		take_message(p, &m);
	msg_fini(&m);
}

static void
on_up(struct link *l, void *arg)
{
	struct hub_peer *p = arg;

	link_peer_process(l, &p->pid, &p->uid);
	say_hello(p);
}

static void
on_down(struct link *l, const struct err *why, void *arg)
{
	struct hub_peer *p = arg;
	struct hub *h = p->hub;

	(void)l;
	if (p->is_activator) {
		h->activators--;
		h->ops->on_gone(p, why->text, h->arg);
	}
	peer_free(p);
}

static const struct link_ops link_ops = {on_up, on_line, on_down};

/* Cut off peers that have not said hello in time, so that they do not hold descriptors. */
static void
on_sweep(void *arg)
{
	struct hub *h = arg;
	struct list_node *node, *tmp;
	bool is_waiting = false;

	LIST_FOREACH(&h->peers, node, tmp) {
		struct hub_peer *p = container_of(node, struct hub_peer, node);

		if (p->id != NULL || !link_is_up(p->link))
			continue;
		if (clk_now() - p->since_ns < HELLO_PATIENCE)
			is_waiting = true;
		else
			drop(p, "it did not say hello within %d s", (int)(HELLO_PATIENCE / CLK_S));
	}
	if (is_waiting)
		loop_timer_set(&h->sweep, SWEEP_EVERY);
}

static void
on_accept(struct link *l, void *arg)
{
	struct hub *h = arg;
	struct hub_peer *p = xcalloc(1, sizeof *p);

	p->hub = h;
	p->link = l;
	p->serial = ++h->serial;
	p->since_ns = clk_now();
	list_push(&h->peers, &p->node);
	link_set_arg(l, p);
	if (!loop_timer_pending(&h->sweep))
		loop_timer_set(&h->sweep, SWEEP_EVERY);
}

/* --- life --- */

struct hub *
hub_open(struct loop *loop, const char *path, const char *id, const struct hub_ops *ops, void *arg,
	 struct err *e)
{
	struct hub *h = xcalloc(1, sizeof *h);

	*h = (struct hub){.loop = loop, .id = id, .ops = ops, .arg = arg};
	list_init(&h->peers);
	loop_timer_init(&h->sweep, loop, on_sweep, h);
	h->server = link_listen(loop, path, &link_ops, on_accept, h, e);
	if (h->server == NULL)
		hub_close(&h);
	return h;
}

void
hub_finish(struct hub *h, int64_t ns)
{
	link_server_finish(h->server, ns);
}

void
hub_close(struct hub **hp)
{
	struct hub *h = *hp;
	struct list_node *node, *tmp;

	*hp = NULL;
	if (h == NULL)
		return;
	link_server_free(&h->server);
	LIST_FOREACH(&h->peers, node, tmp)
		peer_free(container_of(node, struct hub_peer, node));
	loop_timer_fini(&h->sweep);
	free(h);
}
