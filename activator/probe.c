#include "activator/probe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "activator/limiter.h"
#include "activator/net/tcp.h"
#include "activator/probe_spec.h"
#include "activator/probe_talk.h"
#include "common/clk.h"

#define DELAY_FIRST CLK_MS
#define DELAY_MOST (100 * CLK_MS)
#define DELAY_EACH (200 * CLK_US) /* for each instance that is being probed: 5,000 a second */
#define OPEN_MOST 512		  /* connections at a time */
#define OPEN_HANGING 384	  /* of these, to instances whose last try timed out */
#define ROUND_MOST 4		  /* tries begun in one turn of the loop: a wake-up may wait */
#define ALTERNATE_EVERY 4	 /* one of so many refused tries is repeated at the other address */
#define REPORT_FIRST (5 * CLK_S) /* most programs refuse connections while they start */
#define REPORT_LEAST CLK_S

enum probe_state {
	PROBE_WAITING, /* for its timer */
	PROBE_QUEUED,  /* too many tries run: for one to end, or for the loop's next turn */
	PROBE_CONNECTING,
	PROBE_ASKING /* connected, and has asked */
};

/* One instance that is being probed: until it answers, or probing is no longer needed. */
struct probe {
	struct prober *prober;
	struct instance *inst; /* a reference */
	struct list_node node; /* in a list of prober->queued while PROBE_QUEUED */
	enum probe_state state;
	bool is_hanging; /* its last try timed out */
	unsigned tries;
	bool is_alternate;	 /* this try is made at inst->alternate */
	bool is_second;		 /* its first probe has succeeded: the second one is made */
	int64_t first_ns;	 /* of the first try */
	int fd;			 /* CONNECTING, ASKING: open, and has a permit; else -1 */
	struct probe_talk *talk; /* ASKING: has the fd; else NULL */
	struct loop_fd watch;
	struct loop_timer timer; /* WAITING: to the next try; else: to the end of this one */
	int64_t report_ns;	 /* after so long a log line says that it does not answer */
};

struct prober {
	struct loop *loop;
	const struct prober_ops *ops;
	void *arg;
	struct probe_net *net;
	struct list queued[2]; /* of struct probe, by is_hanging */
	size_t probed;	       /* instances */
	size_t open[2];	       /* connections, by is_hanging */
	uint64_t probes;       /* tries since the start */
	uint64_t round;	       /* loop_round() when the last try was begun */
	unsigned begun;	       /* tries in that round */
	struct loop_timer next_round;
	bool is_beginning;
};

static void on_next_round(void *prober);

struct prober *
prober_new(struct loop *loop, struct worker_conf *conf, const struct prober_ops *ops, void *arg)
{
	struct prober *p = xcalloc(1, sizeof *p);

	p->loop = loop;
	p->ops = ops;
	p->arg = arg;
	p->net = probe_net_new(loop, conf);
	list_init(&p->queued[false]);
	list_init(&p->queued[true]);
	loop_timer_init(&p->next_round, loop, on_next_round, p);
	return p;
}

void
prober_free(struct prober **pp)
{
	struct prober *p = *pp;

	*pp = NULL;
	if (p == NULL)
		return;
	CHECK(p->probed == 0);
	loop_timer_fini(&p->next_round);
	probe_net_free(&p->net);
	free(p);
}

size_t
prober_probed(const struct prober *p)
{
	return p->probed;
}

uint64_t
prober_probes(const struct prober *p)
{
	return p->probes;
}

int64_t
prober_delay(unsigned tries, int64_t elapsed_ns, size_t probed, bool is_awaited)
{
	int64_t doubled = DELAY_FIRST << MIN(tries, 10u);
	int64_t delay = is_awaited ? elapsed_ns / 256 : doubled;

	delay = MIN(MAX(delay, DELAY_FIRST), DELAY_MOST);
	return MAX(delay, (int64_t)probed * DELAY_EACH);
}

/* --- how an instance is probed --- */

static void
spec_of(const struct instance *inst, struct probe_spec *spec)
{
	const struct limits *l = &inst->rev->limits->v;
	const char *text = inst->probe_spec;

	if (text == NULL && l->probe == PROBE_READINESS)
		text = "ready";
	else if (text == NULL)
		text = l->probe_text != NULL ? l->probe_text : "tcp";
	probe_spec_parse(spec, text);
}

static int
kind_of(const struct instance *inst)
{
	struct probe_spec spec;

	spec_of(inst, &spec);
	return spec.kind;
}

