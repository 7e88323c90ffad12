#include "activator/inbox.h"

static __thread struct inbox *inbox_current; /* NULL: this thread has none */

static void inbox_mail_came(struct loop_mail *);

void
inbox_init(struct inbox *in, struct loop *loop)
{
	*in = (struct inbox){.loop = loop, .mail.fn = inbox_mail_came};
	CHECK(pthread_mutex_init(&in->lock, NULL) == 0);
	list_init(&in->granted);
	list_init(&in->taken);
}

void
inbox_fini(struct inbox *in)
{
	CHECK(list_empty(&in->granted) && list_empty(&in->taken));
	pthread_mutex_destroy(&in->lock);
}

void
inbox_set_current(struct inbox *in)
{
	inbox_current = in;
}

void
inbox_put(struct inbox *in, struct waiter *w)
{
	bool must_post;

	pthread_mutex_lock(&in->lock);
	w->state = WAITER_GRANTED;
	list_push(&in->granted, &w->node);
	atomic_store_explicit(&in->is_filled, true, memory_order_release);
	must_post = !in->is_posted && in != inbox_current;
	in->is_posted |= must_post;
	pthread_mutex_unlock(&in->lock);
	if (must_post)
		loop_post(in->loop, &in->mail);
}

static void
inbox_take(struct inbox *in)
{
	struct list_node *node, *tmp;

	pthread_mutex_lock(&in->lock);
	LIST_FOREACH(&in->granted, node, tmp)
		container_of(node, struct waiter, node)->state = WAITER_TAKEN;
	list_splice(&in->taken, &in->granted);
	atomic_store_explicit(&in->is_filled, false, memory_order_relaxed);
	pthread_mutex_unlock(&in->lock);
}

/* The mail belongs to the mailbox until it has arrived, even if the tail of a turn has already
 * taken the waiters that it announces.  So it may be posted again only from here on. */
static void
inbox_mail_came(struct loop_mail *m)
{
	struct inbox *in = container_of(m, struct inbox, mail);

	pthread_mutex_lock(&in->lock);
	in->is_posted = false;
	pthread_mutex_unlock(&in->lock);
}

struct waiter *
inbox_next(struct inbox *in)
{
	struct waiter *w;

	/* If is_filled is read too early, mail is on its way, and its turn reads it again. */
	if (list_empty(&in->taken) && atomic_load_explicit(&in->is_filled, memory_order_acquire))
		inbox_take(in);
	if (list_empty(&in->taken))
		return NULL;
	w = container_of(list_pop(&in->taken), struct waiter, node);
	w->state = WAITER_IDLE;
	return w;
}

void
inbox_remove(struct inbox *in, struct waiter *w)
{
	switch (w->state) {
	case WAITER_GRANTED:
		pthread_mutex_lock(&in->lock);
		list_remove(&in->granted, &w->node);
		pthread_mutex_unlock(&in->lock);
		break;
	case WAITER_TAKEN:
		list_remove(&in->taken, &w->node);
		break;
	default:
		CHECK(!"it is in the inbox");
	}
}
