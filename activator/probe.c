#include "activator/probe.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clk.h"
#include "activator/h1.h"

#define FIRST_DELAY CLK_MS
#define LAST_DELAY (100 * CLK_MS)
#define RUNNING_MOST 512 /* probes under way at once; the rest wait for their turn */
#define ANSWER_MOST 4096 /* bytes of a response to look at for its status */

struct prober {
	struct loop *loop;
	const struct prober_ops *ops;
	void *arg;
	struct list waiting; /* of struct probe: due, but RUNNING_MOST are under way */
	unsigned running;
	struct h1_head head; /* scratch */
};

/* One instance that is being probed. */
struct probe {
	struct prober *p;
	struct instance *inst; /* a reference */
	struct list_node node; /* in p->waiting */
	struct loop_timer timer; /* the next try, or the end of this one */
	struct loop_fd watch;
	int fd; /* -1: between two tries */
	bool has_permit, is_http, has_told;
	int64_t delay;
	char *in;
	size_t in_n, in_seen;
};

static void try_now(struct probe *pr);
static void on_timer(void *arg);

struct prober *
prober_new(struct loop *loop, const struct prober_ops *ops, void *arg)
{
	struct prober *p = xcalloc(1, sizeof *p);

	p->loop = loop;
	p->ops = ops;
	p->arg = arg;
	list_init(&p->waiting);
	return p;
}

void
prober_free(struct prober **pp)
{
	if (*pp != NULL)
		CHECK((*pp)->running == 0 && list_empty(&(*pp)->waiting));
	free(*pp);
	*pp = NULL;
}

/* --- the end of a try --- */

static void
start_waiting(struct prober *p)
{
	struct list_node *node;

	if (p->running < RUNNING_MOST && (node = list_pop(&p->waiting)) != NULL)
		try_now(container_of(node, struct probe, node));
}

/* What the try holds goes; keep_fd: but the descriptor and its permit. */
static void
end_try(struct probe *pr, bool keep_fd)
{
	if (pr->fd < 0)
		return;
	loop_fd_clear(&pr->watch);
	if (!keep_fd) {
		close(pr->fd);
		if (pr->has_permit)
			limiter_permit_back(pr->inst);
	}
	pr->has_permit = false;
	pr->fd = -1;
	free(pr->in);
	pr->in = NULL;
	pr->in_n = pr->in_seen = 0;
	pr->p->running--;
}

static void
again(struct probe *pr)
{
	struct prober *p = pr->p;

	end_try(pr, false);
	if (!pr->has_told) {
		pr->has_told = true;
		p->ops->on_refuses(pr->inst, p->arg);
	}
	loop_timer_set(&pr->timer, pr->delay);
	pr->delay = MIN(pr->delay * 2, LAST_DELAY);
	start_waiting(p);
}

static void
probe_free(struct probe *pr)
{
	struct prober *p = pr->p;

	end_try(pr, false);
	if (list_linked(&pr->node))
		list_remove(&p->waiting, &pr->node);
	loop_timer_fini(&pr->timer);
	pr->inst->probe = NULL;
	instance_unref(&pr->inst);
	free(pr);
	start_waiting(p);
}

static void
answers(struct probe *pr)
{
	struct instance *inst = pr->inst;
	struct prober *p = pr->p;
	bool is_taken;

	atomic_store_explicit(&inst->rev->activation.connected_ns, clk_now(),
			      memory_order_relaxed);
	loop_fd_clear(&pr->watch);
	if (!pr->is_http && pr->fd >= 0) {
		is_taken = revision_offer_fd(inst, pr->fd);
		end_try(pr, is_taken);
	} else {
		end_try(pr, false);
		instance_open_slots(inst, SLOTS_UNREADY);
	}
	p->ops->on_answers(inst, p->arg);
	probe_free(pr);
}

/* --- a try --- */

static const char *
path_of(const struct instance *inst)
{
	const struct limits *l = &inst->rev->limits;

	if (inst->probe_spec != NULL)
		return inst->probe_spec[0] == '/' ? inst->probe_spec : NULL;
	return l->probe == PROBE_HTTP ? l->probe_path : NULL;
}

static bool
is_self_connected(int fd, const struct instance *inst)
{
	struct addr own = {.len = sizeof own.ss};

	return getsockname(fd, (struct sockaddr *)&own.ss, &own.len) == 0 &&
	       addr_equal(&own, &inst->addr);
}