/* The probe that is to be made now. */
static void
current_spec(const struct probe *b, struct probe_spec *spec)
{
	spec_of(b->inst, spec);
	if (b->is_second && spec->next != NULL)
		probe_spec_parse(spec, spec->next);
}

/* Where this try is made: the instance's address, or the other place where it may listen. */
static const struct addr *
place_of(const struct probe *b)
{
	return b->is_alternate ? b->inst->alternate : &instance_address(b->inst)->addr;
}

/* The address that is probed; its port may differ from that of the service. */
static struct addr
address_of(const struct probe *b)
{
	struct addr addr = *place_of(b);
	struct probe_spec spec;

	current_spec(b, &spec);
	if (spec.port != 0)
		addr_set_port(&addr, spec.port);
	return addr;
}

/* --- one try --- */

static void on_timer(void *probe);
static void start(struct probe *);

/* Thousands of instances may never respond, as on a machine that has died.  They leave room
 * for those that will. */
static bool
may_open(const struct prober *p, bool is_hanging)
{
	return !list_empty(&p->queued[is_hanging]) && p->open[false] + p->open[true] < OPEN_MOST &&
	       (!is_hanging || p->open[true] < OPEN_HANGING);
}

/* Probes with the same delay are due at the same time, again and again.  They are spread over
 * turns of the loop, so that other events come in between. */
static bool
may_begin(struct prober *p)
{
	uint64_t round = loop_round(p->loop);

	if (p->round != round)
		p->begun = 0;
	p->round = round;
	return p->begun < ROUND_MOST;
}

static void
begin_queued_of(struct prober *p, bool is_hanging)
{
	while (may_open(p, is_hanging) && may_begin(p))
		start(container_of(list_pop(&p->queued[is_hanging]), struct probe, node));
}

static void
begin_queued(struct prober *p)
{
	if (p->is_beginning)
		return;
	p->is_beginning = true;
	begin_queued_of(p, false);
	begin_queued_of(p, true);
	p->is_beginning = false;
	if (may_open(p, false) || may_open(p, true))
		loop_timer_set(&p->next_round, 0);
}

static void
on_next_round(void *arg)
{
	begin_queued(arg);
}

/* The descriptor is closed next, or handed on. */
static void
release_fd(struct probe *b)
{
	loop_fd_clear(&b->watch);
	loop_timer_clear(&b->timer);
	b->fd = -1;
	b->prober->open[b->is_hanging]--;
}

static void
close_try(struct probe *b)
{
	int fd = b->fd;

	if (fd < 0)
		return;
	release_fd(b);
	if (b->talk != NULL)
		probe_talk_free(&b->talk);
	else
		tcp_close(fd);
	limiter_permit_back(b->inst);
}

static void
try_later(struct probe *b)
{
	int64_t delay = prober_delay(b->tries, clk_now() - b->first_ns, b->prober->probed,
				     limiter_parked(b->inst->rev) > 0);

	b->state = PROBE_WAITING;
	b->tries++;
	loop_timer_set(&b->timer, delay);
}

/* A refused connection says that nothing listens there; maybe it listens at the other place. */
static bool
has_to_try_alternate(const struct probe *b, bool is_hanging)
{
	return b->state == PROBE_CONNECTING && !is_hanging && !b->is_alternate &&
	       b->inst->alternate != NULL && b->tries % ALTERNATE_EVERY == ALTERNATE_EVERY - 1;
}

/* The first line comes at once if the instance has accepted the connection, for then it is not
 * merely starting; the next ones whenever the time since the first try has doubled. */
static bool
is_report_due(const struct probe *b, int64_t elapsed)
{
	return elapsed >= b->report_ns ||
	       (b->report_ns == REPORT_FIRST && b->state == PROBE_ASKING);
}

static void
report(struct probe *b, const char *cause)
{
	int64_t elapsed = clk_now() - b->first_ns;

	if (!is_report_due(b, elapsed))
		return;
	log_info(&b->inst->tag, "instance does not answer yet",
		 "address=%s tries=%u for_ms=%.0f last=%s", instance_address(b->inst)->text,
		 b->tries + 1, (double)elapsed / 1e6, cause);
	b->report_ns = MAX(elapsed * 2, REPORT_LEAST);
}

/* cause: of this try, for the log. */
static void
failed(struct probe *b, bool is_hanging, const char *cause)
{
	bool is_alternate_next = has_to_try_alternate(b, is_hanging);

	report(b, cause);
	if (b->state == PROBE_ASKING)
		revision_set_probe_trouble(b->inst->rev, cause);
	close_try(b);
	b->is_hanging = is_hanging;
	b->is_alternate = is_alternate_next;
	if (is_alternate_next) {
		b->state = PROBE_QUEUED;
		list_push(&b->prober->queued[false], &b->node);
	} else {
		try_later(b);
	}
	begin_queued(b->prober);
}

