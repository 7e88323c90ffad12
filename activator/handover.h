/* handover - the messages between two activators of which the newer one takes over from the
 * older one (upgrade.h, takeover.h).  Each is a record of a Unix socket (SOCK_SEQPACKET): one
 * JSON object, and descriptors beside it (SCM_RIGHTS).
 *
 *   older                                   newer
 *     begin, sockets … ───────────────────►   opens its addresses, starts its workers
 *                      ◄─── ready | failed    has its services
 *     go ─────────────────────────────────►   accepts
 *                      ◄───────── accepting
 *     accepts no more
 *
 * Until go, either side may close its end: then the older one goes on as before, and the newer
 * one ends.  The protocol is HANDOVER_PROTOCOL; a newer activator with another one fails.  Unknown
 * members are ignored.
 * Thread: main. */
#ifndef ACTIVATOR_HANDOVER_H
#define ACTIVATOR_HANDOVER_H

#include <sys/types.h>

#include "activator/bounds.h"
#include "activator/net/tls_state.h"

#define HANDOVER_PROTOCOL 1
#define HANDOVER_FDS_MOST 200	    /* of one message; the kernel takes 253 */
#define HANDOVER_SOCKETS_MOST 65536 /* of all messages */
#define HANDOVER_BYTES_MOST 32768

#define HANDOVER_TYPES(X)                                                                          \
	X(BEGIN, "begin")                                                                          \
	X(SOCKETS, "sockets")                                                                      \
	X(READY, "ready")                                                                          \
	X(FAILED, "failed")                                                                        \
	X(GO, "go")                                                                                \
	X(ACCEPTING, "accepting")
enum handover_type {
#define X(id, name) HANDOVER_##id,
	HANDOVER_TYPES(X)
#undef X
		HANDOVER_TYPES_N
};

struct handover_msg {
	enum handover_type type;
	/* BEGIN, READY; handover_send() fills them in */
	int protocol;
	pid_t pid;     /* of the sender */
	char *version; /* of the sender */
	/* FAILED */
	char *reason;
	/* BEGIN; descriptors: the memory of the bounds, then a pidfd of the sender, then of each
	 * of its elders */
	uint32_t sockets_n; /* in all messages that follow */
	uint32_t part;	    /* of the bounds, for the newer process */
	pid_t elders[BOUNDS_OLD_MOST];
	size_t elders_n;
	bool has_tickets; /* the sender has certificates */
	struct tls_ticket_keys tickets;
	int64_t rotated_ns; /* clk_now() when the newest was made */
	/* SOCKETS: one for each descriptor */
	bool is_foreign[HANDOVER_FDS_MOST]; /* systemd has made it */
	/* descriptors: of the message that was received, handover_msg_fini() closes them, except
	 * those that were replaced by -1; of one that is sent, they are borrowed */
	int fds[HANDOVER_FDS_MOST];
	size_t fds_n;
};

/* Send one message.  -1 with err; code EAGAIN: the other side has to read first. */
NODISCARD int handover_send(int socket, const struct handover_msg *, struct err *);
/* Receive one message, without waiting.  -1 with err: EAGAIN: none has come; EPIPE: the other side
 * has closed its end; any other code, or 0: it cannot be read.  handover_msg_fini() follows in
 * each case. */
NODISCARD int handover_receive(int socket, struct handover_msg *, struct err *);
void handover_msg_fini(struct handover_msg *);

#endif
