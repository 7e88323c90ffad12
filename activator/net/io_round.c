/* io_round - what the sockets of one loop read and write together. */
#include "activator/net/io_round.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "common/loop.h"

/* Turns between two looks at what can be read ahead. */
#define WAITING_MOST (BATCH_MAX / 2)
#define READY_MOST (BATCH_MAX - WAITING_MOST)

struct io_round *
io_round_new(struct loop *loop, bool is_plain)
{
	struct io_round *r = xcalloc(1, sizeof *r);

	r->loop = loop;
	list_init(&r->ready);
	list_init(&r->waiting);
	r->batch = batch_new(is_plain);
	if (batch_is_one_call(r->batch)) {
		r->ahead = xmalloc((size_t)BATCH_MAX * IO_AHEAD);
		r->sends_data = xmalloc(SENDS_BYTES);
	}
	return r;
}

void
io_round_free(struct io_round **rp)
{
	struct io_round *r = *rp;

	*rp = NULL;
	if (r == NULL)
		return;
	batch_free(&r->batch);
	free(r->ahead);
	free(r->sends_data);
	free(r);
}

/* --- reading ahead --- */

void
io_round_drop_ahead(struct io *io)
{
	if (io->ahead_at > 0)
		io->round->ahead_of[io->ahead_at - 1] = NULL;
	else
		free(io->ahead);
	io->ahead_at = 0;
	io->ahead = NULL;
}

static void
join_first(struct io_round *r, struct list *l, size_t n)
{
	struct list_node *node, *tmp;

	if (!batch_is_one_call(r->batch))
		return;
	LIST_FOREACH(l, node, tmp) {
		struct io *io = container_of(node, struct io, node);

		if (n-- == 0)
			break;
		if (io->can_read && io->ahead == NULL && io->ops->is_head_next(io))
			r->joined[r->joined_n++] = io;
	}
}

/* Whoever has not read what was read ahead keeps it: the places are used again. */
static void
keep_ahead(struct io_round *r)
{
	size_t i;

	for (i = 0; i < r->ahead_n; i++) {
		struct io *io = r->ahead_of[i];
		char *own;

		if (io == NULL)
			continue;
		own = xmalloc(IO_AHEAD);
		memcpy(own, io->ahead, (size_t)MAX(io->ahead_n, 0));
		io->ahead = own;
		io->ahead_at = 0;
	}
	r->ahead_n = 0;
}

static void
give_ahead(struct io_round *r, size_t at, const struct batch_op *op)
{
	struct io *io = r->joined[at];
	bool is_nothing = op->done == -EAGAIN;

	r->ahead_of[at] = is_nothing ? NULL : io;
	if (is_nothing) {
		io->can_read = false;
		return;
	}
	io->ahead = op->data;
	io->ahead_n = (int32_t)op->done;
	io->ahead_at = (uint8_t)(at + 1);
	io->is_ahead_full = op->done == IO_AHEAD;
}

static void
fetch(struct io_round *r)
{
	size_t i, n = r->joined_n;

	r->joined_n = 0;
	if (n < BATCH_LEAST) /* each reads when its turn has come */
		return;
	keep_ahead(r);
	for (i = 0; i < n; i++)
		r->reads[i] = (struct batch_op){
			.fd = r->joined[i]->fd, .data = r->ahead + i * IO_AHEAD, .n = IO_AHEAD};
	batch_run(r->batch, r->reads, n);
	for (i = 0; i < n; i++)
		give_ahead(r, i, &r->reads[i]);
	r->ahead_n = n;
}

/* --- turns --- */

void
io_round_add(struct io *io)
{
	struct io_round *r = io->round;

	if (io_is_due(io))
		return;
	io->is_waiting = io->ops->may_wait(io);
	list_push(io->is_waiting ? &r->waiting : &r->ready, &io->node);
}

void
io_round_leave(struct io *io)
{
	struct io_round *r = io->round;

	if (io_is_due(io))
		list_remove(io->is_waiting ? &r->waiting : &r->ready, &io->node);
	io_round_drop_ahead(io);
}

/* The first n of them, or fewer. */
static void
run_turns(struct list *l, size_t n)
{
	struct list_node *node;

	for (; n > 0 && (node = list_pop(l)) != NULL; n--) {
		struct io *io = container_of(node, struct io, node);

		io->ops->on_ready(io);
	}
}

