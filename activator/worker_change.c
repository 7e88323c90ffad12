#include "activator/worker_change.h"

#include <errno.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>

#include "activator/conn.h"
#include "activator/net/listen_set.h"
#include "activator/net/tls.h"
#include "activator/net/tls_state.h"
#include "activator/worker_impl.h"
#include "common/clk.h"
#include "common/log.h"
#include "common/ref.h"

#define WAIT_MOST (5 * CLK_S) /* for a worker, whose rounds take milliseconds */

/* Where main waits for the workers; counted, since main may give up. */
struct latch {
	_Atomic uint32_t refs;
	sem_t made; /* counts the changes that are made */
};

struct worker_change {
	struct loop_mail mail;
	struct latch *latch;
	struct worker *w;
	struct worker_conf *conf;
	struct listen_use *uses;
	size_t uses_n;
	struct tls_state *tls_state;   /* NULL: as it was */
	struct tls_change *tls_change; /* NULL: there is no TLS, or it is new */
	struct tls *tls;	       /* the worker's first one, or NULL */
};

static void
latch_unref(struct latch **lp)
{
	struct latch *latch = *lp;

	*lp = NULL;
	if (!ref_drop(&latch->refs))
		return;
	sem_destroy(&latch->made);
	free(latch);
}

/* --- making it ready --- */

static int
plan_tls(struct worker_change *c, const struct activator_conf *conf, struct err *e)
{
	struct worker *w = c->w;

	if (w->tls != NULL)
		c->tls_change = tls_change_new(w->tls, conf, worker_tls_use_of(conf), e);
	else if (conf->certificates_n > 0)
		c->tls = tls_new(w->loop, conf, worker_tls_use_of(conf), e);
	else
		return 0;
	return c->tls_change == NULL && c->tls == NULL ? -1 : 0;
}

struct worker_change *
worker_change_new(struct worker *w, struct worker_conf *conf, const struct listen_set *set,
		  struct tls_state *state, struct err *e)
{
	struct worker_change *c = xcalloc(1, sizeof *c);

	c->w = w;
	c->conf = worker_conf_ref(conf);
	c->uses_n = listen_set_of_worker(set, w->index, &c->uses);
	c->tls_state = state == NULL ? NULL : tls_state_ref(state);
	if (plan_tls(c, &conf->settings->activator, e) < 0)
		worker_change_free(&c);
	return c;
}

void
worker_change_free(struct worker_change **cp)
{
	struct worker_change *c = *cp;

	*cp = NULL;
	if (c == NULL)
		return;
	while (c->uses_n > 0)
		listen_socket_unref(&c->uses[--c->uses_n].socket);
	free(c->uses);
	tls_change_free(&c->tls_change);
	tls_free(&c->tls);
	tls_state_unref(&c->tls_state);
	worker_conf_unref(&c->conf);
	free(c);
}

/* --- in the worker --- */

static void
change_tls(struct worker *w, struct worker_change *c)
{
	if (c->tls_change != NULL)
		tls_make_change(w->tls, &c->tls_change);
	if (c->tls_state != NULL)
		tls_set_state(w->tls, c->tls_state);
	c->tls_state = NULL;
	if (w->upstream_tls != NULL)
		tls_move_conf(w->upstream_tls, w->conf);
}

/* Clients are counted only while there is a bound. */
static void
recount_clients(struct worker *w)
{
	struct list_node *node, *tmp;

	clients_restart(&w->clients, w->conf->connections_per_client);
	LIST_FOREACH(&w->conns, node, tmp)
		clients_add(&w->clients, container_of(node, struct conn, node)->peer_text);
}

static void
do_change(struct loop_mail *mail)
{
	struct worker_change *c = container_of(mail, struct worker_change, mail);
	struct worker *w = c->w;
	struct worker_conf *old = w->conf_ref;

	w->now = clk_now();
	worker_set_conf(w, c->conf);
	c->conf = NULL;
	change_tls(w, c);
	if (w->clients.most != w->conf->connections_per_client)
		recount_clients(w);
	if (w->listener != NULL) {
		listener_use(w->listener, c->uses, c->uses_n);
		c->uses_n = 0; /* the listener has the references */
	}
	worker_conf_unref(&old);
	sem_post(&c->latch->made);
	latch_unref(&c->latch);
	worker_change_free(&c);
}

/* --- in the main thread --- */

static void
post(struct worker_change **cp, struct latch *latch)
{
	struct worker_change *c = *cp;

	*cp = NULL;
	if (c->tls != NULL)
		c->w->tls = c->tls;
	c->tls = NULL;
	c->latch = latch;
	ref_add(&latch->refs);
	c->mail.fn = do_change;
	loop_post(c->w->loop, &c->mail);
}

/* False: the time is over. */
static bool
wait_for_one(struct latch *latch, int64_t until_ns)
{
	const struct timespec until = {.tv_sec = (time_t)(until_ns / CLK_S),
				       .tv_nsec = (long)(until_ns % CLK_S)};
	int rc;

	while ((rc = sem_clockwait(&latch->made, CLOCK_MONOTONIC, &until)) < 0 && errno == EINTR)
		;
	return rc == 0;
}

void
worker_change_make(struct worker_change **v, unsigned n)
{
	struct latch *latch = xcalloc(1, sizeof *latch);
	int64_t until_ns = clk_now() + WAIT_MOST;
	unsigned i;

	ref_init(&latch->refs);
	CHECK(sem_init(&latch->made, 0, 0) == 0);
	for (i = 0; i < n; i++)
		post(&v[i], latch);
	for (i = 0; i < n && wait_for_one(latch, until_ns); i++)
		;
	if (i < n)
		log_error(NULL, "workers hang: they do not use the new settings yet", "workers=%u",
			  n - i);
	latch_unref(&latch);
}