static void
end(struct probe *b)
{
	struct prober *p = b->prober;

	close_try(b);
	if (b->state == PROBE_QUEUED && list_linked(&b->node))
		list_remove(&p->queued[b->is_hanging], &b->node);
	loop_timer_fini(&b->timer);
	b->inst->probe = NULL;
	revision_set_probe_trouble(b->inst->rev, NULL);
	p->probed--;
	instance_unref(&b->inst);
	free(b);
}

/* The oldest request that waits gets this connection: it need not open one of its own. */
static void
open_with_fd(struct probe *b)
{
	int fd = b->fd;

	release_fd(b);
	if (limiter_open_with_fd(b->inst, fd))
		return;
	tcp_close(fd);
	limiter_permit_back(b->inst);
}

static void
open_without_fd(struct probe *b)
{
	close_try(b);
	limiter_open(b->inst, SLOTS_UNREADY);
}

/* It listens at its alternate address: from now on the other one is the alternate. */
static void
use_alternate(struct instance *inst)
{
	struct addr before = instance_address(inst)->addr;

	instance_move(inst, inst->alternate);
	*inst->alternate = before;
}

static void
answered(struct probe *b, bool is_reusable)
{
	struct prober *p = b->prober;
	struct instance *inst = instance_ref(b->inst);
	unsigned tries = b->tries + 1;
	int64_t elapsed = clk_now() - b->first_ns;

	activation_stamp(&inst->rev->activation.connected_ns);
	inst->is_set_aside = false;
	if (b->is_alternate)
		use_alternate(inst);
	b->is_alternate = false;
	if (is_reusable)
		open_with_fd(b);
	else
		open_without_fd(b);
	end(b);
	log_info(&inst->tag, "instance answers", "address=%s after_ms=%.1f tries=%u",
		 instance_address(inst)->text, (double)elapsed / 1e6, tries);
	p->ops->on_answers(inst, p->arg);
	instance_unref(&inst);
	begin_queued(p);
}

/* A probe has succeeded: make the second one where there is one, else the instance answers. */
static void
passed(struct probe *b, bool is_reusable)
{
	struct probe_spec spec;

	spec_of(b->inst, &spec);
	if (b->is_second || spec.next == NULL) {
		answered(b, is_reusable);
		return;
	}
	b->is_second = true;
	close_try(b);
	b->state = PROBE_WAITING;
	loop_timer_set(&b->timer, 0);
	begin_queued(b->prober);
}

static void
on_over(const char *trouble, void *arg)
{
	struct probe *b = arg;

	if (trouble == NULL)
		passed(b, false);
	else
		failed(b, false, trouble);
}

/* It is what the pod declares, and asked as the kubelet would ask it: without TLS, and a path by
 * HTTP/1.1. */
static bool
is_of_pod(const struct probe_spec *spec)
{
	return spec->port != 0;
}

static void
ask(struct probe *b, const struct probe_spec *spec)
{
	struct addr addr = address_of(b);
	struct probe_question q = {.spec = spec, .addr = &addr};
	const struct limits *l = &b->inst->rev->limits->v;

	b->state = PROBE_ASKING;
	if (l->upstream_tls && !is_of_pod(spec)) {
		q.trust = b->inst->rev->limits->trust;
		if (q.trust == NULL) { /* revision.c has logged why */
			failed(b, false, "the files of upstream_tls cannot be used");
			return;
		}
	}
	q.is_h2 = l->protocol == PROTOCOL_H2C && !is_of_pod(spec);
	loop_fd_clear(&b->watch);
	b->talk = probe_talk_new(b->prober->net, b->fd, &q, on_over, b);
	if (b->talk == NULL) {
		failed(b, false, strerror(errno));
		return;
	}
	loop_timer_set(&b->timer, spec->timeout_ns > 0 ? spec->timeout_ns : l->probe_timeout);
}

static void
connected(struct probe *b)
{
	struct addr addr = address_of(b);
	struct probe_spec spec;

	current_spec(b, &spec);
	if (tcp_is_self_connected(b->fd, &addr))
		failed(b, false, "the connection led back to itself: nothing listens");
	else if (spec.kind == PROBE_HTTP || spec.kind == PROBE_GRPC)
		ask(b, &spec);
	else
		passed(b, addr_equal(&addr, place_of(b)));
}

