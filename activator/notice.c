#include "activator/notice.h"

#include <stdlib.h>

#include "activator/limiter.h"
#include "activator/worker_impl.h"

struct notice {
	struct loop_mail mail;
	struct worker *w;
	struct instance *inst; /* a reference, or NULL */
};

static void
post(struct worker *w, struct instance *inst, void (*fn)(struct loop_mail *))
{
	struct notice *n = xmalloc(sizeof *n);

	*n = (struct notice){
		.mail.fn = fn, .w = w, .inst = inst == NULL ? NULL : instance_ref(inst)};
	loop_post(w->control, &n->mail);
}

static void
on_refused(struct loop_mail *m)
{
	struct notice *n = container_of(m, struct notice, mail);

	n->w->ops->on_refused(n->inst, n->w->arg);
	free(n);
}

static void
on_served(struct loop_mail *m)
{
	struct notice *n = container_of(m, struct notice, mail);

	n->w->ops->on_served(n->inst, n->w->arg);
	free(n);
}

static void
on_shed(struct loop_mail *m)
{
	struct notice *n = container_of(m, struct notice, mail);

	n->w->ops->on_shed(n->inst, n->w->arg);
	free(n);
}

static void
on_drained(struct loop_mail *m)
{
	struct notice *n = container_of(m, struct notice, mail);

	n->w->ops->on_drained(n->w, n->w->arg);
	free(n);
}

void
notice_refused(struct worker *w, struct instance *inst)
{
	limiter_close(inst, SLOTS_UNREADY);
	post(w, inst, on_refused);
}

void
notice_served(struct worker *w, struct instance *inst)
{
	if (!atomic_exchange_explicit(&inst->has_served, true, memory_order_relaxed))
		post(w, inst, on_served);
}

void
notice_shed(struct worker *w, struct instance *inst)
{
	post(w, inst, on_shed);
}

void
notice_drained(struct worker *w)
{
	post(w, NULL, on_drained);
}
