/* log - one line for each event, on standard error, as logfmt
 * (`level=warn msg="…" key=value`), JSON or plain text.  The message is a constant; what
 * varies stands in key=value pairs.  No other file prints log lines.
 * Thread: any; each line is one write, so that lines of several threads do not mix. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/err.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON, LOG_TEXT }; /* LOG_TEXT: for a terminal */

/* The object that a line is about: pairs that stand before the message, such as
 * "w=2 c=18".  The object's owner fills it once, with values that need no quotes. */
struct log_tag {
	char text[80];
};

/* Where standard error is systemd's journal, each line begins with its priority, and lines that are
 * not JSON have no time, because the journal has both. */
void log_open(enum log_level, enum log_format, const char *program);
/* For lines of other form on standard error: "<3>" to "<7>", which the journal takes for the
 * priority of the line; "" where standard error is not the journal. */
const char *log_priority(enum log_level);
/* From here on; any thread may be logging meanwhile. */
void log_change(enum log_level, enum log_format);
bool log_enabled(enum log_level);

void log_tag_set(struct log_tag *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* pairs: a printf format of `key=%…`, with a blank between two, or "".  The text of a %s may
 * be anything: values are quoted where they need it, and control bytes are escaped.
 * Numbers (%d %u %f …) are numbers in JSON.  A line has at most 4096 bytes, which a pipe
 * takes as a whole; a value that does not fit is cut and ends in `..."`.  errno is kept.
 * Never blocks: where standard error has no room the line is lost, and a later line says how
 * many were. */
void log_write(enum log_level, const struct log_tag *, const char *msg, const char *pairs, ...)
	PRINTF_LIKE(4, 5);

/* How many lines were lost since the start. */
uint64_t log_lost(void);

#define log_at(level, tag, msg, ...)                                                               \
	do {                                                                                       \
		if (log_enabled(level))                                                            \
			log_write(level, tag, msg, __VA_ARGS__);                                   \
	} while (0)
#define log_trace(tag, msg, ...) log_at(LOG_TRACE, tag, msg, __VA_ARGS__)
#define log_debug(tag, msg, ...) log_at(LOG_DEBUG, tag, msg, __VA_ARGS__)
#define log_info(tag, msg, ...) log_at(LOG_INFO, tag, msg, __VA_ARGS__)
#define log_warn(tag, msg, ...) log_at(LOG_WARN, tag, msg, __VA_ARGS__)
#define log_error(tag, msg, ...) log_at(LOG_ERROR, tag, msg, __VA_ARGS__)

/* A limit for lines that traffic can cause: log_allow() is true at most `burst` times a
 * second.  The first call in a later second logs how many lines of msg were dropped.
 * `static struct log_limit l;` */
struct log_limit {
	int64_t second; /* atomics */
	uint32_t n, dropped;
};
bool log_allow(struct log_limit *, uint32_t burst, const char *msg);
#define log_warn_limited(tag, msg, ...)                                                            \
	do {                                                                                       \
		static struct log_limit limit_;                                                    \
		if (log_enabled(LOG_WARN) && log_allow(&limit_, 10, msg))                          \
			log_write(LOG_WARN, tag, msg, __VA_ARGS__);                                \
	} while (0)

#endif
