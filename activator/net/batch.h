/* batch - reads and writes of many sockets in one system call.
 *
 * Entering the kernel is a part of what a small read or write costs, in some virtual
 * machines a quarter and more.  Linux AIO's io_submit(2) carries out a list of them on
 * non-blocking sockets at once, within the call.  (Not io_uring: Docker's and containerd's
 * default seccomp profiles refuse it, moby#46762, containerd#9320; they let AIO through.)
 * Where the kernel has no AIO, it is a call each.  SIGPIPE must be ignored: io_submit(2)
 * knows no MSG_NOSIGNAL.
 * Thread: of the one that uses it. */
#ifndef ACTIVATOR_NET_BATCH_H
#define ACTIVATOR_NET_BATCH_H

#include "common/base.h"

#define BATCH_MAX 128 /* in one go */
#define BATCH_LEAST 2 /* fewer are a call each */

struct batch;

struct batch_op {
	int fd; /* of a non-blocking socket */
	bool is_write;
	char *data; /* to be written, or room to read into */
	size_t n;
	ssize_t done; /* bytes, or -errno; never -EINTR */
};

struct batch *batch_new(bool is_plain); /* is_plain: always a call each */
void batch_free(struct batch **);
/* Are many cheaper than one at a time? */
bool batch_is_one_call(const struct batch *);
/* Carry out ops[0..n), n <= BATCH_MAX, each on a socket of its own. */
void batch_run(struct batch *, struct batch_op *ops, size_t n);

#endif
