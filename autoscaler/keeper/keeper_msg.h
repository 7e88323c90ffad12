/* keeper_msg - what the autoscaler (D) and the keeper (K) say to one another: one
 * JSON object a line.  No I/O.  Strings are bytes, whatever they are (an environment
 * need not be UTF-8): each byte travels as the code point of its value.
 *
 *   D  hello     protocol, pid, orphan_timeout_ms
 *   K  hello     protocol, pid
 *   K  instance  one for each that it has: id, revision, port, pid, phase, answered,
 *                started_ns (monotonic clock of this boot), status
 *   K  synced    that was all
 *   D  start     id, revision, port, argv, env, directory?, user?, stop_timeout_ms
 *   K  started   id, pid, started_ns    the program has been executed
 *   K  failed    id, text               it could not be; the id is gone
 *   D  stop      id
 *   D  answered  id                     kept for the next autoscaler
 *   K  ended     id, status             wait(2) status of its first process
 *   K  gone      id                     none of its processes is left; the port is free
 *   K  output    id, text               a line that it wrote
 *   K  dropped  id, lines              and how many it wrote that were not passed on
 *   D  leave                            stop all, then end
 *   K  leave                            it does so because somebody else has told it
 *
 * Unknown types and members are ignored. */
#ifndef AUTOSCALER_KEEPER_KEEPER_MSG_H
#define AUTOSCALER_KEEPER_KEEPER_MSG_H

#include "common/err.h"
#include "common/str_list.h"

struct strbuf;

#define KEEPER_PROTOCOL 1

enum keeper_msg_type {
	KEEPER_UNKNOWN,
	KEEPER_HELLO,
	KEEPER_INSTANCE,
	KEEPER_SYNCED,
	KEEPER_START,
	KEEPER_STARTED,
	KEEPER_FAILED,
	KEEPER_STOP,
	KEEPER_ANSWERED,
	KEEPER_ENDED,
	KEEPER_GONE,
	KEEPER_OUTPUT,
	KEEPER_DROPPED,
	KEEPER_LEAVE
};

enum keeper_phase {
	PHASE_RUNNING,
	PHASE_STOPPING, /* told to end */
	PHASE_ENDED	/* its first process has ended, others of it are left */
};

/* Only the members that the type has are set. */
struct keeper_msg {
	enum keeper_msg_type type;
	char *id, *revision, *directory, *user, *text;
	struct str_list argv, env;
	int64_t protocol, pid, port, phase, status, lines;
	int64_t orphan_timeout_ms, stop_timeout_ms, started_ns;
	bool answered;
};

/* Append the line (no newline) to out.  m is borrowed. */
void keeper_msg_encode(const struct keeper_msg *m, struct strbuf *out);

/* 0, or -1 with err; m owns what it holds until keeper_msg_fini(), also after -1. */
NODISCARD int keeper_msg_decode(struct keeper_msg *m, const char *line, size_t n, struct err *);
void keeper_msg_fini(struct keeper_msg *m);

#endif