static void
on_connected(int fd, short what, void *arg)
{
	struct probe *b = arg;
	int code = 0;
	socklen_t n = sizeof code;

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0)
		code = errno;
	if (code != 0) {
		b->is_second = false; /* its program may have been started again */
		failed(b, false, strerror(code));
	} else {
		connected(b);
	}
}

static int
open_socket(const struct addr *addr)
{
	int fd = tcp_socket(addr);

	if (fd < 0)
		log_warn_limited(NULL, "cannot open a socket to probe an instance", "err=%s",
				 strerror(errno));
	return fd;
}

/* If no permit is free, requests have connections to the instance, and these show whether it
 * answers better than a probe could.  If this activator has no share of the instance, the registry
 * has it watched again with the next one. */
static void
start(struct probe *b)
{
	struct addr addr = address_of(b);

	b->state = PROBE_WAITING;
	if (!instance_has_share(b->inst)) {
		end(b);
		return;
	}
	if (!limiter_try_permit(b->inst)) {
		try_later(b);
		return;
	}
	b->fd = open_socket(&addr);
	if (b->fd < 0) {
		limiter_permit_back(b->inst);
		try_later(b);
		return;
	}
	b->state = PROBE_CONNECTING;
	b->prober->open[b->is_hanging]++;
	b->prober->begun++;
	b->prober->probes++;
	if (tcp_connect(b->fd, &addr) < 0) {
		failed(b, false, strerror(errno));
		return;
	}
	loop_fd_set(&b->watch, b->prober->loop, b->fd, EV_WRITE, on_connected, b);
	loop_timer_set(&b->timer, b->inst->rev->limits->v.connect_timeout);
}

static void
start_or_queue(struct probe *b)
{
	b->state = PROBE_QUEUED;
	list_push(&b->prober->queued[b->is_hanging], &b->node);
	begin_queued(b->prober);
}

static void
on_timer(void *arg)
{
	struct probe *b = arg;

	if (b->state == PROBE_WAITING)
		start_or_queue(b);
	else
		failed(b, true,
		       b->state == PROBE_ASKING ? "no response within probe_timeout"
						: "no connection within connect_timeout");
}

/* --- which instances are probed --- */

static void
begin(struct prober *p, struct instance *inst)
{
	struct probe *b;

	if (inst->probe != NULL)
		return;
	b = xcalloc(1, sizeof *b);
	b->prober = p;
	b->inst = instance_ref(inst);
	b->fd = -1;
	b->first_ns = clk_now();
	b->report_ns = REPORT_FIRST;
	loop_fd_init(&b->watch);
	loop_timer_init(&b->timer, p->loop, on_timer, b);
	inst->probe = b;
	p->probed++;
	start_or_queue(b);
}

void
prober_forget(struct prober *p, struct instance *inst)
{
	if (inst->probe == NULL)
		return;
	end(inst->probe);
	begin_queued(p);
}

static void
trust(struct prober *p, struct instance *inst)
{
	if (instance_is_closed_by(inst, SLOTS_UNREADY)) {
		prober_forget(p, inst);
		activation_stamp(&inst->rev->activation.connected_ns);
		limiter_open(inst, SLOTS_UNREADY);
	}
}

/* Only the platform says when it is ready. */
static bool
waits_for_platform(const struct instance *inst)
{
	return inst->state == INSTANCE_STARTING && kind_of(inst) == PROBE_READINESS;
}

/* The platform may have called it ready before. */
static void
wait_for_platform(struct prober *p, struct instance *inst)
{
	prober_forget(p, inst);
	limiter_close(inst, SLOTS_UNREADY);
	inst->is_answering = false;
}

void
prober_watch(struct prober *p, struct instance *inst)
{
	if (inst->state == INSTANCE_STOPPING || !instance_has_share(inst))
		prober_forget(p, inst);
	else if (inst->state == INSTANCE_READY && !inst->is_set_aside && inst->alternate == NULL)
		trust(p, inst); /* with two addresses, a probe has to find the right one */
	else if (waits_for_platform(inst))
		wait_for_platform(p, inst);
	else if (instance_is_closed_by(inst, SLOTS_UNREADY))
		begin(p, inst);
}

void
prober_refused(struct prober *p, struct instance *inst)
{
	if (!instance_is_closed_by(inst, SLOTS_UNREADY) || inst->state == INSTANCE_STOPPING ||
	    !inst->is_listed || waits_for_platform(inst))
		return; /* it has answered since, goes anyway, or the platform says when */
	inst->is_set_aside = true;
	begin(p, inst);
}
