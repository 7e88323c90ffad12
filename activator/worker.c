#include "activator/worker.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "activator/accept.h"
#include "activator/access/access_log.h"
#include "activator/call_h2.h"
#include "activator/conn_h2.h"
#include "activator/dispatch.h"
#include "activator/exemplars.h"
#include "activator/net/listen_set.h"
#include "activator/net/tls.h"
#include "activator/net/tls_state.h"
#include "activator/notice.h"
#include "activator/park.h"
#include "activator/reroute.h"
#include "activator/shard.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/random.h"

/* --- the thread --- */

/* Any function of the round may have ended the last connection. */
static void
check_drained(struct worker *w)
{
	if (!w->is_draining || w->is_drained_reported || w->proxied.n > 0 || w->conns.n > 0 ||
	    w->busy_n > 0)
		return;
	w->is_drained_reported = true;
	notice_drained(w);
}

/* Let requests that wait for a descriptor go on, for as long as there are descriptors, and those
 * that wait for room for a handshake, for as long as there is room. */
static void
retry_starved(struct worker *w)
{
	struct xfer *x;

	while ((x = dispatch_next_starved(w)) != NULL)
		conn_advance(x);
	while ((x = dispatch_next_crowded(w)) != NULL)
		conn_advance(x);
}

/* Send requests again whose instance has refused them a moment ago. */
static void
retry_paused(struct worker *w)
{
	struct xfer *x;

	w->now = clk_now();
	while ((x = dispatch_next_paused(w)) != NULL)
		conn_advance(x);
}

static void
take_granted(struct worker *w)
{
	struct waiter *waiter;

	while ((waiter = inbox_next(&w->inbox)) != NULL) {
		struct xfer *x = container_of(waiter, struct xfer, waiter);

		w->now = clk_now();
		dispatch_granted(x);
		conn_advance(x);
	}
}

static void
on_tail(void *arg)
{
	struct worker *w = arg;

	io_round_run(w->round);
	timeq_run(&w->timeq);
	if (!list_empty(&w->starved) || !list_empty(&w->crowded))
		retry_starved(w);
	if (!list_empty(&w->paused))
		retry_paused(w);
	/* Last: what this thread granted to itself in this round was not announced by mail. */
	do
		take_granted(w);
	while (upstream_h2_write_all(w) || conn_h2_write_all(w) || io_round_write(w->round));
	if (w->access.log != NULL && w->access.ring->is_dirty)
		access_log_announce(w->access.log, w->access.ring);
	if (w->traces.log != NULL && w->traces.ring->is_dirty)
		access_log_announce(w->traces.log, w->traces.ring);
	check_drained(w);
}

static void
on_starved_timer(void *arg)
{
	struct worker *w = arg;

	w->now = clk_now(); /* the tail does the rest */
}

static void
on_paused_timer(void *arg)
{
	(void)arg; /* the tail does the rest */
}

static void *
run(void *arg)
{
	struct worker *w = arg;

	inbox_set_current(&w->inbox);
	loop_run(w->loop);
	return NULL;
}

static const char plain_answer[] =
	"HTTP/1.1 400 Bad Request\r\n"
	"X-Activator-Reason: bad_request\r\n"
	"Content-Type: text/plain; charset=utf-8\r\n"
	"Content-Length: 74\r\n"
	"Connection: close\r\n"
	"\r\n"
	"bad_request: this port speaks TLS: the address has to begin with https://\n";

/* A client that was offered h2 begins with its preface, as one with prior knowledge does. */
static const char *const protocols[] = {"h2", "http/1.1", NULL};
static const struct tls_use tls_use = {.protocols = protocols, .plain_answer = plain_answer};
const struct tls_use worker_tls_use = {.protocols = protocols + 1, .plain_answer = plain_answer};

const struct tls_use *
worker_tls_use_of(const struct activator_conf *conf)
{
	return conf->http2 ? &tls_use : &worker_tls_use;
}

struct worker *
worker_new(unsigned index, unsigned workers_n, struct worker_conf *conf, struct bounds *bounds,
	   struct loop *control_loop, const struct worker_ops *ops, void *arg, struct err *e)
{
	struct worker *w = xcalloc(1, sizeof *w);