static void
on_readable(int fd, short what, void *arg)
{
	struct probe *pr = arg;
	ssize_t got = recv(fd, pr->in + pr->in_n, ANSWER_MOST - pr->in_n, 0), n;

	(void)what;
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		again(pr);
		return;
	}
	pr->in_n += (size_t)got;
	n = h1_scan(pr->in, pr->in_n, &pr->in_seen);
	if (n == 0 && pr->in_n < ANSWER_MOST)
		return;
	if (n > 0 &&
	    h1_parse_response(&pr->p->head, pr->in, (size_t)n, H1_FIELDS_MAX) == H1_OK &&
	    pr->p->head.status >= 200 && pr->p->head.status < 400)
		answers(pr);
	else
		again(pr);
}

static void
ask(struct probe *pr, const char *path)
{
	char request[4200];
	int n = snprintf(request, sizeof request,
			 "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: activator-probe\r\n"
			 "Connection: close\r\n\r\n",
			 path, pr->inst->address_text);

	if (n >= (int)sizeof request || send(pr->fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
		again(pr);
		return;
	}
	pr->is_http = true;
	pr->in = xmalloc(ANSWER_MOST);
	loop_fd_set(&pr->watch, pr->p->loop, pr->fd, EV_READ, on_readable, pr);
}

static void
on_connected(int fd, short what, void *arg)
{
	struct probe *pr = arg;
	int code = 0;
	socklen_t size = sizeof code;
	const char *path = path_of(pr->inst);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &size) < 0 || code != 0 ||
	    is_self_connected(fd, pr->inst))
		again(pr);
	else if (path != NULL)
		ask(pr, path);
	else
		answers(pr);
}

static void
begin_try(struct probe *pr)
{
	const struct instance *inst = pr->inst;
	int on = 1;

	pr->fd = socket(inst->addr.ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (pr->fd < 0) {
		log_warn_limited(&inst->tag, "cannot probe", "err=%s", strerror(errno));
		if (pr->has_permit)
			limiter_permit_back(pr->inst);
		pr->has_permit = false;
		loop_timer_set(&pr->timer, LAST_DELAY);
		return;
	}
	pr->p->running++;
	pr->is_http = false;
	setsockopt(pr->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	if (connect(pr->fd, (const struct sockaddr *)&inst->addr.ss, inst->addr.len) < 0 &&
	    errno != EINPROGRESS) {
		again(pr);
		return;
	}
	/* A slow handshake is no failure: nothing else is tried meanwhile. */
	loop_timer_set(&pr->timer, MAX(inst->rev->limits.connect_timeout, CLK_S));
	loop_fd_set(&pr->watch, pr->p->loop, pr->fd, EV_WRITE, on_connected, pr);
}

static void
try_now(struct probe *pr)
{
	struct instance *inst = pr->inst;

	if (inst->probe_spec != NULL && strcmp(inst->probe_spec, "ready") == 0) {
		/* The platform's word is what counts here; it will be told. */
		if (inst->state == INSTANCE_READY)
			answers(pr);
		return;
	}
	if (pr->p->running >= RUNNING_MOST) {
		list_push(&pr->p->waiting, &pr->node);
		return;
	}
	pr->has_permit = instance_try_permit(inst);
	if (pr->has_permit)
		begin_try(pr);
	else /* requests of its own fill it: they will say whether it answers */
		loop_timer_set(&pr->timer, LAST_DELAY);
}

static void
on_timer(void *arg)
{
	struct probe *pr = arg;

	if (pr->fd >= 0)
		again(pr); /* the handshake, or the answer, did not come in time */
	else
		try_now(pr);
}

void
prober_watch(struct prober *p, struct instance *inst)
{
	struct probe *pr = inst->probe;

	if (pr != NULL) {
		if (pr->fd < 0 && inst->state == INSTANCE_READY && !list_linked(&pr->node))
			loop_timer_set(&pr->timer, 0); /* news of it: look at once */
		return;
	}
	pr = xcalloc(1, sizeof *pr);
	pr->p = p;
	pr->inst = instance_ref(inst);
	pr->fd = -1;
	pr->delay = FIRST_DELAY;
	loop_timer_init(&pr->timer, p->loop, on_timer, pr);
	loop_fd_init(&pr->watch);
	inst->probe = pr;
	loop_timer_set(&pr->timer, 0);
}

void
prober_forget(struct prober *p, struct instance *inst)
{
	(void)p;
	if (inst->probe != NULL)
		probe_free(inst->probe);
}
