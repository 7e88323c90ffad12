/* keeper_msg - the protocol between the autoscaler's driver `process` (D) and the keeper
 * (K), over keeper.sock: one JSON object a line.  No I/O.  A string is any bytes, because an
 * environment need not be UTF-8: each byte travels as the code point of its value.
 *
 *   D  hello     protocol, pid, orphan_timeout_ms, output_bytes?, output_bytes_total? (how much of
 *                what instances write is kept, of each revision and of all)
 *   K  hello     protocol, pid, epoch? (of the numbers of its lines: another one than that of
 *                every earlier keeper; missing: it keeps no lines)
 *   K  instance  one for each instance of the keeper: id, revision, port, pid, phase,
 *                answered, started_ns (monotonic clock of this boot), status, launch?
 *   K  synced    all instances have been reported
 *   D  start     id, revision, port, argv, env, directory?, user?, stop_timeout_ms, launch?
 *                (any text: reported with the instance), stop_argv?, pid_file?
 *   K  started   id, pid, started_ns    exec has succeeded
 *   K  failed    id, text               fork or exec has failed; the id is free again
 *   D  stop      id
 *   D  answered  id                     stored, and reported to the next autoscaler
 *   K  ended     id, status             wait(2) status of its first process
 *   K  gone      id                     none of its processes is left; its port is free
 *   K  output    id, text, seq?, wall_ms?   a line that it wrote, its number, and when
 *   D  read      token, revisions, after, since_ms   asks for the last lines of these revisions
 *                that have numbers above `after`, and are not older than since_ms (wall clock)
 *   K  output    …, token, revision     one of these lines
 *   K  read_end  token                  all of them were sent
 *   K  stop_failed  id, text           stop_argv has failed, and SIGTERM was sent
 *   K  dropped   id, lines              how many of its lines were not passed on
 *   D  log       log_level, log_format  as common/log.h numbers them
 *   D  leave                            stop all instances, then exit
 *   K  leave                            it does so now, whatever process asked for it
 *
 * After `leave` of K, the end of the connection means that the keeper is gone: its process id, its
 * lock and its socket are free.  Two exceptions: it was killed before, or its parent did not reap
 * it within 3 s.
 *
 * Both ignore unknown types and members.  The first message of either is `hello`; `hello` and
 * `leave` are understood in every version of the protocol, so that an autoscaler can replace
 * a keeper of another version. */
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
	KEEPER_LEAVE,
	KEEPER_STOP_FAILED,
	KEEPER_LOG,
	KEEPER_READ,
	KEEPER_READ_END
};

enum keeper_phase {
	PHASE_RUNNING,
	PHASE_STOPPING, /* SIGTERM was sent */
	PHASE_ENDED	/* its first process has ended; others of it may be left */
};

/* Only the members of the type are set. */
struct keeper_msg {
	enum keeper_msg_type type;
	char *id, *revision, *directory, *user, *text, *launch, *pid_file;
	struct str_list argv, env, stop_argv, revisions;
	int64_t protocol, pid, port, phase, status, lines;
	int64_t orphan_timeout_ms, stop_timeout_ms, started_ns, log_level, log_format;
	int64_t output_bytes, output_bytes_total, epoch, token, seq, after, wall_ms, since_ms;
	bool answered;
};

/* Append m as a line, without a newline, to out.  m is borrowed. */
void keeper_msg_encode(const struct keeper_msg *m, struct strbuf *out);

/* 0, or -1 with err.  In both cases m is to be freed with keeper_msg_fini(). */
NODISCARD int keeper_msg_decode(struct keeper_msg *m, const char *line, size_t n, struct err *);
void keeper_msg_fini(struct keeper_msg *m);

#endif
