/* batch - reads and writes on many sockets in one system call.
 *
 * Entering the kernel is part of what a small read or write costs; in some virtual machines
 * it is a quarter and more.  Linux AIO's io_submit(2) takes a list of reads and writes and
 * carries out all of them within the call, since the sockets do not block.
 * io_uring could do the same, but the default seccomp profiles of Docker and containerd
 * refuse it and let AIO through (moby#46762, containerd#9320).  Where the kernel or a
 * sandbox has no AIO, each read and write is a system call of its own.
 * SIGPIPE must be ignored: io_submit(2) knows no MSG_NOSIGNAL.
 * Thread: the owner's. */
#ifndef ACTIVATOR_NET_BATCH_H
#define ACTIVATOR_NET_BATCH_H

#include "common/base.h"

#define BATCH_MAX 128 /* operations in one call */
#define BATCH_LEAST 2 /* fewer are not worth the shared call: each is a call of its own */

struct batch; /* opaque; batch.c */

struct batch_op {
	int fd; /* a socket that does not block */
	bool is_write;
	char *data; /* the bytes to write, or room to read into */
	size_t n;
	ssize_t result; /* bytes read or written, or -errno; never -EINTR */
};

/* use_aio: false: each operation is a system call of its own. */
struct batch *batch_new(bool use_aio);
void batch_free(struct batch **);
/* True: batch_run() carries out many operations in one system call. */
bool batch_is_shared(const struct batch *);
/* Carry out ops[0..n), n <= BATCH_MAX, no two of them on the same socket. */
void batch_run(struct batch *, struct batch_op *ops, size_t n);

#endif