	w->index = index;
	w->workers_n = workers_n;
	worker_set_conf(w, worker_conf_ref(conf));
	w->bounds = bounds;
	w->control = control_loop;
	w->ops = ops;
	w->arg = arg;
	w->now = clk_now();
	w->random = (uint64_t)clk_wall() * 2654435761u + index + 1;
	w->id_seeds[0] = random_u64();
	w->id_seeds[1] = random_u64();
	slab_init(&w->conn_slab, sizeof(struct conn));
	slab_init(&w->xfer_slab, sizeof(struct xfer));
	slab_init(&w->upstream_slab, sizeof(struct upstream));
	slab_init(&w->stream_slab, sizeof(struct h2_stream));
	slab_init(&w->call_slab, sizeof(struct h2_call));
	list_init(&w->proxied);
	list_init(&w->conns);
	list_init(&w->to_write);
	clients_init(&w->clients, w->conf->connections_per_client);
	list_init(&w->unrouted);
	list_init(&w->starved);
	list_init(&w->crowded);
	list_init(&w->paused);
	list_init(&w->shards);
	list_init(&w->upstreams);
	list_init(&w->upstreams_to_write);
	headbuf_pool_init(&w->heads);
	w->upstream_ops = &conn_upstream_ops;
	w->on_late = conn_on_late;
	w->read_buf = xmalloc(WORKER_BUFFER);
	w->loop = loop_new(e);
	if (w->loop != NULL) {
		w->round = io_round_new(w->loop, w->conf->batch);
		timeq_init(&w->timeq, w->loop);
		loop_timer_init(&w->starved_timer, w->loop, on_starved_timer, w);
		loop_timer_init(&w->paused_timer, w->loop, on_paused_timer, w);
		inbox_init(&w->inbox, w->loop);
		loop_on_tail(w->loop, on_tail, w);
	}
	if (w->loop == NULL ||
	    (w->conf->certificates_n > 0 &&
	     (w->tls = tls_new(w->loop, w->conf, worker_tls_use_of(w->conf), e)) == NULL))
		worker_free(&w);
	return w;
}

void
worker_set_access_log(struct worker *w, struct access_log *log, struct access_log *spans)
{
	CHECK(!w->is_started);
	w->access = (struct access_port){
		.log = log, .ring = access_log_ring(log, w->index), .pid = (int)getpid()};
	if (spans == NULL)
		return;
	w->traces = (struct access_port){.log = spans, .ring = access_log_ring(spans, w->index)};
	w->exemplars = exemplars_new();
}

int
worker_start(struct worker *w, struct err *e)
{
	sigset_t all, old;
	int code;

	/* Signals are the main thread's. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	w->is_started = true; /* before: the thread reads what stands beside it */
	code = pthread_create(&w->thread, NULL, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (code == 0)
		return 0;
	w->is_started = false;
	return err_set(e, code, "cannot start a worker: %s", strerror(code));
}

/* Close all connections to instances that are not idle: those of abandoned requests. */
static void
cut_abandoned(struct worker *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->upstreams, node, tmp) {
		struct upstream *u = container_of(node, struct upstream, node);

		if (u->h2 != NULL && u->state != UPSTREAM_IDLE)
			upstream_h2_cut(u);
		else if (u->state != UPSTREAM_IDLE)
			upstream_close(u, true);
	}
}

static void
forget_shards(struct worker *w)
{
	struct list_node *node;

	while ((node = list_first(&w->shards)) != NULL) {
		struct shard *s = container_of(node, struct shard, node);

		upstream_shed_set(w, s->set);
		instance_set_unref(&s->set);
		shard_forget(w, s);
	}
}

/* The worker's thread has ended: end on this thread the connections that it left. */
static void
end_all(struct worker *w)
{
	struct list_node *node, *tmp;

	w->is_ended = true;
	listener_free(&w->listener);
	inbox_set_current(&w->inbox);
	loop_settle(w->loop);
	w->is_draining = false;
	accept_cut(w);
	LIST_FOREACH(&w->conns, node, tmp)
		conn_cut(container_of(node, struct conn, node));
	cut_abandoned(w);
	on_tail(w);
	forget_shards(w);
	inbox_set_current(NULL);
}

void
worker_stop(struct worker *w)
{
	if (!w->is_started)
		return;
	loop_stop(w->loop);
	pthread_join(w->thread, NULL);
	w->is_started = false;
	end_all(w);
}