/* New requests are begun when all that the round brought for those under way is done,
 * and so many at a time: with a thousand clients fewer are then in flight at once, on
 * fewer connections to instances, whose memory the caches still hold.  Nobody starves:
 * each round begins some, first come first. */
void
io_round_turns(struct io_round *r)
{
	for (;;) {
		bool is_last = r->ready.n <= READY_MOST;

		join_first(r, &r->ready, READY_MOST);
		if (is_last)
			join_first(r, &r->waiting, WAITING_MOST);
		fetch(r);
		run_turns(&r->ready, READY_MOST);
		if (is_last)
			break;
	}
	run_turns(&r->waiting, WAITING_MOST);
	if (!list_empty(&r->waiting))
		loop_skip_wait(r->loop);
}

/* --- sending --- */

static bool
may_put_off(const struct io *io, size_t size)
{
	const struct io_round *r = io->round;

	return !io_is_blocked(io) && !io->is_connecting && io->send_at == 0 && size > 0 &&
	       size <= SEND_MOST && batch_is_one_call(r->batch) && !r->is_sending &&
	       r->sends_n < BATCH_MAX && r->sends_data_n + size <= SENDS_BYTES;
}

bool
io_round_put_off(struct io *io, const struct iovec *iov, int n)
{
	struct io_round *r = io->round;
	size_t size = iovec_size(iov, n);
	char *to;

	if (!may_put_off(io, size))
		return false;
	to = r->sends_data + r->sends_data_n;
	r->sends[r->sends_n] = (struct batch_op){
		.fd = io->fd, .is_write = true, .data = to, .n = size};
	r->send_of[r->sends_n++] = io;
	io->send_at = (uint8_t)r->sends_n;
	r->sends_data_n += size;
	for (; n > 0; iov++, n--)
		to = mempcpy(to, iov->iov_base, iov->iov_len);
	return true;
}

bool
io_round_take_back(struct io *io, struct iovec *out)
{
	struct io_round *r = io->round;
	struct batch_op *op;

	if (io->send_at == 0)
		return false;
	op = &r->sends[io->send_at - 1];
	r->send_of[io->send_at - 1] = NULL;
	r->settled_n++;
	io->send_at = 0;
	*out = (struct iovec){.iov_base = op->data, .iov_len = op->n};
	return true;
}

/* Those that have gone already leave no gaps. */
static void
close_gaps(struct io_round *r)
{
	size_t i, n = 0;

	for (i = 0; i < r->sends_n; i++)
		if (r->send_of[i] != NULL) {
			r->sends[n] = r->sends[i];
			r->send_of[n++] = r->send_of[i];
		}
	r->sends_n = n;
	r->settled_n = 0;
}

/* What a short write has left waits for room.  Those to be told of it, or of an error, are
 * the first then; returns how many they are. */
static size_t
keep_rests(struct io_round *r)
{
	size_t i, told_n = 0;

	for (i = 0; i < r->sends_n; i++) {
		struct batch_op *op = &r->sends[i];
		struct io *io = r->send_of[i];

		io->send_at = 0;
		if (op->done == (ssize_t)op->n)
			continue;
		if (op->done == -EAGAIN)
			op->done = 0;
		if (op->done >= 0) {
			io->can_write = false;
			outbuf_append(&io->out,
				      &(struct iovec){.iov_base = op->data, .iov_len = op->n}, 1,
				      (size_t)op->done);
		}
		r->sends[told_n] = *op;
		r->send_of[told_n++] = io;
	}
	return told_n;
}

bool
io_round_send(struct io_round *r)
{
	size_t i, n;

	if (r->sends_n == 0)
		return false;
	if (r->settled_n > 0)
		close_gaps(r);
	batch_run(r->batch, r->sends, r->sends_n);
	n = keep_rests(r);
	r->is_sending = true;
	for (i = 0; i < n; i++) {
		const struct batch_op *op = &r->sends[i];
		struct io *io = r->send_of[i];

		if (io_is_open(io)) /* who was told before may have closed it */
			io->ops->on_unsent(io, op->data, op->n, op->done < 0 ? (int)-op->done : 0);
	}
	r->is_sending = false;
	r->sends_n = r->sends_data_n = 0;
	return n > 0;
}
