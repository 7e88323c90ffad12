/* log - one line for each thing that happened, on standard error, as logfmt
 * (`level=warn msg="…" key=value`) or JSON.  The message is a constant; what
 * varies is in key=value pairs.  Only this file prints.
 * Thread: any; a line is written in one write(2) and is never torn. */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include "common/err.h"

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_LOGFMT, LOG_JSON, LOG_TEXT }; /* LOG_TEXT: for people (`make run`) */

/* Who speaks: pairs that stand before the message, such as "w=2 c=18".  Filled
 * once by the object's owner; values must need no quoting. */
struct log_tag {
	char text[80];
};

void log_open(enum log_level, enum log_format, const char *program);
bool log_enabled(enum log_level);
/* -1 where name is none of the levels / formats. */
int log_level_parse(const char *name);
int log_format_parse(const char *name);

void log_tag_set(struct log_tag *, const char *fmt, ...) PRINTF_LIKE(2, 3);

/* pairs: a printf format of `key=%…` joined by single blanks, or "".  Values are
 * quoted where they need it, so that %s may carry anything; numbers (%d %u %f …)
 * are numbers in JSON.  Control bytes are escaped.  A line is at most 4096 bytes
 * (what a pipe takes whole): a longer value ends in `..."`.  errno is kept. */
void log_write(enum log_level, const struct log_tag *, const char *msg, const char *pairs, ...)
	PRINTF_LIKE(4, 5);

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

/* For lines that traffic can cause: at most `burst` in a second from one site,
 * then one line that says how many of `msg` were left out.  `static struct log_limit l;` */
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
