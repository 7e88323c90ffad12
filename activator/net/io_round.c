#include "activator/net/io_round.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "activator/net/io_stream.h"
#include "common/loop.h"

/* One shared read serves at most IN_PROGRESS_MOST sockets with work in progress.  The last one of a
 * round also serves NEW_WORK_MOST sockets with new work. */
#define NEW_WORK_MOST (BATCH_MAX / 2)
#define IN_PROGRESS_MOST (BATCH_MAX - NEW_WORK_MOST)

struct io_round *
io_round_new(struct loop *loop, bool use_aio)
{
	struct io_round *r = xcalloc(1, sizeof *r);

	r->loop = loop;
	list_init(&r->in_progress);
	list_init(&r->new_work);
	r->batch = batch_new(use_aio);
	if (batch_is_shared(r->batch)) {
		/* Zeroes cost nothing here, and memcheck does not see that the kernel has written:
		 * batch.c takes the results from the ring. */
		r->ahead = xcalloc(BATCH_MAX, IO_AHEAD);
		r->write_data = xmalloc(DEFERRED_BYTES);
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
	free(r->write_data);
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

/* Of the first n sockets in a queue, those that expect a small read are to be read ahead. */
static void
plan_reads(struct io_round *r, struct list *queue, size_t n)
{
	struct list_node *node, *tmp;

	if (!batch_is_shared(r->batch))
		return;
	LIST_FOREACH(queue, node, tmp) {
		struct io *io = container_of(node, struct io, node);

		if (n-- == 0)
			break;
		if (io->can_read && io->ahead == NULL && io->ops->is_small_read_next(io))
			r->to_read[r->to_read_n++] = io;
	}
}

/* The places are needed again.  A socket that has not read its bytes yet keeps them on the
 * heap. */
static void
vacate_places(struct io_round *r)
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
note_read(struct io_round *r, size_t place, const struct batch_op *op)
{
	struct io *io = r->to_read[place];
	bool is_nothing = op->result == -EAGAIN;

	r->ahead_of[place] = is_nothing ? NULL : io;
	if (is_nothing) {
		io->can_read = io->stream != NULL && io->stream->ops->has_pending(io);
		return;
	}
	io->ahead = op->data;
	io->ahead_n = (int32_t)op->result;
	io->ahead_at = (uint8_t)(place + 1);
	io->has_more = op->result == IO_AHEAD;
}

static void
read_ahead(struct io_round *r)
{
	size_t i, n = r->to_read_n;

	r->to_read_n = 0;
	if (n < BATCH_LEAST) /* each reads in its turn */
		return;
	vacate_places(r);
	for (i = 0; i < n; i++)
		r->reads[i] = (struct batch_op){
			.fd = r->to_read[i]->fd, .data = r->ahead + i * IO_AHEAD, .n = IO_AHEAD};
	batch_run(r->batch, r->reads, n);
	for (i = 0; i < n; i++)
		note_read(r, i, &r->reads[i]);
	r->ahead_n = n;
}

/* --- turns --- */

void
io_round_add(struct io *io)
{
	struct io_round *r = io->round;

	if (io_is_queued(io))
		return;
	io->is_new = io->ops->is_new_work(io);
	list_push(io->is_new ? &r->new_work : &r->in_progress, &io->node);
}

void
io_round_leave(struct io *io)
{
	struct io_round *r = io->round;

	if (io_is_queued(io))
		list_remove(io->is_new ? &r->new_work : &r->in_progress, &io->node);
	io_round_drop_ahead(io);
}

/* Run the turns of the first `most` sockets of the queue, or of all if they are fewer. */
static void
run_turns(struct io_round *r, struct list *queue, size_t most)
{
	struct list_node *node;
	size_t n;

	for (n = 0; n < most && (node = list_pop(queue)) != NULL; n++) {
		struct io *io = container_of(node, struct io, node);

		io->ops->on_ready(io);
	}
	r->turns += n;
}

/* All work in progress has its turn; then some of the new work.  Beginning only so much at a
 * time keeps fewer requests in flight at once where a thousand clients send theirs: they use
 * fewer connections to instances, whose memory is still in the caches.  New work does not
 * starve: each round begins some of it, in order of arrival. */
void
io_round_run(struct io_round *r)
{
	for (;;) {
		bool is_last = r->in_progress.n <= IN_PROGRESS_MOST;

		plan_reads(r, &r->in_progress, IN_PROGRESS_MOST);
		if (is_last)
			plan_reads(r, &r->new_work, NEW_WORK_MOST);
		read_ahead(r);
		run_turns(r, &r->in_progress, IN_PROGRESS_MOST);
		if (is_last)
			break;
	}
	run_turns(r, &r->new_work, NEW_WORK_MOST);
	if (!list_empty(&r->new_work))
		loop_skip_wait(r->loop);
}

uint64_t
io_round_turns(const struct io_round *r)
{
	return r->turns;
}

/* --- deferred writes --- */

static bool
may_defer(const struct io *io, size_t size)
{
	const struct io_round *r = io->round;

	return !io_is_blocked(io) && !io->is_connecting && io->deferred_at == 0 && size > 0 &&
	       size <= DEFERRED_MOST && batch_is_shared(r->batch) && !r->is_writing &&
	       r->writes_n < BATCH_MAX && r->write_data_n + size <= DEFERRED_BYTES;
}

bool
io_round_defer(struct io *io, const struct iovec *iov, int n, uint32_t token)
{
	struct io_round *r = io->round;
	size_t size = iovec_size(iov, n);
	char *to;

	if (!may_defer(io, size))
		return false;
	to = r->write_data + r->write_data_n;
	r->writes[r->writes_n] = (struct batch_op){
		.fd = io->fd, .is_write = true, .data = to, .n = size};
	r->write_of[r->writes_n++] = io;
	io->deferred_at = (uint8_t)r->writes_n;
	io->token = token;
	r->write_data_n += size;
	for (; n > 0; iov++, n--)
		to = mempcpy(to, iov->iov_base, iov->iov_len);
	return true;
}

bool
io_round_undefer(struct io *io, struct iovec *out)
{
	struct io_round *r = io->round;
	struct batch_op *op;

	if (io->deferred_at == 0)
		return false;
	op = &r->writes[io->deferred_at - 1];
	r->write_of[io->deferred_at - 1] = NULL;
	r->flushed_n++;
	io->deferred_at = 0;
	*out = (struct iovec){.iov_base = op->data, .iov_len = op->n};
	return true;
}

/* Remove the writes that io_round_undefer() took back. */
static void
close_gaps(struct io_round *r)
{
	size_t i, n = 0;

	for (i = 0; i < r->writes_n; i++)
		if (r->write_of[i] != NULL) {
			r->writes[n] = r->writes[i];
			r->write_of[n++] = r->write_of[i];
		}
	r->writes_n = n;
	r->flushed_n = 0;
}

/* A short write leaves a rest: append it to io->out, which is written when the socket has room.
 * Moves the writes that failed or were short to the front of the table, and returns how many they
 * are. */
static size_t
keep_rests(struct io_round *r)
{
	size_t i, unsent_n = 0;

	for (i = 0; i < r->writes_n; i++) {
		struct batch_op *op = &r->writes[i];
		struct io *io = r->write_of[i];

		io->deferred_at = 0;
		if (op->result == (ssize_t)op->n)
			continue;
		if (op->result == -EAGAIN)
			op->result = 0;
		if (op->result < 0) {
			io->is_cut = true;
		} else {
			io->can_write = false;
			outbuf_append(&io->out,
				      &(struct iovec){.iov_base = op->data, .iov_len = op->n}, 1,
				      (size_t)op->result);
		}
		r->writes[unsent_n] = *op;
		r->write_of[unsent_n++] = io;
	}
	return unsent_n;
}

bool
io_round_write(struct io_round *r)
{
	size_t i, n;

	if (r->writes_n == 0)
		return false;
	if (r->flushed_n > 0)
		close_gaps(r);
	batch_run(r->batch, r->writes, r->writes_n);
	n = keep_rests(r);
	r->is_writing = true; /* what on_unsent() writes must not disturb the table */
	for (i = 0; i < n; i++) {
		const struct batch_op *op = &r->writes[i];
		struct io *io = r->write_of[i];

		if (io_is_open(io)) /* an on_unsent() before may have closed it */
			io->ops->on_unsent(io, io->token, op->result < 0 ? (int)-op->result : 0);
	}
	r->is_writing = false;
	r->writes_n = r->write_data_n = 0;
	return n > 0;
}
