#include "autoscaler/resolver.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "common/list.h"
#include "common/loop.h"

/* A query belongs to the loop's thread, except for what is marked; from resolver_ask() until
 * its mail is posted, to a thread of the resolver. */
struct resolver_query {
	struct list_node node;	     /* in shared.queue; under its lock */
	struct list_node asked_node; /* in resolver.asked, while fn is to be called */
	struct resolver *resolver;   /* NULL: cancelled */
	resolver_fn fn;
	void *arg;
	struct loop_mail mail;
	char *name; /* read by the thread */
	struct addrinfo *found;
	int code;  /* of getaddrinfo(3); written by the thread */
	int saved; /* errno, where code is EAI_SYSTEM */
};

/* What the threads use.  It lives until the last of them has ended. */
struct shared {
	pthread_mutex_t lock;
	struct loop *loop; /* NULL: the resolver is gone */
	struct list queue; /* of queries that no thread has taken */
	unsigned threads;
	unsigned refs; /* the resolver, and each thread */
};

struct resolver {
	struct shared *shared;
	struct list asked;
};

static void
query_free(struct resolver_query *q)
{
	if (q->found != NULL)
		freeaddrinfo(q->found);
	free(q->name);
	free(q);
}

static void
shared_unref(struct shared *s)
{
	unsigned refs;

	pthread_mutex_lock(&s->lock);
	refs = --s->refs;
	pthread_mutex_unlock(&s->lock);
	if (refs > 0)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* --- the answer --- */

static int
compare(const void *a, const void *b)
{
	char ta[ADDR_IP_TEXT], tb[ADDR_IP_TEXT];

	return strcmp(addr_format_host(a, ta), addr_format_host(b, tb));
}

/* Name servers rotate their answers: sort, so that the same addresses are the same list. */
static void
list_addresses(const struct addrinfo *found, struct resolver_answer *answer)
{
	const struct addrinfo *at;
	size_t most = 0, i, n = 0;

	for (at = found; at != NULL; at = at->ai_next)
		most++;
	answer->v = xcalloc(most + 1, sizeof *answer->v);
	for (at = found; at != NULL; at = at->ai_next) {
		struct addr *a = &answer->v[n];

		if (at->ai_family != AF_INET && at->ai_family != AF_INET6)
			continue;
		memcpy(&a->ss, at->ai_addr, MIN((size_t)at->ai_addrlen, sizeof a->ss));
		a->len = at->ai_addrlen;
		n++;
	}
	qsort(answer->v, n, sizeof *answer->v, compare);
	for (i = 0; i < n; i++)
		if (answer->n == 0 || !addr_equal(&answer->v[answer->n - 1], &answer->v[i]))
			answer->v[answer->n++] = answer->v[i];
}

static bool
is_denial(int code)
{
	return code == EAI_NONAME || code == EAI_NODATA || code == EAI_ADDRFAMILY;
}

static void
on_mail(struct loop_mail *mail)
{
	struct resolver_query *q = container_of(mail, struct resolver_query, mail);
	struct resolver_answer answer = {.n = 0};

	if (q->resolver != NULL) {
		list_remove(&q->resolver->asked, &q->asked_node);
		if (q->code == 0)
			list_addresses(q->found, &answer);
		else
			answer.error = q->code == EAI_SYSTEM ? strerror(q->saved)
							     : gai_strerror(q->code);
		answer.is_denied = is_denial(q->code);
		q->fn(&answer, q->arg);
		free(answer.v);
	}
	query_free(q);
}

/* --- the threads --- */

static void
answer(struct shared *s, struct resolver_query *q)
{
	pthread_mutex_lock(&s->lock);
	if (s->loop != NULL)
		loop_post(s->loop, &q->mail);
	else
		query_free(q);
	pthread_mutex_unlock(&s->lock);
}

static struct resolver_query *
next_query(struct shared *s)
{
	struct list_node *node;

	pthread_mutex_lock(&s->lock);
	node = list_pop(&s->queue);
	s->threads -= node == NULL; /* under the lock: the next query starts a thread */
	pthread_mutex_unlock(&s->lock);
	return node == NULL ? NULL : container_of(node, struct resolver_query, node);
}

static void *
run(void *arg)
{
	static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
	struct shared *s = arg;
	struct resolver_query *q;

	while ((q = next_query(s)) != NULL) {
		q->code = getaddrinfo(q->name, NULL, &hints, &q->found);
		q->saved = errno;
		answer(s, q);
	}
	shared_unref(s);
	return NULL;
}

/* Returns an errno value. */
static int
start_thread(struct shared *s)
{
	pthread_attr_t detached;
	sigset_t all, old;
	pthread_t id;
	int code;

	pthread_attr_init(&detached);
	pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
	sigfillset(&all); /* signals are the loop's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	code = pthread_create(&id, &detached, run, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&detached);
	return code;
}

/* --- queries --- */

struct resolver_query *
resolver_ask(struct resolver *r, const char *name, resolver_fn fn, void *arg)
{
	struct shared *s = r->shared;
	struct resolver_query *q = xcalloc(1, sizeof *q);
	int code = 0;

	*q = (struct resolver_query){
		.resolver = r, .fn = fn, .arg = arg, .mail.fn = on_mail, .name = xstrdup(name)};
	list_push(&r->asked, &q->asked_node);
	pthread_mutex_lock(&s->lock);
	list_push(&s->queue, &q->node);
	if (s->threads < RESOLVER_THREADS && (code = start_thread(s)) == 0) {
		s->threads++;
		s->refs++;
	}
	if (code != 0 && s->threads == 0) { /* no thread will take it */
		list_remove(&s->queue, &q->node);
		q->code = EAI_SYSTEM;
		q->saved = code;
		loop_post(s->loop, &q->mail);
	}
	pthread_mutex_unlock(&s->lock);
	return q;
}

void
resolver_cancel(struct resolver_query **qp)
{
	struct resolver_query *q = *qp;

	*qp = NULL;
	if (q == NULL)
		return;
	list_remove(&q->resolver->asked, &q->asked_node);
	q->resolver = NULL;
}

struct resolver *
resolver_new(struct loop *loop)
{
	struct resolver *r = xcalloc(1, sizeof *r);

	r->shared = xcalloc(1, sizeof *r->shared);
	*r->shared = (struct shared){.loop = loop, .refs = 1};
	CHECK(pthread_mutex_init(&r->shared->lock, NULL) == 0);
	list_init(&r->shared->queue);
	list_init(&r->asked);
	return r;
}

void
resolver_free(struct resolver **rp)
{
	struct resolver *r = *rp;
	struct list_node *node;

	*rp = NULL;
	if (r == NULL)
		return;
	while ((node = list_pop(&r->asked)) != NULL)
		container_of(node, struct resolver_query, asked_node)->resolver = NULL;
	pthread_mutex_lock(&r->shared->lock);
	r->shared->loop = NULL;
	while ((node = list_pop(&r->shared->queue)) != NULL)
		query_free(container_of(node, struct resolver_query, node));
	pthread_mutex_unlock(&r->shared->lock);
	shared_unref(r->shared);
	free(r);
}
