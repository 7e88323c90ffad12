#include "activator/net/batch.h"

#include <errno.h>
#include <linux/aio_abi.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"

/* The ring of results, which the kernel maps at the context's address (fs/aio.c, struct
 * aio_ring): its readers take from head to tail.  QEMU, fio and Seastar read it, too. */
struct ring {
	unsigned id, nr;
	_Atomic(unsigned) head, tail;
	unsigned magic, compat_features, incompat_features, header_length;
	struct io_event events[];
};

#define RING_MAGIC 0xa10a10a1u

struct batch {
	aio_context_t aio; /* 0: there is none */
	struct iocb cbs[BATCH_MAX], *list[BATCH_MAX];
	struct io_event events[BATCH_MAX];
};

static void
end_aio(struct batch *b)
{
	if (b->aio != 0)
		syscall(SYS_io_destroy, b->aio);
	b->aio = 0;
}

void
batch_free(struct batch **bp)
{
	if (*bp != NULL)
		end_aio(*bp);
	free(*bp);
	*bp = NULL;
}

bool
batch_is_one_call(const struct batch *b)
{
	return b->aio != 0;
}

static void
run_one(struct batch_op *op)
{
	do
		op->done = op->is_write ? send(op->fd, op->data, op->n, MSG_NOSIGNAL)
					: recv(op->fd, op->data, op->n, 0);
	while (op->done < 0 && errno == EINTR);
	if (op->done < 0)
		op->done = -errno;
}

static void
note(struct batch_op *ops, const struct io_event *e)
{
	struct batch_op *op = &ops[e->data];

	op->done = (ssize_t)e->res;
	if (op->done == -EINTR)
		run_one(op);
}

/* Results, as far as they can be had without another system call. */
static long
fetch_mapped(struct batch *b, struct batch_op *ops)
{
	struct ring *ring;
	unsigned head, tail;
	long n = 0;

	memcpy(&ring, &b->aio, sizeof ring);
	if (ring->magic != RING_MAGIC || ring->incompat_features != 0 ||
	    ring->header_length != sizeof *ring)
		return 0;
	head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	for (; head != tail; head = head + 1 == ring->nr ? 0 : head + 1, n++)
		note(ops, &ring->events[head]);
	atomic_store_explicit(&ring->head, head, memory_order_release);
	return n;
}

/* The results of those that were taken.  A socket that does not block has none pending. */
static void
fetch(struct batch *b, struct batch_op *ops, long taken)
{
	taken -= fetch_mapped(b, ops);
	while (taken > 0) {
		long i, n = syscall(SYS_io_getevents, b->aio, taken, taken, b->events, NULL);

		CHECK(n >= 0 || errno == EINTR);
		for (i = 0; i < n; i++)
			note(ops, &b->events[i]);
		taken -= MAX(n, 0);
	}
}

/* How many of them, from the first on, are done. */
static size_t
submit(struct batch *b, struct batch_op *ops, size_t n)
{
	long taken;
	size_t i;

	for (i = 0; i < n; i++)
		b->cbs[i] = (struct iocb){
			.aio_data = i,
			.aio_lio_opcode = ops[i].is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
			.aio_fildes = (uint32_t)ops[i].fd,
			.aio_buf = (uintptr_t)ops[i].data,
			.aio_nbytes = ops[i].n,
		};
	taken = syscall(SYS_io_submit, b->aio, n, b->list);
	if (taken <= 0)
		return 0;
	fetch(b, ops, taken);
	return (size_t)taken;
}

/* A kernel may have the calls and no more: gVisor's carries them out later, and none on a
 * socket. */
static bool
is_of_use(struct batch *b)
{
	char out = 'x', in = 0;
	struct batch_op ops[2] = {{.is_write = true, .data = &out, .n = 1}, {.data = &in, .n = 1}};
	int fds[2];
	bool is_done;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return false;
	ops[0].fd = fds[0];
	ops[1].fd = fds[1];
	is_done = submit(b, ops, 2) == 2 && ops[0].done == 1 && ops[1].done == 1 && in == out;
	close(fds[0]);
	close(fds[1]);
	return is_done;
}

struct batch *
batch_new(bool is_plain)
{
	static atomic_flag is_told = ATOMIC_FLAG_INIT;
	struct batch *b = xcalloc(1, sizeof *b);
	size_t i;

	for (i = 0; i < BATCH_MAX; i++)
		b->list[i] = &b->cbs[i];
	if (is_plain)
		return b;
	if (syscall(SYS_io_setup, BATCH_MAX, &b->aio) < 0)
		b->aio = 0;
	else if (!is_of_use(b))
		end_aio(b);
	if (b->aio == 0 && !atomic_flag_test_and_set(&is_told)) /* one line for all workers */
		log_info(NULL, "no Linux AIO here: each read and write is a call", "errno=%d",
			 errno);
	return b;
}

void
batch_run(struct batch *b, struct batch_op *ops, size_t n)
{
	size_t i = 0;

	CHECK(n <= BATCH_MAX);
	if (b->aio != 0 && n >= BATCH_LEAST)
		i = submit(b, ops, n);
	for (; i < n; i++)
		run_one(&ops[i]);
}
