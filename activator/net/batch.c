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

/* The ring of results, which the kernel maps into the process at the address that is the
 * context's handle (fs/aio.c, struct aio_ring).  The kernel appends at tail, the reader
 * takes from head.  QEMU, fio and Seastar read it as well, to save io_getevents(2). */
struct ring {
	unsigned id, nr;
	_Atomic(unsigned) head, tail;
	unsigned magic, compat_features, incompat_features, header_length;
	struct io_event events[];
};

#define RING_MAGIC 0xa10a10a1u

struct batch {
	aio_context_t aio; /* 0: not used */
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
batch_is_shared(const struct batch *b)
{
	return b->aio != 0;
}

static void
run_one(struct batch_op *op)
{
	do
		op->result = op->is_write ? send(op->fd, op->data, op->n, MSG_NOSIGNAL)
					  : recv(op->fd, op->data, op->n, 0);
	while (op->result < 0 && errno == EINTR);
	if (op->result < 0)
		op->result = -errno;
}

static void
note_result(struct batch_op *ops, const struct io_event *e)
{
	struct batch_op *op = &ops[e->data];

	op->result = (ssize_t)e->res;
	if (op->result == -EINTR)
		run_one(op);
}

/* Take results from the mapped ring.  Returns how many; 0 where the ring is not as this
 * file knows it. */
static long
take_from_ring(struct batch *b, struct batch_op *ops)
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
		note_result(ops, &ring->events[head]);
	atomic_store_explicit(&ring->head, head, memory_order_release);
	return n;
}

/* The results of the operations that the kernel took: all of them are there, since no
 * operation on a socket that does not block is left pending.  Where a filter of system calls
 * refuses io_getevents(2), what it would have told stays -EIO. */
static void
take_results(struct batch *b, struct batch_op *ops, long taken)
{
	taken -= take_from_ring(b, ops);
	while (taken > 0) {
		long i, n = syscall(SYS_io_getevents, b->aio, taken, taken, b->events, NULL);

		if (n < 0 && errno != EINTR)
			return;
		for (i = 0; i < n; i++)
			note_result(ops, &b->events[i]);
		taken -= MAX(n, 0);
	}
}

/* Returns how many operations were carried out: the first so many.  The kernel stops at an
 * operation that it cannot take, such as one on a bad descriptor. */
static size_t
submit(struct batch *b, struct batch_op *ops, size_t n)
{
	long taken;
	size_t i;

	for (i = 0; i < n; i++) {
		ops[i].result = -EIO;
		b->cbs[i] = (struct iocb){
			.aio_data = i,
			.aio_lio_opcode = ops[i].is_write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
			.aio_fildes = (uint32_t)ops[i].fd,
			.aio_buf = (uintptr_t)ops[i].data,
			.aio_nbytes = ops[i].n,
		};
	}
	taken = syscall(SYS_io_submit, b->aio, n, b->list);
	if (taken <= 0)
		return 0;
	take_results(b, ops, taken);
	return (size_t)taken;
}

/* A kernel may have the system calls and yet be of no use: gVisor carries operations out
 * later, and none on a socket. */
static bool
works_on_sockets(struct batch *b)
{
	char out = 'x', in = 0;
	struct batch_op ops[2] = {{.is_write = true, .data = &out, .n = 1}, {.data = &in, .n = 1}};
	int fds[2];
	bool works;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) < 0)
		return false;
	ops[0].fd = fds[0];
	ops[1].fd = fds[1];
	works = submit(b, ops, 2) == 2 && ops[0].result == 1 && ops[1].result == 1 && in == out;
	close(fds[0]);
	close(fds[1]);
	return works;
}

struct batch *
batch_new(bool use_aio)
{
	static atomic_flag is_logged = ATOMIC_FLAG_INIT; /* by one worker for all of them */
	struct batch *b = xcalloc(1, sizeof *b);
	size_t i;

	for (i = 0; i < BATCH_MAX; i++)
		b->list[i] = &b->cbs[i];
	if (!use_aio)
		return b;
	if (syscall(SYS_io_setup, BATCH_MAX, &b->aio) < 0)
		b->aio = 0;
	else if (!works_on_sockets(b))
		end_aio(b);
	if (b->aio == 0 && !atomic_flag_test_and_set(&is_logged))
		log_info(NULL, "Linux AIO is not available: each read and write is a system call",
			 "errno=%d", errno);
	return b;
}

void
batch_run(struct batch *b, struct batch_op *ops, size_t n)
{
	size_t i = 0;

	CHECK(n <= BATCH_MAX);
	if (b->aio != 0 && n >= BATCH_LEAST)
		i = submit(b, ops, n);
	for (; i < n; i++) /* what the kernel did not take */
		run_one(&ops[i]);
}