void
worker_free(struct worker **wp)
{
	struct worker *w = *wp;

	*wp = NULL;
	if (w == NULL)
		return;
	CHECK(!w->is_started);
	if (w->loop != NULL) {
		end_all(w);
		timeq_fini(&w->timeq);
		loop_timer_fini(&w->starved_timer);
		loop_timer_fini(&w->paused_timer);
		loop_free(&w->loop);
		io_round_free(&w->round);
		tls_free(&w->tls);
		tls_free(&w->upstream_tls);
		inbox_fini(&w->inbox);
	}
	slab_fini(&w->conn_slab);
	slab_fini(&w->xfer_slab);
	slab_fini(&w->upstream_slab);
	slab_fini(&w->stream_slab);
	slab_fini(&w->call_slab);
	snapshot_unref(&w->snapshot);
	headbuf_pool_fini(&w->heads);
	clients_fini(&w->clients);
	worker_conf_unref(&w->conf_ref);
	free(w->read_buf);
	free(w->write_buf);
	free(w->frame_buf);
	exemplars_free(&w->exemplars);
	h2_shared_free(&w->h2_shared);
	free(w);
}

void
worker_begin_h2(struct worker *w)
{
	if (w->h2_shared != NULL)
		return;
	w->h2_shared = h2_shared_new();
	w->frame_buf = xmalloc(WORKER_FRAMES);
}

const struct worker_counters *
worker_counters(const struct worker *w)
{
	return &w->counters;
}

void
worker_collect_exemplars(const struct worker *w, uint64_t series, struct metric_exemplar *out)
{
	if (w->exemplars != NULL)
		exemplars_collect(w->exemplars, series, out);
}

const struct tls_counters *
worker_tls_counters(const struct worker *w)
{
	CHECK(w->tls != NULL);
	return tls_counters(w->tls);
}

/* --- mail from the main thread --- */

/* What worker_post_*() posts; of the members each uses those that it sets. */
struct worker_mail {
	struct loop_mail mail;
	struct worker *w;
	struct routes *routes;
	struct revision *rev;
	struct instance_set *set;
	struct tls_state *tls;
	struct instance *inst;
	struct worker_period *period;
	void (*collected)(struct worker_period *, void *);
	void (*swapped)(void *);
	void (*echoed)(void *);
	struct listen_use *uses; /* of listening sockets, with a reference each */
	size_t uses_n;
	void *arg;
};

static void
post(struct worker *w, const struct worker_mail *what, void (*fn)(struct loop_mail *))
{
	struct worker_mail *m = xmalloc(sizeof *m);

	*m = *what;
	m->w = w;
	m->mail.fn = fn;
	loop_post(w->loop, &m->mail);
}

static struct worker *
begin(struct worker_mail *m)
{
	m->w->now = clk_now();
	return m->w;
}

static void
route_unrouted(struct worker *w)
{
	struct list_node *node;

	while ((node = list_first(&w->unrouted)) != NULL) {
		struct xfer *x = container_of(node, struct xfer, node);

		park_unrouted_end(x);
		conn_advance(x);
	}
}

static void
on_swapped(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);

	m->swapped(m->arg);
	free(m);
}

static void
do_routes(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);
	struct worker *w = begin(m);

	snapshot_unref(&w->snapshot);
	w->snapshot = snapshot_new(m->routes);
	reroute_parked(w);
	route_unrouted(w);
	if (m->swapped == NULL) {
		free(m);
		return;
	}
	m->mail.fn = on_swapped; /* the same mail goes back */
	loop_post(w->control, &m->mail);
}

void
worker_post_routes(struct worker *w, struct routes *routes, void (*fn)(void *), void *arg)
{
	post(w, &(struct worker_mail){.routes = routes_ref(routes), .swapped = fn, .arg = arg},
	     do_routes);
}

static void
do_set(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);
	struct worker *w = begin(m);
	struct instance_set *old = shard_set(w, m->rev, m->set);
	uint32_t i;

	for (i = 0; old != NULL && i < old->n; i++)
		if (!instance_set_holds(m->set, old->v[i]))
			upstream_shed(w, old->v[i]);
	instance_set_unref(&old);
	instance_set_unref(&m->set);
	revision_unref(&m->rev);
	free(m);
}

void
worker_post_set(struct worker *w, struct revision *rev, struct instance_set *set)
{
	post(w, &(struct worker_mail){.rev = revision_ref(rev), .set = instance_set_ref(set)},
	     do_set);
}

static void
do_shed(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);

	upstream_shed_excess(begin(m), m->inst);
	instance_unref(&m->inst);
	free(m);
}

void
worker_post_shed(struct worker *w, struct instance *inst)
{
	post(w, &(struct worker_mail){.inst = instance_ref(inst)}, do_shed);
}

static void
on_echo(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);

	m->echoed(m->arg);
	free(m);
}

static void
do_echo(struct loop_mail *mail)
{
	mail->fn = on_echo; /* the same mail goes back */
	loop_post(container_of(mail, struct worker_mail, mail)->w->control, mail);
}

