#include "activator/control_impl.h"

#include <stdlib.h>

#include "activator/access/access_log.h"
#include "activator/access/access_sink.h"
#include "activator/net/tls_state.h"
#include "activator/upgrade.h"
#include "activator/worker.h"
#include "activator/worker_change.h"
#include "common/admin.h"
#include "common/daemon.h"

static void
set_bound(_Atomic uint32_t *bound, size_t n)
{
	atomic_store_explicit(bound, (uint32_t)MIN(n, (size_t)UINT32_MAX), memory_order_relaxed);
}

void
control_set_bounds(struct bounds *b, const struct activator_conf *conf)
{
	size_t fds = daemon_raise_nofile();
	size_t reserve = MIN((size_t)conf->fd_reserve, fds / 2);
	size_t most = conf->max_connections > 0 ? conf->max_connections : fds - reserve;

	set_bound(&b->max_connections, MIN(most, fds));
	set_bound(&b->max_sockets, fds - MIN(MAX(reserve / 4, (size_t)64), fds / 4));
	set_bound(&b->max_parked, conf->max_parked > 0 ? conf->max_parked : MIN(most, fds));
	atomic_store_explicit(&b->max_parked_bytes, conf->max_parked_bytes, memory_order_relaxed);
	atomic_store_explicit(&b->max_stream_bytes, conf->max_stream_bytes, memory_order_relaxed);
}

struct listen_conf
control_listen_conf(const struct settings *s, unsigned workers_n, struct inherited *inherited)
{
	const struct activator_conf *conf = &s->activator;

	return (struct listen_conf){
		.v = conf->listeners,
		.n = conf->listeners_n,
		.mode = (mode_t)strtoul(conf->listen_mode, NULL, 8),
		.keepalive_ns = conf->tcp_keepalive,
		.workers_n = workers_n,
		.inherited = inherited,
	};
}

struct access_sink *
control_open_access_sink(const struct settings *s, struct err *e)
{
	struct access_sink *sink = access_sink_open(s->activator.access_log_file,
						    s->activator.access_log_max_bytes, e);

	if (sink == NULL)
		(void)settings_err_at(s, "access_log_file", IN_ACTIVATOR, e);
	return sink;
}

/* --- reloading --- */

/* All of a reload that can fail. */
struct plan {
	struct worker_conf *conf;
	struct certificates *certificates; /* NULL: the new conf has none */
	struct tls_state *tls_state;
	struct listen_set *listen_set;
	struct admin_change *admin;
	struct access_sink *access_sink;
	struct worker_change **workers;
};

static void
plan_free(struct activator *a, struct plan *p)
{
	unsigned i;

	for (i = 0; p->workers != NULL && i < a->workers_n; i++)
		worker_change_free(&p->workers[i]);
	free(p->workers);
	access_sink_free(&p->access_sink);
	admin_change_free(&p->admin);
	listen_set_free(&p->listen_set);
	tls_state_unref(&p->tls_state);
	certificates_free(&p->certificates);
	worker_conf_unref(&p->conf);
}

static int
plan_certificates(struct activator *a, struct plan *p, struct err *e)
{
	const struct settings *s = p->conf->settings;

	if (s->activator.certificates_n == 0)
		return 0;
	p->certificates = certificates_new(a->loop, s, a->certificates, &control_certificates_ops,
					   a, e);
	if (p->certificates == NULL)
		return -1;
	p->tls_state = certificates_state(p->certificates);
	return 0;
}

static int
plan_addresses(struct activator *a, struct plan *p, struct err *e)
{
	const struct settings *s = p->conf->settings;
	const struct listen_conf conf = control_listen_conf(s, a->workers_n, NULL);
	const char *const admin[] = {s->activator.admin, NULL};

	p->access_sink = control_open_access_sink(s, e);
	if (p->access_sink == NULL)
		return -1;
	p->admin = admin_change_new(a->admin, admin, e);
	if (p->admin == NULL)
		return settings_err_at(s, "admin", IN_ACTIVATOR, e);
	p->listen_set = listen_set_new(&conf, a->listen_set, e);
	return p->listen_set == NULL ? settings_err_at(s, "listen", IN_ACTIVATOR, e) : 0;
}

static int
plan_workers(struct activator *a, struct plan *p, struct err *e)
{
	unsigned i;

	p->workers = xcalloc(a->workers_n, sizeof(struct worker_change *));
	for (i = 0; i < a->workers_n; i++) {
		p->workers[i] = worker_change_new(a->workers[i], p->conf, p->listen_set,
						  p->tls_state, e);
		if (p->workers[i] == NULL)
			return err_prefix(e, "%s", p->conf->settings->file);
	}
	/* Last: nobody accepts yet from what listens now. */
	return listen_set_start(p->listen_set, e) < 0
		       ? settings_err_at(p->conf->settings, "listen", IN_ACTIVATOR, e)
		       : 0;
}

/* The plan gets what was in effect before, to be freed. */
static void
put_in_effect(struct activator *a, struct plan *p)
{
	struct certificates *certificates = a->certificates;
	struct listen_set *listen_set = a->listen_set;
	struct worker_conf *conf = a->conf;

	a->certificates = p->certificates;
	a->listen_set = p->listen_set;
	a->conf = p->conf;
	p->certificates = certificates;
	p->listen_set = listen_set;
	p->conf = conf;
}

/* Nothing of it can fail. */
static void
carry_out(struct activator *a, struct plan *p)
{
	const struct activator_conf *conf = &p->conf->settings->activator;

	control_set_bounds(&a->bounds, conf);
	listen_set_settle(p->listen_set);
	worker_change_make(p->workers, a->workers_n);
	admin_change_make(&p->admin);
	access_log_set_sink(a->access_log, &p->access_sink);
	if (p->certificates != NULL)
		certificates_start(p->certificates);
	put_in_effect(a, p);
}

static const struct settings *
reload_current(void *arg)
{
	return settings_of(arg);
}

static const char *
reload_refusal(void *arg)
{
	const struct activator *a = arg;

	if (a->is_replaced)
		return "a newer activator has taken over";
	if (a->is_waiting || upgrade_is_under_way(a->upgrade))
		return "an upgrade is under way";
	return a->is_draining ? "the activator is shutting down" : NULL;
}

static int
reload_adopt(struct settings **settings, struct settings_errors *errors, void *arg)
{
	struct activator *a = arg;
	struct plan p = {.conf = worker_conf_new(settings)};
	struct err e = {0};
	int rc = 0;

	if (plan_certificates(a, &p, &e) < 0 || plan_addresses(a, &p, &e) < 0 ||
	    plan_workers(a, &p, &e) < 0 || control_move_audit(a, p.conf->settings, &e) < 0)
		rc = -1;
	else
		carry_out(a, &p);
	if (rc < 0)
		settings_errors_add(errors, e.text);
	plan_free(a, &p);
	return rc;
}

const struct reload_ops control_reload_ops = {
	.current = reload_current, .refusal = reload_refusal, .adopt = reload_adopt};
