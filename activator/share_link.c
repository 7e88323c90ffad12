#include "activator/share_link.h"

#include <string.h>

#include "activator/limiter.h"
#include "activator/registry.h"
#include "activator/share.h"
#include "common/clk.h"
#include "common/msg.h"
#include "common/strbuf.h"

void
share_link_init(struct share_link *l, struct registry *registry,
		void (*send_line)(const char *line, size_t n, void *arg), void *arg)
{
	*l = (struct share_link){.registry = registry, .send_line = send_line, .arg = arg};
}

/* --- what is sent --- */

/* For draw(), under the mutex of the revision. */
struct drawing {
	struct revision *rev;
	int64_t generation;
	uint64_t connected_term; /* not 0: begin with a complete report under this term */
	bool is_released;	 /* give up all */
	const char *usable;	 /* this instance may have become usable or unusable; NULL: none */
	struct strbuf lines;	 /* each with a newline */
};

static void
add_line(struct drawing *d, const struct msg *m)
{
	msg_encode(m, &d->lines);
	strbuf_adds(&d->lines, "\n");
}

static void
add_report(struct drawing *d, const struct share_report *r)
{
	struct msg m = {.type = MSG_SHARES_HELD,
			.u.shares_held = {.revision = d->rev->name,
					  .generation = d->generation,
					  .term = r->term,
					  .epoch = r->epoch,
					  .is_complete = r->is_complete,
					  .owed_idle = r->owed_idle,
					  .owed_due = r->owed_due}};
	size_t i;

	m.u.shares_held.v = xcalloc(r->n + 1, sizeof *m.u.shares_held.v);
	m.u.shares_held.n = r->n;
	for (i = 0; i < r->n; i++)
		m.u.shares_held.v[i] = (struct msg_held_instance){.id = xstrdup(r->v[i].id),
								  .slots = r->v[i].slots,
								  .uses = r->v[i].uses,
								  .used = r->v[i].used};
	add_line(d, &m);
	m.u.shares_held.revision = NULL; /* borrowed */
	msg_fini(&m);
}

static void
add_want(struct drawing *d, const struct share_want *w)
{
	int64_t oldest_ms = MIN(MAX(w->oldest_ns, 0) / CLK_MS, MSG_DELAY_MS_MAX);
	const struct msg m = {.type = MSG_WANT,
			      .u.want = {.revision = d->rev->name,
					 .term = w->term,
					 .epoch = w->epoch,
					 .slots = w->slots,
					 .oldest_ms = oldest_ms}};

	add_line(d, &m);
}

static void
draw(struct share *s, void *arg)
{
	struct drawing *d = arg;
	struct share_report r;
	struct share_want w;

	if (d->connected_term > 0)
		share_connected(s, d->connected_term);
	if (d->usable != NULL)
		share_freed(s, d->usable);
	if (d->is_released)
		share_release(s);
	while (share_next_report(s, &r))
		add_report(d, &r);
	while (share_next_want(s, &w, clk_now()))
		add_want(d, &w);
}

static void
send_lines(struct share_link *l, const struct strbuf *lines)
{
	const char *at = strbuf_str(lines), *end;

	for (; (end = strchr(at, '\n')) != NULL; at = end + 1)
		l->send_line(at, (size_t)(end - at), l->arg);
}

static bool
is_limited(const struct revision *rev)
{
	return rev->limits->v.container_concurrency > 0;
}

static void
send_drawn(struct share_link *l, struct drawing *d)
{
	strbuf_init(&d->lines, 0);
	d->generation = registry_generation(l->registry);
	limiter_with_share(d->rev, draw, d);
	send_lines(l, &d->lines);
	strbuf_fini(&d->lines);
	registry_shares_fell(l->registry, d->rev);
}

/* --- when --- */

void
share_link_step(struct share_link *l, struct revision *rev)
{
	struct drawing d = {.rev = rev};

	if (l->term > 0 && rev->is_share_reported && is_limited(rev))
		send_drawn(l, &d);
}

void
share_link_instance(struct share_link *l, struct instance *inst)
{
	struct drawing d = {.rev = inst->rev, .usable = inst->id};

	if (l->term > 0 && d.rev->is_share_reported && is_limited(d.rev))
		send_drawn(l, &d);
}

void
share_link_described(struct share_link *l)
{
	struct revision *rev;
	size_t at = 0;

	while (l->term > 0 && (rev = registry_next_revision(l->registry, &at)) != NULL) {
		struct drawing d = {.rev = rev, .connected_term = l->term};

		if (rev->is_share_reported || !is_limited(rev))
			continue;
		rev->is_share_reported = true;
		send_drawn(l, &d);
	}
}

void
share_link_up(struct share_link *l, uint64_t term)
{
	l->term = term;
	registry_set_counting(l->registry, term > 0);
}

void
share_link_release(struct share_link *l)
{
	struct revision *rev;
	size_t at = 0;

	while (l->term > 0 && (rev = registry_next_revision(l->registry, &at)) != NULL) {
		struct drawing d = {.rev = rev, .is_released = true};

		if (rev->is_share_reported && is_limited(rev))
			send_drawn(l, &d);
	}
}

static void
disconnect(struct share *s, void *arg)
{
	(void)arg;
	share_disconnected(s);
}

void
share_link_down(struct share_link *l)
{
	struct revision *rev;
	size_t at = 0;

	l->term = 0;
	while ((rev = registry_next_revision(l->registry, &at)) != NULL) {
		if (rev->is_share_reported)
			limiter_with_share(rev, disconnect, NULL);
		rev->is_share_reported = false;
	}
}