void
worker_post_echo(struct worker *w, void (*fn)(void *), void *arg)
{
	post(w, &(struct worker_mail){.echoed = fn, .arg = arg}, do_echo);
}

static void
do_tls(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);

	tls_set_state(m->w->tls, m->tls);
	free(m);
}

void
worker_post_tls(struct worker *w, struct tls_state *state)
{
	if (w->is_started)
		post(w, &(struct worker_mail){.tls = tls_state_ref(state)}, do_tls);
	else
		tls_set_state(w->tls, tls_state_ref(state));
}

static void
do_listen(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);
	struct worker *w = begin(m);

	if (w->is_draining || w->is_ended) {
		while (m->uses_n > 0)
			listen_socket_unref(&m->uses[--m->uses_n].socket);
	} else {
		w->listener = listener_new(w->loop, &accept_ops, w);
		listener_use(w->listener, m->uses, m->uses_n);
	}
	free(m->uses);
	free(m);
}

void
worker_post_listen(struct worker *w, const struct listen_set *set)
{
	struct worker_mail m = {.uses_n = 0};

	m.uses_n = listen_set_of_worker(set, w->index, &m.uses);
	post(w, &m, do_listen);
}

static void
stop_accepting(struct worker *w)
{
	w->is_draining = true;
	/* A client whose handshake is done counts as connected, accepted yet or not. */
	if (w->listener != NULL)
		listener_accept_rest(w->listener);
	listener_free(&w->listener);
}

static void
do_replaced(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);
	struct worker *w = begin(m);
	struct list_node *node, *tmp;

	free(m);
	stop_accepting(w);
	w->keeps_idle = true;
	/* HTTP/2 has GOAWAY: no request is lost to a connection that closes. */
	LIST_FOREACH(&w->conns, node, tmp) {
		struct conn *c = container_of(node, struct conn, node);

		if (c->h2 != NULL)
			conn_drain(c);
	}
}

void
worker_post_replaced(struct worker *w)
{
	post(w, &(struct worker_mail){0}, do_replaced);
}

static void
end_tunnels(struct worker *w)
{
	struct list_node *node, *tmp;

	LIST_FOREACH(&w->conns, node, tmp)
		metric_add(&w->counters.tunnels_cut,
			   conn_end_tunnels(container_of(node, struct conn, node)));
}

static void
do_end_tunnels(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);

	end_tunnels(begin(m));
	free(m);
}

void
worker_post_end_tunnels(struct worker *w)
{
	post(w, &(struct worker_mail){0}, do_end_tunnels);
}

static void
do_drain(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);
	struct worker *w = begin(m);
	struct list_node *node, *tmp;

	free(m);
	stop_accepting(w);
	w->keeps_idle = false;
	accept_drain(w);
	LIST_FOREACH(&w->conns, node, tmp)
		conn_drain(container_of(node, struct conn, node));
}

void
worker_post_drain(struct worker *w)
{
	post(w, &(struct worker_mail){0}, do_drain);
}

static void
do_end(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);
	struct worker *w = begin(m);
	struct list_node *node, *tmp;

	free(m);
	accept_cut(w);
	end_tunnels(w);
	LIST_FOREACH(&w->conns, node, tmp)
		conn_end(container_of(node, struct conn, node));
	cut_abandoned(w);
}

void
worker_post_end(struct worker *w)
{
	post(w, &(struct worker_mail){0}, do_end);
}

static void
on_collected(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);

	m->collected(m->period, m->arg);
	free(m);
}

static void
do_collect(struct loop_mail *mail)
{
	struct worker_mail *m = container_of(mail, struct worker_mail, mail);
	struct worker *w = begin(m);

	m->period = xcalloc(1, sizeof *m->period);
	m->period->worker = w;
	shard_collect(w, m->period, w->now);
	m->mail.fn = on_collected; /* the same mail goes back */
	loop_post(w->control, &m->mail);
}

void
worker_post_collect(struct worker *w, void (*fn)(struct worker_period *, void *), void *arg)
{
	post(w, &(struct worker_mail){.collected = fn, .arg = arg}, do_collect);
}

void
worker_period_free(struct worker_period **pp)
{
	struct worker_period *p = *pp;
	size_t i;

	*pp = NULL;
	if (p == NULL)
		return;
	for (i = 0; i < p->n; i++) {
		revision_unref(&p->v[i].rev);
		free(p->v[i].tally);
		free(p->v[i].counts);
		free(p->v[i].cold_start);
	}
	free(p->v);
	free(p);
}
