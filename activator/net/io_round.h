/* io_round - what the sockets of one loop read and write together.  Only io.c uses this: the
 * calls for all others stand in io.h. */
#ifndef ACTIVATOR_NET_IO_ROUND_H
#define ACTIVATOR_NET_IO_ROUND_H

#include "activator/net/batch.h"
#include "activator/net/io.h"

#define SEND_MOST 2048			/* bytes that are put off at a time */
#define SENDS_BYTES ((size_t)128 << 10) /* and in a round */

struct io_round {
	struct loop *loop;
	struct batch *batch;
	/* Of struct io: whose turn it is, and who may_wait(). */
	struct list ready, waiting;
	struct io *joined[BATCH_MAX]; /* are to be read ahead */
	size_t joined_n;
	/* BATCH_MAX places of IO_AHEAD bytes, and whose bytes lie there; NULL: nobody's. */
	char *ahead;
	struct io *ahead_of[BATCH_MAX];
	size_t ahead_n;
	/* Put off by io_send(), and whose that is; NULL: it has gone already. */
	struct batch_op sends[BATCH_MAX];
	struct io *send_of[BATCH_MAX];
	size_t sends_n, settled_n;
	char *sends_data; /* SENDS_BYTES, where their bytes lie */
	size_t sends_data_n;
	bool is_sending; /* io_round_send() runs: nothing is put off */
	struct batch_op reads[BATCH_MAX];
};

void io_round_add(struct io *);	       /* it is ready */
void io_round_leave(struct io *);      /* it is being closed */
void io_round_drop_ahead(struct io *); /* it has been read */

/* Copy iov[0..n), to be sent at the end of the round.  False: it must be written now. */
NODISCARD bool io_round_put_off(struct io *, const struct iovec *iov, int n);
/* What was put off, for the caller to write now, or false: nothing was.  *out is valid until
 * the end of the round. */
NODISCARD bool io_round_take_back(struct io *, struct iovec *out);

#endif
