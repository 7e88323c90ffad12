/* path_world - a worker without its thread, between clients and instances whose bytes a fuzzer's
 * input determines: real sockets, and a clock that the input sets.  Services: "any", without a
 * limit, and "one", with container_concurrency = 1.  There is one world in a process, and one run
 * at a time.  What must not happen in any run ends the program (CHECK). */
#ifndef TEST_FUZZ_PATH_WORLD_H
#define TEST_FUZZ_PATH_WORLD_H

#include "activator/worker_impl.h"
#include "common/strbuf.h"

#define CLIENTS 3
#define PEERS 32 /* connections to instances in one run */

/* One end of a connection, whose bytes the input determines. */
struct peer {
	int fd; /* -1: none, or closed */
	struct strbuf sent, got;
	size_t taken; /* bytes of `sent` that the socket has accepted */
	bool is_eof, is_reset, is_failed, is_deaf, has_left;
	unsigned asked_n; /* requests with marks, of a client */
};

struct path_world {
	struct worker *w;
	struct revision *rev[2]; /* "any", "one" */
	struct instance *inst[2];
};

extern struct path_world world; /* w is NULL: it is not made yet */
extern struct peer clients[CLIENTS];
extern struct peer peers[PEERS]; /* the instances' ends, in the order of their connections */
extern size_t peers_n;

/* text: of the conf file. */
void make_world(const char *text, uint64_t max_stream_bytes);

void client_open(struct peer *);
/* Does the kernel still hold bytes of the worker for this client, which has received all that it
 * could?  Where the client's buffer was full, the kernel sends them again after some real time. */
bool is_arriving(const struct peer *client);
void peer_send(struct peer *, const void *data, size_t n);
/* Send and receive what is possible now.  True: there was something. */
bool peer_move(struct peer *);
/* how % 2 is 0: end the writing side; else close with a reset. */
void leave(struct peer *, unsigned how);
/* What the control thread does to a revision, or a shortage of descriptors. */
void set_world(unsigned how);
/* Advance the clock and run what is due, though no real time has passed. */
void pass_time(int64_t ns);
/* Run until nothing happens any more: the worker must come to rest. */
void settle(void);

/* The steps of an input.  step(): as LLVMFuzzerTestOneInput(); returns how many bytes it used.  If
 * the first byte of a step, divided by `joined`, is odd, the step is in one round with the next
 * one; else settle() follows. */
struct run {
	size_t most, joined;
	size_t (*step)(const uint8_t *data, size_t size);
	void (*settle)(void);
};
void run_steps(const uint8_t *data, size_t size, const struct run *);

/* Undo what set_world() has done. */
void restore_world(void);
bool has_parked(void);	/* is a request in a queue? */
void close_peers(void); /* those that are not accepted yet, too */

/* The end of a run.  Close all peers: the worker must release all that it holds for them. */
void clean_up(void);
/* The worker must have worked no more than what its peers did can explain. */
void check_work(void);
void forget_peers(void);

#endif
